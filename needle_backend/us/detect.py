"""Find the needle's tip in one frame: the best box of the network, or none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torchvision.ops import box_convert, nms

from needle_backend.core.device import choose_device, has_bf16, leave_cores_free
from needle_backend.core.folding import fold_batch_norms
from needle_backend.core.weights import DEFAULT_US_WEIGHTS, find_weights
from needle_backend.us.candidates import CANDIDATE_OVERLAP, MOST_BOXES
from needle_backend.us.network import Yolot, decode, maps_both_ways
from needle_backend.us.preprocess import letterbox, normalised
from needle_backend.us.tips import AS_YOLOT, Tip
from needle_backend.us.weights import load_detector

BestBoxes = Callable[[np.ndarray], torch.Tensor]
"""From a square uint8 frame to (boxes, 5): centre x, y, width, height, confidence; best first."""


class TipDetector:
    """YOLOT with its weights on a device, warm, for frames of any size.

    Parameters
    ----------
    weights
        Name or path; None takes the default ones.
    device
        "auto", "cpu", "cuda" or "cuda:N".
    threshold
        Least confidence that counts; None takes the one that the weights' card states.
    bf16
        Whether bf16 may be used where the processor has it; None follows the card, which allows it
        when answers were found to agree.

    Attributes
    ----------
    input_px
        Side of the square that the network sees.
    threshold, device, weights_name
        What is in use.
    faint_share
        Tips down to so much of the threshold are answered, too; 1 unless set.
    warnings
        Sentences about what could not be had.

    Raises
    ------
    InputError
        When weights or device cannot be used.
    """

    answers_as = AS_YOLOT

    def __init__(
        self,
        weights: str | None = None,
        device: str = "auto",
        threshold: float | None = None,
        bf16: bool | None = None,
    ) -> None:
        choice = choose_device(device)
        leave_cores_free()
        found = find_weights(weights, DEFAULT_US_WEIGHTS)
        network, settings = load_detector(found, choice.device)
        self.weights_name = found.name
        self.device = choice.device
        self.warnings = choice.warnings
        self.input_px = settings.input_px
        self.threshold = settings.threshold if threshold is None else threshold
        self.faint_share = 1.0
        on = torch.device(self.device)
        self.bf16 = (settings.bf16 if bf16 is None else bf16) and has_bf16(on)
        self._network = for_prediction(network, self.bf16)
        self._best_boxes = best_boxes_on(self._network, self.input_px)

    def detect(self, image: np.ndarray, time_s: float = 0.0) -> Tip | None:
        """Return the tip in a grey uint8 frame [row, column], or None when there is none.

        Its time means nothing to YOLOT.

        Raises
        ------
        InputError
            When the image is not a grey one of a usable size.
        """
        square, frame = letterbox(image, self.input_px)
        best = self._best_boxes(square)[:1].numpy()
        if best[0, 4] < self.threshold * self.faint_share:
            return None
        return _tips(frame.to_source(best[:, :4]), best[:, 4])[0]

    def reset(self) -> None:
        """Nothing to forget: every frame is looked at by itself."""

    def candidates(self, image: np.ndarray, most: int = 10) -> tuple[Tip, ...]:
        """Return the most confident boxes that are not of the same place, below the threshold too.

        Raises
        ------
        InputError
            When the image is not a grey one of a usable size.
        """
        square, frame = letterbox(image, self.input_px)
        best = self._best_boxes(square)
        corners = box_convert(best[:, :4], "cxcywh", "xyxy")
        kept = best[nms(corners, best[:, 4], CANDIDATE_OVERLAP)[:most]].numpy()
        return _tips(frame.to_source(kept[:, :4]), kept[:, 4])

    def maps(self, image: np.ndarray) -> list[torch.Tensor]:
        """Return the maps of a frame seen both ways, see :meth:`Yolot.forward`."""
        square, _ = letterbox(image, self.input_px)
        with torch.inference_mode():
            return maps_both_ways(self._network, _input(square, self._network))


def _tips(boxes: np.ndarray, confidence: np.ndarray) -> tuple[Tip, ...]:
    rows = np.column_stack([boxes, confidence])
    return tuple(Tip(*(float(value) for value in row)) for row in rows)


def for_prediction(network: Yolot, bf16: bool) -> Yolot:
    """Make a trained network fast, in place: folded, grey, channels last, bf16 where wanted."""
    network = fold_batch_norms(network).make_grey()
    dtype = torch.bfloat16 if bf16 else torch.float32
    return network.to(dtype=dtype, memory_format=torch.channels_last)


def _input(square: np.ndarray, network: Yolot) -> torch.Tensor:
    like = next(network.parameters())
    return normalised(torch.from_numpy(square)[None].to(like.device)).to(like.dtype)


def best_boxes_on(network: Yolot, input_px: int) -> BestBoxes:
    """Return the fastest way from a frame to its boxes on the network's device."""
    if next(network.parameters()).is_cuda:
        return graphed_best_boxes(network, input_px)

    def best_boxes(square: np.ndarray) -> torch.Tensor:
        with torch.inference_mode():
            return most_confident(network, _input(square, network))

    return best_boxes


def most_confident(network: Yolot, grey: torch.Tensor) -> torch.Tensor:
    """Return the most confident boxes (boxes, 5) of one normalised square (1, 1, side, side)."""
    answers = decode(maps_both_ways(network, grey))
    confidence, places = answers.confidence[0].topk(min(MOST_BOXES, len(answers.cells)))
    return torch.cat([answers.boxes[0, places], confidence[:, None]], dim=1)


def graphed_best_boxes(network: Yolot, input_px: int) -> BestBoxes:
    """Record everything from uint8 frame to boxes as one CUDA graph, replayed for every frame.

    At batch 1 the GPU waits for the CPU to start some hundred small kernels; a graph starts once.
    """
    like = next(network.parameters())
    frame = torch.zeros((1, input_px, input_px), dtype=torch.uint8, device=like.device)
    pinned = torch.zeros((1, input_px, input_px), dtype=torch.uint8).pin_memory()

    def answer() -> torch.Tensor:
        return most_confident(network, normalised(frame).to(like.dtype))

    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.device(like.device):
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # libraries choose their kernels before the recording
            for _ in range(3):
                answer()
        torch.cuda.current_stream().wait_stream(aside)
        with torch.cuda.graph(graph):
            boxes = answer()

    def best_boxes(square: np.ndarray) -> torch.Tensor:
        with torch.inference_mode(), torch.cuda.device(like.device):
            pinned[0].numpy()[...] = square
            frame.copy_(pinned, non_blocking=True)
            graph.replay()
            return boxes.cpu()

    return best_boxes
