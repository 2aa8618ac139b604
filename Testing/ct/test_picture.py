import cv2
import numpy as np
import pytest

from needle_backend.core.errors import InputError
from needle_backend.core.needles import LocateResult, Needle, NeedleCount
from needle_backend.core.volume import Volume
from needle_backend.ct.picture import MAX_BYTES, View, draw_overview, write_picture

NEEDLE = Needle((-40.0, 10.0, 30.0), (-60.0, 150.0, 50.0), id="N07", doubts=("faint",))
COUNT = NeedleCount(1, estimated=True)


@pytest.fixture(scope="module")
def volume():
    rng = np.random.default_rng(2)
    array = rng.normal(40, 30, (20, 200, 256)).astype(np.int16)
    array[:, :20] = -1000
    return Volume(array, (1.0, 1.0, 5.0), (-128.0, -60.0, 0.0), "patient/ct.nii.gz")


@pytest.mark.parametrize(
    ("across", "down", "upwards", "right_of", "below"),
    [
        (0, 1, False, (1, 0, 0), (0, 1, 0)),  # axial: L to the right, P down
        (0, 2, True, (1, 0, 0), (0, 0, -1)),  # coronal: L to the right, I down
        (1, 2, True, (0, 1, 0), (0, 0, -1)),  # sagittal: P to the right, I down
    ],
)
def test_views_are_turned_as_radiographers_know_them(across, down, upwards, right_of, below):
    view = View(across, down, upwards, np.full(3, -50.0), np.full(3, 50.0), 2.0, "")
    middle = view.to_px(np.zeros(3))
    np.testing.assert_allclose(middle, (100, 100))
    np.testing.assert_allclose(view.to_px(np.array(right_of)) - middle, (2, 0))
    np.testing.assert_allclose(view.to_px(np.array(below)) - middle, (0, 2))


@pytest.mark.parametrize(("across", "down", "upwards"), [(0, 1, False), (0, 2, True), (1, 2, True)])
def test_a_voxel_is_drawn_where_its_position_is(across, down, upwards):
    array = np.zeros((20, 40, 50), np.int16)
    k, j, i = 12, 8, 30
    array[k, j, i] = 2000
    volume = Volume(array, (0.9, 0.9, 5.0), (-20.0, -10.0, 30.0))
    low, high = volume.ijk_to_lps(np.array([[0, 0, 0], [49, 39, 19]])) + [[-9], [9]]
    view = View(across, down, upwards, low, high, 3.0, "")
    plane = array.max(axis=2 - (3 - across - down))
    image = view.draw_image(plane, volume, (0, 2000))[..., 0].astype(float)
    rows, columns = np.indices(image.shape)
    # A pixel's centre lies half a pixel from its corner.
    centre = [(image * columns).sum() / image.sum() + 0.5, (image * rows).sum() / image.sum() + 0.5]
    np.testing.assert_allclose(centre, view.to_px(volume.ijk_to_lps(np.array([i, j, k]))), atol=0.6)


def test_the_overview_is_a_png_of_bounded_size(tmp_path, volume):
    write_picture(tmp_path / "overview.png", volume, LocateResult((NEEDLE,), COUNT))
    assert (tmp_path / "overview.png").stat().st_size <= MAX_BYTES
    assert cv2.imread(str(tmp_path / "overview.png")).shape[1] > 600


def coloured_pixels(picture):
    return int((np.ptp(picture.astype(int), axis=2) > 60).sum())


def test_needles_are_drawn_in_colour_over_grey(volume):
    without = draw_overview(volume, LocateResult((), NeedleCount(0, estimated=True)))
    assert coloured_pixels(without) == 0
    assert coloured_pixels(draw_overview(volume, LocateResult((NEEDLE,), COUNT))) > 300


def test_ends_without_a_partner_are_drawn_hollow(volume):
    alone = LocateResult((), COUNT, unmatched_tips=((0.0, 50.0, 40.0),))
    nothing = draw_overview(volume, LocateResult((), COUNT))
    differs = (draw_overview(volume, alone) != nothing).any(axis=2)
    differs[:40] = False  # the legend
    rows, columns = np.nonzero(differs[:600, :700])
    circle = differs[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    middle = tuple(size // 2 for size in circle.shape)
    assert not circle[middle]
    assert circle[middle[0], 0] or circle[middle[0], 1]


def test_a_needle_outside_the_image_is_still_in_the_picture(volume):
    far = Needle((-40.0, 10.0, 30.0), (-60.0, 350.0, 250.0), id="N01")
    assert coloured_pixels(draw_overview(volume, LocateResult((far,), COUNT))) > 300


def test_a_name_beyond_ascii_does_no_harm(volume):
    renamed = Volume(volume.array, volume.spacing_mm, volume.origin_lps, "Müller/前列腺.nii.gz")
    assert draw_overview(renamed, LocateResult((NEEDLE,), COUNT)).any()


def test_a_picture_in_a_place_that_cannot_be_written_is_refused(tmp_path, volume):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_picture(tmp_path / "file" / "x.png", volume, LocateResult((), COUNT))
