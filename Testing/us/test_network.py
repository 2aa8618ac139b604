"""YOLOT: its size, its cells, and what it takes over from YOLOX-Nano."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from us.planted import write_untrained_weights

from needle_backend.core.errors import InputError
from needle_backend.core.weights import find_weights
from needle_backend.us.detect import for_prediction
from needle_backend.us.network import (
    STRIDES,
    Yolot,
    decode,
    folded_pixels,
    maps_both_ways,
    mirrored,
)
from needle_backend.us.weights import check_input_px, load_detector, start_state, yolox_name

COCO = Path(__file__).parents[3] / "shared" / "weights" / "yolox_nano_coco.safetensors"
needs_coco = pytest.mark.skipif(not COCO.exists(), reason="YOLOX-Nano's weights are not at hand")


@pytest.fixture
def settled() -> Yolot:
    """A network whose normalisations do something, as after training."""
    torch.manual_seed(3)
    network = Yolot().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


def test_it_has_146636_parameters():
    assert sum(value.numel() for value in Yolot().parameters()) == 146_636


def test_at_640_it_answers_at_8000_cells():
    with torch.inference_mode():
        answers = decode(Yolot().eval()(torch.zeros(1, 1, 640, 640)))
    assert answers.boxes.shape == (1, 8000, 4)
    assert answers.cells[0].tolist() == [4, 4, 8]
    assert answers.cells[1].tolist() == [12, 4, 8]
    assert answers.cells[-1].tolist() == [632, 632, 16]


def test_a_new_network_believes_in_no_tip():
    with torch.inference_mode():
        answers = decode(Yolot().eval()(torch.randn(1, 1, 128, 128)))
    assert answers.confidence.max() < 0.1


def test_an_answer_is_relative_to_its_cells_corner_and_size():
    fine, coarse = torch.zeros(1, 6, 4, 4), torch.zeros(1, 6, 2, 2)
    fine[0, :4, 2, 1] = torch.tensor([0.5, 0.25, 1.0, 0.0])
    answers = decode([fine, coarse])
    expected = [8 * 1.5, 8 * 2.25, 8 * np.e, 8]
    np.testing.assert_allclose(answers.boxes[0, 2 * 4 + 1].numpy(), expected, rtol=1e-6)


def test_a_mirrored_map_answers_where_the_mirror_image_shows_it():
    fine, coarse = torch.zeros(1, 6, 4, 4), torch.zeros(1, 6, 2, 2)
    fine[0, :, 2, 1] = torch.tensor([0.5, 0.25, 1.0, 0.0, 3.0, 2.0])
    answers = decode([mirrored(fine, 8), mirrored(coarse, 16)])
    place = int(answers.confidence[0].argmax())
    expected = [31 - 8 * 1.5, 8 * 2.25, 8 * np.e, 8]
    np.testing.assert_allclose(answers.boxes[0, place].numpy(), expected, rtol=1e-6)
    torch.testing.assert_close(mirrored(mirrored(fine, 8), 8), fine)


def test_seen_both_ways_a_mirror_image_gets_the_mirrored_answer():
    network, image = Yolot().eval(), torch.randn(2, 1, 64, 96)
    with torch.inference_mode():
        maps = maps_both_ways(network, image)
        of_mirror_image = maps_both_ways(network, image.flip(-1))
    for one, other, stride in zip(maps, of_mirror_image, STRIDES, strict=True):
        torch.testing.assert_close(mirrored(other, stride), one)


def test_folding_pixels_loses_none():
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    folded = folded_pixels(image)
    assert folded.shape == (1, 4, 2, 2)
    assert folded[0, :, 0, 0].tolist() == [0, 4, 1, 5]


def test_made_ready_for_prediction_it_answers_the_same(settled):
    image = torch.randn(2, 1, 96, 64)
    with torch.inference_mode():
        before = decode(settled(image))
        after = decode(for_prediction(settled, bf16=False)(image))
    torch.testing.assert_close(after.boxes, before.boxes, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(after.objectness, before.objectness, rtol=1e-3, atol=1e-3)


def test_every_tensor_has_a_name_in_yolox_of_its_own():
    names = [yolox_name(name) for name in Yolot().state_dict()]
    assert len(set(names)) == len(names)
    assert all(name.startswith(("backbone.backbone.", "head.")) for name in names)


@needs_coco
def test_from_ms_coco_all_is_taken_but_the_layers_that_name_classes():
    state, loaded = start_state(COCO)
    fresh = Yolot().state_dict()
    classes = {name for name in fresh if ".likeness." in name}
    assert len(classes) == 4
    assert loaded == set(fresh) - classes
    assert state["dark4.look.blocks.2.look.point.conv.weight"].abs().sum() > 0
    Yolot().load_state_dict(state)


def test_from_its_own_weights_all_is_taken(tmp_path):
    _, loaded = start_state(write_untrained_weights(tmp_path))
    assert loaded == set(Yolot().state_dict())


def test_weights_of_something_else_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="neither YOLOX-Nano nor YOLOT"):
        start_state(path)


@pytest.mark.parametrize("size_px", [0, 100, 648, 4096])
def test_a_side_that_the_strides_do_not_divide_is_refused(size_px):
    with pytest.raises(InputError, match="multiple of 16"):
        check_input_px(size_px)


def test_a_card_of_something_else_is_refused():
    with pytest.raises(InputError, match="do not describe a YOLOT"):
        load_detector(find_weights("ct_hrnet_w18_small"), "cpu")
