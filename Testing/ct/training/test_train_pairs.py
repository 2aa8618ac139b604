"""The second look learns to tell needles from wrong pairs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from needle_backend.bench.synthetic import Settings, make_case
from needle_backend.core.errors import InputError
from needle_backend.core.weights import write_weights
from needle_backend.ct.pair_network import PairNetwork
from needle_backend.ct.strip_network import StripNetworkSettings
from needle_backend.ct.strips import CHANNELS, PLACES
from needle_backend.ct.training.train_pairs import (
    PairExamples,
    PairSchedule,
    pair_examples,
    train_end_network,
    train_pair_network,
    train_pairs,
)

SMALL = StripNetworkSettings(width=12, dilations=(1, 4), hidden=24)


def examples_of(seed: int) -> PairExamples:
    case = make_case(seed, Settings(needles=(18, 30)))
    return pair_examples(case.volume, case.detections, case.needles)


def log_odds(network: PairNetwork, examples: PairExamples) -> np.ndarray:
    with torch.inference_mode():
        strips = torch.from_numpy(examples.strips).float()
        return network(strips, torch.from_numpy(examples.facts)).numpy()


def test_every_pair_of_a_case_is_an_example_and_some_are_right():
    examples = examples_of(3)
    assert examples.strips.shape == (len(examples.right), CHANNELS, PLACES)
    assert np.isfinite(examples.strips).all() and np.isfinite(examples.facts).all()
    assert 0 < examples.right.sum() < len(examples.right)


def test_trained_on_a_few_cases_it_ranks_the_pairs_of_another():
    told: list[str] = []
    schedule = PairSchedule(epochs=25, batch=32)
    examples = [examples_of(seed) for seed in range(14)]
    network = train_pair_network(examples, schedule, told.append, SMALL)
    unseen = examples_of(77)
    score = log_odds(network, unseen)
    better = score[unseen.right][:, None] > score[~unseen.right]
    assert better.mean() > 0.7
    assert [line.split(":")[0] for line in told] == [f"epoch {i} of 25" for i in range(1, 26)]


def test_the_same_seed_trains_the_same_network():
    examples, schedule = [examples_of(5)], PairSchedule(epochs=1, batch=32)
    first, again = (train_pair_network(examples, schedule, str, SMALL) for _ in range(2))
    assert np.array_equal(log_odds(first, examples[0]), log_odds(again, examples[0]))


def test_a_folder_without_cases_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no cases"):
        train_pairs([tmp_path], tmp_path / "out")


def test_written_weights_carry_their_name_and_checksum(tmp_path):
    path = write_weights(tmp_path / "pairs.safetensors", PairNetwork(SMALL).state_dict(), {"a": 1})
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["name"] == "pairs" and card["a"] == 1
    assert len(card["sha256"]) == 64
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["pairs.json", "pairs.safetensors"]


def test_trained_on_a_few_cases_it_tells_where_the_true_ends_of_another_lie():
    network = train_end_network(
        [examples_of(seed) for seed in range(14)], PairSchedule(epochs=40, batch=32), str, SMALL
    )
    unseen = examples_of(77)
    wanted = unseen.offsets_mm[unseen.right]
    with torch.inference_mode():
        strips = torch.from_numpy(unseen.strips[unseen.right]).float()
        told = network(strips, torch.from_numpy(unseen.facts[unseen.right])).numpy()
    assert np.abs(told - wanted).mean() < 0.9 * np.abs(wanted).mean()
