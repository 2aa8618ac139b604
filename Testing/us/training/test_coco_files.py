"""Labelled sets come back as they were written, and whatever is wrong is said with file and row."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from needle_backend.core.errors import InputError
from needle_backend.us.training.coco_files import (
    ANNOTATIONS,
    LabelledImage,
    checked_box,
    read_coco,
    write_coco,
)

WIDTH, HEIGHT = 80, 60


def grey_image(path, width=WIDTH, height=HEIGHT):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width), 90, np.uint8))
    return path


@pytest.fixture
def folder(tmp_path):
    """A set of two images: one tip in the first, none in the second."""
    folder = tmp_path / "set"
    images = [
        LabelledImage(grey_image(folder / "images" / name), WIDTH, HEIGHT, np.array(boxes))
        for name, boxes in (("a.png", [[10.0, 20.0, 30.0, 15.5]]), ("b.png", []))
    ]
    write_coco(folder, images, {"origin": "made for a test"})
    return folder


@pytest.fixture
def change(folder):
    """Change the content of the set's COCO file, by a function."""

    def change_content(mend):
        path = folder / ANNOTATIONS
        content = json.loads(path.read_text())
        mend(content)
        path.write_text(json.dumps(content))

    return change_content


def refusal(folder):
    with pytest.raises(InputError) as refused:
        read_coco(folder)
    return str(refused.value)


def test_a_set_comes_back_as_it_was_written(folder):
    labelled = read_coco(folder)
    first, second = labelled.images
    assert [image.path.name for image in labelled.images] == ["a.png", "b.png"]
    assert (first.width, first.height) == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(first.boxes, [[10.0, 20.0, 30.0, 15.5]])
    assert second.boxes.shape == (0, 4)
    assert labelled.box_count == 1


def test_what_is_known_of_the_set_and_of_each_image_is_kept(folder, tmp_path):
    (image, _) = read_coco(folder).images
    write_coco(
        folder, [LabelledImage(image.path, WIDTH, HEIGHT, image.boxes, {"seed": 7})], {"n": 3}
    )
    assert json.loads((folder / ANNOTATIONS).read_text())["info"] == {"n": 3}
    assert read_coco(folder).images[0].facts == {"seed": 7}


def test_pycocotools_reads_what_is_written(folder, capsys):
    from pycocotools.coco import COCO

    coco = COCO(str(folder / ANNOTATIONS))
    assert [annotation["bbox"] for annotation in coco.anns.values()] == [[10.0, 20.0, 30.0, 15.5]]
    assert coco.loadCats([1])[0]["name"] == "tip"


def test_images_may_lie_beside_the_labels_and_be_of_any_kind(folder, change):
    grey_image(folder / "photos" / "c.jpg", 40, 30)
    row = {"id": 9, "file_name": "photos/c.jpg", "width": 40, "height": 30}
    change(lambda content: content["images"].append(row))
    assert read_coco(folder).images[2].path == folder / "photos" / "c.jpg"


def test_with_several_categories_the_one_called_tip_counts(folder, change):
    def shaft_first(content):
        content["categories"].insert(0, {"id": 5, "name": "shaft"})
        content["annotations"].append({**content["annotations"][0], "id": 2, "category_id": 5})

    change(shaft_first)
    assert read_coco(folder).box_count == 1


def test_several_categories_without_a_tip_among_them_are_refused(folder, change):
    change(lambda content: content.update(categories=[{"id": 1, "name": n} for n in ("a", "b")]))
    change(lambda content: content["categories"][1].update(id=2))
    assert "has the categories a, b" in refusal(folder)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([70, 20, 30, 15], "outside its image of 80 x 60 pixels"),
        ([-8, 20, 30, 15], "outside its image"),
        ([10, 50, 30, 15], "from (10, 50) to (40, 65)"),
        ([10, 20, 0, 15], "0 pixels wide"),
        ([10, 20, 30, -4], "-4 high"),
        ([10, 20, 30], "no box of four numbers"),
        ([10, 20, None, 15], "no box of four numbers"),
        ([10, float("nan"), 30, 15], "no box of four numbers"),
        ("10 20 30 15", "no box of four numbers"),
    ],
)
def test_a_box_that_is_none_is_named_with_its_row_and_image(folder, change, box, words):
    change(lambda content: content["annotations"].append({
        "id": 2, "image_id": 2, "category_id": 1, "bbox": box,
    }))  # fmt: skip
    sentence = refusal(folder)
    assert sentence.startswith(f"{folder / ANNOTATIONS}, annotation 2 (b.png)")
    assert words in sentence


@pytest.mark.parametrize(
    ("key", "row", "change_row", "words"),
    [
        ("annotations", 1, {"id": 1}, "annotation 2 has the id 1 of annotation 1"),
        ("annotations", 1, {"image_id": 77}, "annotation 2 belongs to image id 77"),
        ("annotations", 1, {"image_id": "two"}, "annotation 2 has no usable image_id"),
        ("annotations", 1, {"bbox": [10, 20, 30, 15.5]}, "a box that a.png has already"),
        ("images", 1, {"id": 1}, "image 2 has the id 1 of an earlier one"),
        ("images", 1, {"file_name": "a.png"}, "image 2 is a.png, as is image 1"),
        ("images", 1, {"file_name": "lost.png"}, "lost.png does not exist"),
        ("images", 1, {"file_name": ""}, "image 2 has no usable file_name"),
        ("images", 1, {"width": 81}, "said to have 81 x 60 pixels"),
        ("images", 1, {"height": None}, "image 2 has no usable height"),
    ],
)
def test_rows_that_contradict_each_other_are_named(folder, change, key, row, change_row, words):
    def mend(content):
        annotation = {"id": 2, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}
        content["annotations"].append(annotation)
        content[key][row].update(change_row)

    change(mend)
    sentence = refusal(folder)
    assert words in sentence
    assert str(folder) in sentence


def test_a_set_without_a_single_box_is_refused_unless_that_is_meant(folder, change):
    change(lambda content: content.update(annotations=[]))
    assert "marks no tip in any of its 2 images" in refusal(folder)
    assert read_coco(folder, needs_boxes=False).box_count == 0


@pytest.mark.parametrize("content", ["", "{", "[]", '{"images": []}', '{"images": 3}'])
def test_a_file_that_is_no_coco_is_refused(folder, content):
    (folder / ANNOTATIONS).write_text(content)
    assert "is no COCO file" in refusal(folder)


def test_a_file_that_lists_no_images_is_refused(folder, change):
    change(lambda content: content.update(images=[]))
    assert "lists no images" in refusal(folder)


def test_a_folder_without_labels_is_refused(tmp_path):
    assert "holds no labels" in refusal(tmp_path)


def test_an_image_that_is_none_is_refused(folder):
    (folder / "images" / "a.png").write_bytes(b"not an image")
    assert "a.png is damaged or no image" in refusal(folder)


def test_a_box_outside_its_image_is_never_written(folder):
    (image, _) = read_coco(folder).images
    before = (folder / ANNOTATIONS).read_bytes()
    outside = LabelledImage(image.path, WIDTH, HEIGHT, np.array([[70.0, 0.0, 30.0, 10.0]]))
    with pytest.raises(InputError, match=r"a box of a\.png reaches from"):
        write_coco(folder, [outside])
    assert (folder / ANNOTATIONS).read_bytes() == before


@given(
    x0=st.floats(-1, WIDTH - 4),
    y0=st.floats(-1, HEIGHT - 4),
    width=st.floats(3, WIDTH),
    height=st.floats(3, HEIGHT),
)
def test_a_box_that_is_accepted_lies_inside_its_image(x0, y0, width, height):
    try:
        x, y, w, h = checked_box((x0, y0, width, height), WIDTH, HEIGHT, "a box")
    except InputError:
        assert x0 + width > WIDTH + 1 or y0 + height > HEIGHT + 1
    else:
        assert 0 <= x < x + w <= WIDTH + 1e-9
        assert 0 <= y < y + h <= HEIGHT + 1e-9
        assert w <= width + 1e-9 and h <= height + 1e-9
