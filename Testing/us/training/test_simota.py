"""Which cells answer for which tip, and what that costs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from needle_backend.us.network import Answers, decode
from needle_backend.us.training.losses import image_losses
from needle_backend.us.training.simota import assign, iou, pairwise_iou

SIDE = 128


def answers_of(seed: int, images: int = 1) -> Answers:
    torch.manual_seed(seed)
    fine = 0.3 * torch.randn(images, 6, SIDE // 8, SIDE // 8)
    coarse = 0.3 * torch.randn(images, 6, SIDE // 16, SIDE // 16)
    return decode([fine, coarse])


places = st.tuples(st.floats(4, SIDE - 4), st.floats(4, SIDE - 4))
tips_in_an_image = st.lists(places, min_size=1, max_size=4)


def as_tips(centres) -> tuple[torch.Tensor, torch.Tensor]:
    tips = torch.zeros(1, 5, 4)
    for row, (x, y) in enumerate(centres):
        tips[0, row] = torch.tensor([x, y, 18.0, 10.0])
    return tips, torch.tensor([len(centres)])


@settings(deadline=None, max_examples=40)
@given(tips_in_an_image, st.integers(0, 1000))
def test_chosen_cells_lie_at_their_tip_and_no_more_than_ten_for_each(centres, seed):
    answers = answers_of(seed)
    tips, count = as_tips(centres)
    chosen = assign(answers, tips, count)
    cells = torch.nonzero(chosen.positive[0])[:, 0]
    tip_of_cell = chosen.tip[0, cells]
    assert 1 <= len(cells) <= 10 * len(centres)
    assert tip_of_cell.max() < len(centres)
    assert torch.bincount(tip_of_cell).max() <= 10
    away = (answers.cells[cells, :2] - tips[0, tip_of_cell, :2]).abs()
    reach = torch.maximum(2.5 * answers.cells[cells, 2:], tips[0, tip_of_cell, 2:] / 2)
    assert (away <= reach).all()


@settings(deadline=None, max_examples=25)
@given(tips_in_an_image, st.integers(0, 1000))
def test_the_overlap_told_is_that_of_the_cells_box_with_its_tip(centres, seed):
    answers = answers_of(seed)
    tips, count = as_tips(centres)
    chosen = assign(answers, tips, count)
    expected = iou(answers.boxes[0], tips[0, chosen.tip[0]]) * chosen.positive[0]
    torch.testing.assert_close(chosen.overlap[0], expected)


def test_an_image_without_a_tip_has_no_positive_cell_and_only_objectness_to_learn():
    losses = image_losses(answers_of(1), torch.zeros(1, 5, 4), torch.tensor([0]))
    assert (losses.positives, losses.overlap, losses.likeness) == (0, 0, 0)
    assert losses.total() == losses.objectness


def test_a_batch_is_assigned_as_its_images_one_by_one():
    answers = answers_of(2, images=3)
    tips = torch.zeros(3, 5, 4)
    tips[0, :2] = torch.tensor([[40.0, 40, 18, 10], [90, 60, 20, 12]])
    tips[2, :1] = torch.tensor([[64.0, 100, 18, 10]])
    count = torch.tensor([2, 0, 1])
    together = assign(answers, tips, count)
    for image in range(3):
        one = slice(image, image + 1)
        alone = Answers(
            answers.boxes[one], answers.objectness[one], answers.likeness[one], answers.cells
        )
        chosen = assign(alone, tips[one], count[one])
        assert torch.equal(chosen.positive[0], together.positive[image])
        assert torch.equal(chosen.tip[0], together.tip[image])


def test_a_cell_in_the_centre_of_the_box_comes_before_one_beside_it():
    # All boxes alike: only where its cell lies tells one answer from another.
    maps = [torch.zeros(1, 6, SIDE // s, SIDE // s) for s in (8, 16)]
    answers = decode(maps)
    boxes = torch.tensor([60.0, 60, 18, 10]).expand_as(answers.boxes)
    same = Answers(boxes, answers.objectness, answers.likeness, answers.cells)
    chosen = assign(same, torch.tensor([[[60.0, 60, 18, 10]]]), torch.tensor([1]))
    centres = answers.cells[chosen.positive[0], :2]
    inside = ((centres - 60).abs() < torch.tensor([9.0, 5.0])).all(1)
    outside = len(centres) - int(inside.sum())
    assert int(inside.sum()) >= 2 and outside <= 10 - int(inside.sum())


def test_a_right_answer_costs_next_to_nothing_and_a_wrong_one_much():
    tips, count = as_tips([(60, 60)])
    answers = answers_of(3)
    right = Answers(
        tips[:, :1].expand_as(answers.boxes),
        torch.full_like(answers.objectness, -12.0),
        torch.full_like(answers.likeness, 12.0),
        answers.cells,
    )
    chosen = assign(right, tips, count).positive
    right = Answers(right.boxes, torch.where(chosen, 12.0, -12.0), right.likeness, right.cells)
    assert image_losses(right, tips, count).total() < 0.02
    wrong = Answers(right.boxes, -right.objectness, right.likeness, right.cells)
    assert image_losses(wrong, tips, count).total() > 20


def test_the_losses_of_two_sets_add_up_to_that_of_both():
    answers = answers_of(4, images=2)
    tips = torch.tensor([[[40.0, 40, 18, 10]], [[90.0, 60, 20, 12]]])
    losses = image_losses(answers, tips, torch.tensor([1, 1]))
    parts = [float(losses.total(torch.tensor(flags))) for flags in ([True, False], [False, True])]
    weights = losses.positives / losses.positives.sum()
    expected = float((weights * torch.tensor(parts)).sum())
    assert float(losses.total()) == pytest.approx(expected, rel=1e-5)


def test_overlap_is_one_with_itself_and_nothing_with_what_is_elsewhere():
    boxes = torch.tensor([[[10.0, 10, 4, 4], [12, 10, 4, 4], [50, 50, 4, 4]]])
    torch.testing.assert_close(
        pairwise_iou(boxes, boxes)[0],
        torch.tensor([[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]]),
    )
