"""The second look learns to tell needles from wrong pairs, and where the right ones' ends lie."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from needle_backend.bench.synthetic import Settings, make_case
from needle_backend.core.errors import InputError
from needle_backend.core.weights import write_weights
from needle_backend.ct.pair_network import PairNetwork, PairNetworkSettings, load_pair_network
from needle_backend.ct.strips import CHANNELS, PLACES
from needle_backend.ct.training.train_pairs import (
    PairExamples,
    PairSchedule,
    pair_examples,
    train_pair_network,
    train_pairs,
)

SHIPPED = load_pair_network(None, "cpu")
SMALL = PairNetworkSettings(width=12, dilations=(1, 4), hidden=24)


def examples_of(seed: int) -> PairExamples:
    case = make_case(seed, Settings(needles=(18, 30)))
    return pair_examples(case.volume, case.detections, case.needles, SHIPPED)


def told_by(network: PairNetwork, examples: PairExamples) -> tuple[np.ndarray, np.ndarray]:
    with torch.inference_mode():
        strips = torch.from_numpy(examples.strips).float()
        log_odds, offsets_mm = network(strips, torch.from_numpy(examples.facts))
    return log_odds.numpy(), offsets_mm.numpy()


@pytest.fixture(scope="module")
def trained() -> tuple[PairNetwork, list[str]]:
    told: list[str] = []
    examples = [examples_of(seed) for seed in range(14)]
    schedule = PairSchedule(epochs=30, batch=32)
    return train_pair_network(examples, schedule, told.append, SMALL), told


def test_every_pair_of_a_case_is_an_example_and_some_are_right():
    examples = examples_of(3)
    assert examples.strips.shape == (len(examples.right), PLACES, CHANNELS)
    assert np.isfinite(examples.strips).all() and np.isfinite(examples.facts).all()
    assert 0 < examples.right.sum() < len(examples.right)


def test_half_of_the_examples_have_their_ends_put_right_already():
    examples = examples_of(3)
    before, after = np.split(np.abs(examples.offsets_mm).sum(axis=1), 2)
    as_found, put_right = np.split(examples.right, 2)
    both = as_found & put_right
    assert both.any() and after[both].mean() < before[both].mean()


def test_a_case_without_needles_gives_examples_of_wrong_pairs_only():
    case = make_case(3, Settings(needles=(18, 30)))
    examples = pair_examples(case.volume, case.detections, [], SHIPPED)
    assert len(examples.right) > 0 and not examples.right.any()


def test_trained_on_a_few_cases_it_ranks_the_pairs_of_another(trained):
    unseen = examples_of(77)
    log_odds, _ = told_by(trained[0], unseen)
    better = log_odds[unseen.right][:, None] > log_odds[~unseen.right]
    assert better.mean() > 0.7


def test_trained_on_a_few_cases_it_tells_where_the_true_ends_of_another_lie(trained):
    unseen = examples_of(77)
    wanted = unseen.offsets_mm[unseen.right]
    _, told = told_by(trained[0], unseen)
    assert np.abs(told[unseen.right] - wanted).mean() < 0.9 * np.abs(wanted).mean()


def test_every_epoch_is_told(trained):
    assert [line.split(":")[0] for line in trained[1]] == [f"epoch {i} of 30" for i in range(1, 31)]


def test_the_same_seed_trains_the_same_network():
    examples, schedule = [examples_of(5)], PairSchedule(epochs=1, batch=32)
    first, again = (train_pair_network(examples, schedule, str, SMALL) for _ in range(2))
    for one, other in zip(told_by(first, examples[0]), told_by(again, examples[0]), strict=True):
        assert np.array_equal(one, other)


def test_a_folder_without_cases_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no cases"):
        train_pairs([tmp_path], tmp_path / "out")


def test_written_weights_carry_their_name_and_checksum(tmp_path):
    path = write_weights(tmp_path / "pairs.safetensors", PairNetwork(SMALL).state_dict(), {"a": 1})
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["name"] == "pairs" and card["a"] == 1
    assert len(card["sha256"]) == 64
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["pairs.json", "pairs.safetensors"]
