"""Every file of weights has a card that tells what it is, and belongs to it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

WEIGHTS = Path(__file__).parents[2] / "Resources" / "Weights"
FILES = sorted(WEIGHTS.glob("*.safetensors"))
CARDS = sorted(WEIGHTS.glob("*.json"))


def test_weights_are_shipped():
    assert FILES


def test_every_card_has_its_weights_and_every_weights_file_its_card():
    assert [path.stem for path in CARDS] == [path.stem for path in FILES]


@pytest.mark.parametrize("weights", FILES, ids=lambda path: path.name)
def test_a_card_carries_the_checksum_of_its_weights(weights):
    card = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
