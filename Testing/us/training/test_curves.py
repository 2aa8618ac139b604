"""Pictures of curves."""

from __future__ import annotations

import numpy as np
import pytest

from needle_backend.us.training.curves import COLOURS, Curve, draw_curves


@pytest.mark.parametrize("name", ["fused", "sequences of faint needles over images of the neck"])
def test_the_name_of_a_curve_stands_whole_beside_it(name):
    picture = draw_curves("loss", "epoch", [Curve(name, [0, 1, 2], [3.0, 2.0, 1.5])])
    written = np.flatnonzero((picture[50:80, 580:] < 250).any(axis=(0, 2)))
    assert len(written) > 4 * len(name)
    assert (picture[:, -4:] == 255).all()


def test_every_curve_has_its_colour():
    curves = [Curve(name, [0, 1], [height, 1.0]) for name, height in (("a", 4.0), ("b", 2.0))]
    picture = draw_curves("loss", "epoch", curves)
    for colour in COLOURS[:2]:
        assert (picture == colour).all(-1).sum() > 100
    assert not (picture == COLOURS[2]).all(-1).any()


def test_a_curve_of_zeros_is_drawn_too():
    picture = draw_curves("false answers", "epoch", [Curve("none", [0, 1], [0.0, 0.0])])
    assert (picture == COLOURS[0]).all(-1).any()
