"""Find the needle's tip in a stream, frame after frame, by how the needle looks and moves."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np
import torch

from needle_backend.core.device import choose_device, leave_cores_free
from needle_backend.core.folding import fold_batch_norms
from needle_backend.core.weights import DEFAULT_TIPDET_WEIGHTS, find_weights
from needle_backend.us.candidates import Candidates, candidates_of
from needle_backend.us.flow import LEAST_MOTION_S, MOTION_S, motion_image
from needle_backend.us.keyframes import KeyframeMemory, view_at, windows, with_margin
from needle_backend.us.network import maps_both_ways
from needle_backend.us.preprocess import Letterbox, letterbox, normalised
from needle_backend.us.tipdet_network import KeyframeAttention, TipDet, motion_input
from needle_backend.us.tips import AS_TIPDET, AS_TWO_STREAMS, AS_YOLOT, Tip
from needle_backend.us.weights import load_tipdet


class VideoTipDetector:
    """TipDet with its weights on a device, for the frames of one stream in their order.

    Until it has seen enough it answers with what it has: the first frames as YOLOT does, the
    next ones by two streams, and from the first keyframe on as TipDet.

    Parameters
    ----------
    weights
        Name or path; None takes the default ones.
    device
        "auto", "cpu", "cuda" or "cuda:N".
    threshold
        Least confidence that counts; None takes those that the weights' card states.

    Attributes
    ----------
    input_px
        Side of the square that the network sees.
    threshold, device, weights_name
        What is in use.
    faint_share
        Tips down to so much of the threshold are answered, too; 1 unless set.
    answers_as
        How the last frame was answered: ``AS_YOLOT``, ``AS_TWO_STREAMS`` or ``AS_TIPDET``.
    ways
        In how many frames since the beginning each way was taken.
    warnings
        Sentences about what could not be had.

    Raises
    ------
    InputError
        When weights or device cannot be used.
    """

    def __init__(
        self, weights: str | None = None, device: str = "auto", threshold: float | None = None
    ) -> None:
        choice = choose_device(device)
        leave_cores_free()
        found = find_weights(weights, DEFAULT_TIPDET_WEIGHTS)
        network, settings = load_tipdet(found, choice.device)
        self.weights_name = found.name
        self.device = choice.device
        self.warnings = choice.warnings
        self.input_px = settings.input_px
        self.threshold = settings.threshold if threshold is None else threshold
        self._yolot_threshold = settings.yolot_threshold if threshold is None else threshold
        self.faint_share = 1.0
        self._network = for_prediction(network)
        self.reset()

    def reset(self) -> None:
        """Forget the frames so far: another stream begins."""
        self.answers_as = AS_YOLOT
        self.ways: Counter[str] = Counter()
        self._size: tuple[int, ...] | None = None
        self._squares: deque[tuple[float, np.ndarray]] = deque()
        self._memory = KeyframeMemory()

    @torch.inference_mode()
    def detect(self, image: np.ndarray, time_s: float) -> Tip | None:
        """Return the tip in the next grey uint8 frame [row, column], or None.

        Frames of another size, or of an earlier time than the one before, are another stream.

        Raises
        ------
        InputError
            When the image is not a grey one of a usable size.
        """
        square, frame = letterbox(image, self.input_px)
        if image.shape != self._size or (self._squares and time_s < self._squares[-1][0]):
            self.reset()
            self._size = image.shape
        candidates, confidence = self._look(square, time_s)
        self.ways[self.answers_as] += 1
        self._squares.append((time_s, square))
        return self._best(candidates, confidence, frame)

    def _look(self, square: np.ndarray, time_s: float) -> tuple[Candidates, torch.Tensor]:
        """Return a square's candidates, and how sure each is in the end."""
        streams = self._network.streams
        grey = normalised(torch.from_numpy(square)[None].to(self.device))
        before = self._before(time_s)
        if before is None:
            self.answers_as = AS_YOLOT
            (candidates,) = candidates_of(maps_both_ways(streams.image, grey))
            return candidates, candidates.confidence
        image = streams.image.grey_features(grey)
        motion = torch.from_numpy(motion_image(before, square))[None].to(self.device)
        sight = streams.joined(image, motion_input(motion))
        (candidates,) = candidates_of(sight.maps)
        view = with_margin(sight.view)
        confidence = self._judged(candidates, view, time_s)
        self._memory.offer(time_s, float(torch.sigmoid(sight.moving[0])), view[0])
        return candidates, confidence

    def _before(self, time_s: float) -> np.ndarray | None:
        """Return the square that is nearest to :data:`MOTION_S` old; None where all are younger.

        What will not be asked for again is forgotten.
        """
        old_enough = [kept for kept in self._squares if time_s - kept[0] >= LEAST_MOTION_S]
        if not old_enough:
            return None
        nearest = min(old_enough, key=lambda kept: abs(time_s - kept[0] - MOTION_S))
        while self._squares[0] is not nearest:
            self._squares.popleft()
        return nearest[1]

    def _judged(self, candidates: Candidates, view: torch.Tensor, time_s: float) -> torch.Tensor:
        if not len(self._memory):
            self.answers_as = AS_TWO_STREAMS
            return candidates.confidence
        self.answers_as = AS_TIPDET
        ages_s = self._memory.ages_s(time_s)
        return judged(self._network.attention, candidates, view, self._memory.views, ages_s)

    def _best(
        self, candidates: Candidates, confidence: torch.Tensor, frame: Letterbox
    ) -> Tip | None:
        best = int(confidence.argmax())
        sure = float(confidence[best])
        is_yolot = self.answers_as == AS_YOLOT
        threshold = self._yolot_threshold if is_yolot else self.threshold
        if sure < threshold * self.faint_share:
            return None
        box = frame.to_source(candidates.boxes[best : best + 1].cpu().numpy())[0]
        return Tip(*(float(value) for value in box), sure)


def judged(
    attention: KeyframeAttention,
    candidates: Candidates,
    view: torch.Tensor,
    keyframes: Sequence[torch.Tensor],
    ages_s: Sequence[float],
) -> torch.Tensor:
    """Return the confidence (m,) of candidates after a look at some keyframes.

    Parameters
    ----------
    view
        (1, h + 8, w + 8, channels) what the frame itself shows, see :func:`.keyframes.with_margin`.
    keyframes, ages_s
        What each shows, likewise but for the first dimension, and how long ago it was.
    """
    logits = attention(
        candidates.numbers[None],
        view_at(view, candidates.cells)[None, :, 0],
        windows(torch.stack(tuple(keyframes)), candidates.cells)[None],
        torch.tensor([list(ages_s)], dtype=torch.float32, device=view.device),
    )
    return torch.sigmoid(logits[0])


def for_prediction(network: TipDet) -> TipDet:
    """Make a trained network fast, in place: folded, grey, channels last."""
    network = fold_batch_norms(network)
    network.streams.image.make_grey()
    return network.to(memory_format=torch.channels_last)
