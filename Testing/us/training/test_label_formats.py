"""Labels come in as people have them, and a wrong one is named with its file and row."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from needle_backend.core.errors import InputError
from needle_backend.us.training.coco_files import LabelledImage, write_coco
from needle_backend.us.training.label_formats import has_labels, read_labels

WIDTH, HEIGHT = 200, 100
BOX = [60.0, 40.0, 40.0, 20.0]
YOLO_ROW = "0 0.4 0.5 0.2 0.2"
VOC = """<annotation><filename>{name}</filename>
<object><name>{label}</name><bndbox><xmin>60</xmin><ymin>40</ymin><xmax>100</xmax><ymax>60</ymax></bndbox></object>
</annotation>"""


@pytest.fixture
def folder(tmp_path):
    """A folder with images a.png and b.png in images/, and no labels yet."""
    for name in ("a.png", "b.png"):
        path = tmp_path / "set" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((HEIGHT, WIDTH), np.uint8))
    return tmp_path / "set"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refusal(folder):
    with pytest.raises(InputError) as refused:
        read_labels(folder)
    assert str(folder) in str(refused.value)
    return str(refused.value)


def boxes_of(folder):
    return {image.path.name: image.boxes.tolist() for image in read_labels(folder).images}


def as_coco(folder):
    image = LabelledImage(folder / "images" / "a.png", WIDTH, HEIGHT, np.array([BOX]))
    empty = LabelledImage(folder / "images" / "b.png", WIDTH, HEIGHT, np.array([]))
    path = write_coco(folder, [image, empty])
    (folder / "annotations").mkdir()
    path.rename(folder / "annotations" / "instances_default.json")


def as_yolo(folder):
    write(folder / "labels" / "a.txt", YOLO_ROW + "\n")


def as_yolo_beside(folder):
    write(folder / "images" / "a.txt", YOLO_ROW)
    write(folder / "images" / "b.txt", "")


def as_voc(folder):
    write(folder / "Annotations" / "a.xml", VOC.format(name="a.png", label="tip"))
    write(
        folder / "Annotations" / "b.xml",
        "<annotation><filename>b.png</filename></annotation>",
    )


@pytest.mark.parametrize("label", [as_coco, as_yolo, as_yolo_beside, as_voc])
def test_every_form_gives_the_same_boxes(folder, label):
    label(folder)
    assert has_labels(folder)
    found = boxes_of(folder)
    np.testing.assert_allclose(found["a.png"], [BOX], atol=1e-9)
    assert found["b.png"] == []


def test_images_alone_are_no_labels(folder):
    write(folder / "notes.txt", "scanned on Monday")
    assert not has_labels(folder)
    assert not has_labels(folder / "images" / "a.png")
    assert "holds no labels" in refusal(folder)


def test_with_several_classes_the_one_called_tip_counts(folder):
    write(folder / "labels" / "a.txt", f"0 0.2 0.2 0.1 0.1\n1{YOLO_ROW[1:]}")
    assert "uses the classes 0, 1" in refusal(folder)
    write(folder / "classes.txt", "shaft\ntip\n")
    np.testing.assert_allclose(boxes_of(folder)["a.png"], [BOX], atol=1e-9)


def test_of_several_names_the_one_called_tip_counts(folder):
    write(folder / "a.xml", VOC.format(name="a.png", label="Tip"))
    write(folder / "b.xml", VOC.format(name="b.png", label="shaft"))
    assert boxes_of(folder) == {"a.png": [BOX], "b.png": []}
    write(folder / "a.xml", VOC.format(name="a.png", label="needle"))
    assert "marks needle, shaft" in refusal(folder)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("0 0.4 0.5 0.2", 'a.txt, line 2 is "0 0.4 0.5 0.2"'),
        ("tip 0.4 0.5 0.2 0.2", "a.txt, line 2 is"),
        ("0 80 50 40 20", "a.txt, line 2 is in pixels"),
        ("0 0.95 0.5 0.2 0.2", "a.txt, line 2 reaches from (170, 40) to (210, 60)"),
        ("0 0.4 0.5 0 0.2", "a.txt, line 2 is 0 pixels wide"),
        ("0 0.4 nan 0.1 0.2", "a.txt, line 2 is no box"),
    ],
)
def test_a_wrong_row_of_yolo_is_named(folder, row, words):
    write(folder / "labels" / "a.txt", f"{YOLO_ROW}\n{row}\n")
    assert words in refusal(folder)


def test_a_yolo_file_without_its_image_is_named(folder):
    as_yolo(folder)
    write(folder / "labels" / "lost.txt", YOLO_ROW)
    assert "lost.txt has no image of that name" in refusal(folder)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<xmax>100</xmax>", "<xmax>260</xmax>", "a.xml, object 1 reaches from"),
        ("<xmax>100</xmax>", "", "a.xml, object 1 has no <bndbox>"),
        ("<xmax>100</xmax>", "<xmax>50</xmax>", "a.xml, object 1 is -10 pixels wide"),
        ("a.png", "lost.png", "lost.png does not exist"),
        ("<filename>a.png</filename>", "", "a.xml does not name its image"),
        ("</annotation>", "", "a.xml is no XML"),
        ("annotation>", "something>", "a.xml is no Pascal VOC file"),
    ],
)
def test_a_wrong_object_of_voc_is_named(folder, old, new, words):
    write(folder / "Annotations" / "a.xml", VOC.format(name="a.png", label="tip").replace(old, new))
    assert words in refusal(folder)


@pytest.mark.parametrize("label", ["labels/a.txt", "Annotations/a.xml"])
def test_labels_without_a_single_box_are_refused(folder, label):
    write(folder / label, "" if label.endswith("txt") else
          "<annotation><filename>a.png</filename></annotation>")  # fmt: skip
    assert "marks no tip" in refusal(folder)


@pytest.mark.parametrize("label", ["labels/a.txt", "Annotations/a.xml"])
def test_labels_that_are_no_text_are_refused(folder, label):
    write(folder / label, "")
    (folder / label).write_bytes(b"\xff\xfe\x81\x00")
    assert "is no text" in refusal(folder)
