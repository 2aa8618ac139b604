"""Hubs, couches, gas, contrast, tips beside bone, cut pictures: each drawn apart from the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from needle_backend.core.errors import InputError
from needle_backend.core.settings import read_toml
from needle_backend.ct.training.anatomy import AIR_HU, BONE_HU, Background, Patient, pelvis
from needle_backend.ct.training.couches import add_couch
from needle_backend.ct.training.field_of_view import field_of_view
from needle_backend.ct.training.gas import gas
from needle_backend.ct.training.hubs import hub_points
from needle_backend.ct.training.implants import Implant, ImplantNeedle
from needle_backend.ct.training.labels import label_needle
from needle_backend.ct.training.metal import shaft_points
from needle_backend.ct.training.planning import ImplantPlanner
from needle_backend.ct.training.settings import (
    COUCHES,
    HUB_SHAPES,
    GridSettings,
    NeedleSettings,
    PatientSettings,
    SimulationSettings,
)
from needle_backend.ct.training.splat import Grid, splat

GRID = Grid((10, 160, 160), (2.0, 2.0, 5.0), (-160.0, -160.0, -22.5))
UPWARDS = np.array([0.0, -1.0, 0.0])


@pytest.fixture
def needle() -> ImplantNeedle:
    return ImplantNeedle(
        tip=np.array([10.0, 60.0, 2.0]),
        handle=np.array([10.0, -120.0, 2.0]),
        radius_mm=0.6,
        metal_hu=4000.0,
        bow_lps=np.zeros(3),
        strength=np.ones(40),
        hub_radius_mm=3.0,
        hub_length_mm=24.0,
        hub_hu=200.0,
        hub_flange=1.3,
        hub_shape="barrel",
        hub_roll_deg=0.0,
    )


@pytest.fixture(scope="module")
def bony() -> Background:
    """A procedural pelvis at the height of the hip joints."""
    rng = np.random.default_rng(3)
    return pelvis(Patient.drawn(PatientSettings(prone_share=0.0), rng, seed=3), GRID, rng)


def water() -> Background:
    hu = np.zeros(GRID.shape, np.float32)
    return Background(hu, np.ones(GRID.shape, bool), UPWARDS, 1.0, "water")


@pytest.mark.parametrize("shape", HUB_SHAPES)
def test_every_hub_lies_around_the_handle(needle, shape):
    points = hub_points(replace(needle, hub_shape=shape))
    middle = np.average(points.xyz, axis=0, weights=points.mass)
    assert np.linalg.norm(middle - needle.handle) < 0.2 * needle.hub_length_mm
    assert np.abs((points.xyz - needle.handle) @ needle.direction).max() < needle.hub_length_mm
    assert (points.mass > 0).all()


def test_hubs_of_different_shapes_differ(needle):
    masses = [hub_points(replace(needle, hub_shape=shape)).mass.sum() for shape in HUB_SHAPES]
    assert len(set(np.round(masses))) == len(HUB_SHAPES)


def test_wings_stand_where_the_hub_is_rolled_to(needle):
    def reach(roll_deg: float) -> np.ndarray:
        rolled = replace(needle, hub_shape="winged", hub_roll_deg=roll_deg)
        return np.ptp(hub_points(rolled).xyz, axis=0)

    assert reach(0.0)[0] > 2 * reach(0.0)[2]
    assert reach(90.0)[2] > 2 * reach(90.0)[0]


@pytest.mark.parametrize("couch", COUCHES)
def test_a_couch_lies_below_the_patient_and_not_in_them(couch):
    x, below = np.meshgrid(np.arange(-200.0, 200.0, 2), np.arange(-150.0, 100.0, 2))
    body = below < -40
    hu = np.where(body, 40.0, AIR_HU)
    add_couch(hu, body, couch, x, below)
    assert (hu[body] == 40).all()
    assert (hu[~body] > AIR_HU).any() == (couch != "none")


def test_gas_takes_the_place_of_tissue_beside_needles(needle):
    implant = Implant((needle,) * 8, (), None)
    assert gas(implant, PatientSettings(), water(), GRID, seed=1) == []
    bubbles = gas(implant, PatientSettings(gas_share=1.0), water(), GRID, seed=1)
    added = np.zeros(GRID.shape, np.float32)
    for bubble in bubbles:
        splat(bubble, GRID, added)
        assert bubble.mass.max() < 0
    near = added[3:7, :, 80:90]
    assert near.min() < -50


def test_contrast_fills_the_rectum_and_sinks_to_the_bladders_floor():
    def drawn(**shares: float) -> Background:
        rng = np.random.default_rng(3)
        settings = PatientSettings(prone_share=0.0, contrast_share=0.0, **shares)
        return pelvis(Patient.drawn(settings, rng, seed=3), GRID, rng)

    plain = drawn().hu
    rectum = drawn(rectal_contrast_share=1.0).hu - plain
    bladder = drawn(layered_bladder_share=1.0).hu - plain
    _, _, z = GRID.axes_mm()
    rows = np.nonzero((np.abs(rectum) > 50).any(axis=(0, 2)))[0]
    assert (GRID.axes_mm()[1][rows] > 0).all()
    assert bladder.max() > 150
    assert not (np.abs(bladder) > 50)[z < -45].any()


def test_tips_moved_beside_bone_are_near_it_and_their_needles_clear_of_it(bony):
    settings = NeedleSettings(
        count=(12, 12), needle_free_share=0.0, length_mm=(120.0,), close_share=0.0
    )
    moved = replace(settings, beside_bone_share=1.0)
    plain, beside = (
        ImplantPlanner(n, PatientSettings(), bony, GRID, np.random.default_rng(5), 5).plan()
        for n in (settings, moved)
    )
    assert len(plain.needles) == len(beside.needles) > 0
    changed = [
        after
        for before, after in zip(plain.needles, beside.needles, strict=True)
        if not np.array_equal(before.tip, after.tip)
    ]
    assert changed
    for needle in changed:
        path = np.linspace(needle.tip, needle.handle, 200)
        assert not (_values(bony.hu, path) > BONE_HU).any()
        around = needle.tip + np.random.default_rng(0).normal(0, 3, (400, 3))
        assert (_values(bony.hu, around) > BONE_HU).any()


def test_a_cut_picture_loses_some_ends_and_labels_none_of_them(needle):
    tilted = replace(needle, handle=needle.handle + [0.0, 0.0, 12.0])
    needles = [
        replace(tilted, tip=tilted.tip + shift, handle=tilted.handle + shift)
        for shift in np.linspace([-60.0, -10.0, -20.0], [60.0, 10.0, 8.0], 12)
    ]
    lost, labelled = 0, 0
    for seed in range(12):
        view = field_of_view(needles, GridSettings(cut_share=1.0), UPWARDS, GRID, seed)
        left = view.of_grid(GRID)
        assert view.of_array(np.zeros(GRID.shape)).shape == left.shape
        inside = [view.ends_inside(needle, GRID) for needle in needles]
        lost += inside.count(1)
        for index, one in enumerate(needles):
            labels = label_needle(one, index, left, 0.6)
            labelled += len(labels)
            for label in labels:
                assert 0 <= label.column < left.shape[2]
                assert 0 <= label.row < left.shape[1]
                assert 0 <= label.slice < left.shape[0]
    assert lost > 12
    assert labelled > 12 * len(needles)


def test_without_a_share_the_whole_picture_is_scanned(needle):
    view = field_of_view([needle], GridSettings(), UPWARDS, GRID, seed=1)
    assert view.of_grid(GRID) == GRID


@pytest.mark.parametrize(
    "line", ['[patient]\ncouches = ["sofa"]', "[needles]\nhub_shapes = []"], ids=["couch", "hub"]
)
def test_an_unknown_couch_or_no_hub_is_refused(tmp_path, line):
    path = tmp_path / "settings.toml"
    path.write_text(line)
    with pytest.raises(InputError, match=r"(couches has sofa|hub_shapes is empty); choose from"):
        read_toml(SimulationSettings, path)


def _values(array: np.ndarray, points: np.ndarray) -> np.ndarray:
    i, j, k = np.rint(GRID.to_ijk(points)).astype(int).T
    inside = (i >= 0) & (i < 160) & (j >= 0) & (j < 160) & (k >= 0) & (k < 10)
    return array[k[inside], j[inside], i[inside]]


def test_a_pointed_shaft_thins_towards_its_tip_and_still_ends_there(needle):
    blunt, pointed = shaft_points(needle), shaft_points(replace(needle, point_mm=4.0))
    from_tip_mm = np.linalg.norm(blunt.xyz - needle.tip, axis=1)
    beyond = from_tip_mm > 5.0
    np.testing.assert_allclose(pointed.mass[beyond], blunt.mass[beyond])
    middle = (from_tip_mm > 1.5) & (from_tip_mm < 2.5)
    assert pointed.mass[middle].mean() == pytest.approx(0.5 * blunt.mass[middle].mean(), rel=0.1)
