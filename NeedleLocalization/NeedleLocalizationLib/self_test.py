"""The module's self test; runs inside Slicer and wherever Slicer's scene runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from needle_backend.core.errors import InputError
from needle_backend.core.markups import read_markups
from needle_backend.core.needles import LocateOptions, LocateResult, Needle, NeedleCount
from needle_backend.core.progress import CancelToken, Progress
from needle_backend.core.quality import QualityLimits
from needle_backend.core.review_log import ReviewState
from needle_backend.core.volume import Volume
from needle_backend.core.weights import list_weights
from NeedleLocalizationLib.export_files import FORMATS, export_needles
from NeedleLocalizationLib.installation import missing_dicom_packages, missing_packages
from NeedleLocalizationLib.localization_run import LocalizationRun
from NeedleLocalizationLib.logic import NeedleLocalizationLogic
from NeedleLocalizationLib.needle_nodes import needle_from_node, needle_nodes_of, read_implant
from NeedleLocalizationLib.review import Review
from NeedleLocalizationLib.sample_data import SAMPLE, TRUTH

GATE_MM = 5.0

EXAMPLE_NEEDLES = (
    Needle((10.0, -20.0, 5.0), (12.0, -22.0, -175.0), score=3.25, confidence=0.97, id="N01"),
    Needle(
        (25.0, 0.0, 10.0),
        (24.0, -3.0, -168.0),
        score=1.5,
        confidence=0.41,
        doubts=("another needle's axis is nearer than 3 mm", "its shaft fades for 20 mm"),
        id="N02",
    ),
)


@dataclass
class GivenNeedles:
    """Finds the needles it was given; keeps what it was asked. Lines score their length."""

    needles: tuple[Needle, ...] = EXAMPLE_NEEDLES
    asked: list[tuple[Volume, LocateOptions]] = field(default_factory=list)

    def locate(
        self, volume: Volume, options: LocateOptions, progress: Progress, cancel: CancelToken
    ) -> LocateResult:
        """Return the needles given, after one step of every stage."""
        self.asked.append((volume, options))
        for stage in ("read", "tophat", "network", "match"):
            cancel.raise_if_cancelled()
            progress(stage, 1.0)
        estimated = options.count is None
        count = NeedleCount(len(self.needles) if estimated else options.count, estimated)
        return LocateResult(self.needles, count)

    def score(self, volume: Volume, lines_lps: np.ndarray) -> np.ndarray:
        """Return the lines' lengths."""
        return np.linalg.norm(lines_lps[:, 0] - lines_lps[:, 1], axis=1)


def add_example_volume(name: str = "CT") -> vtkMRMLScalarVolumeNode:
    """Add a small CT with something in it to the scene."""
    array = np.full((20, 64, 48), -1000, np.int16)
    array[:, 16:48, 12:36] = 40
    ijk_to_ras = np.diag([-2.0, -2.0, 5.0, 1.0])
    ijk_to_ras[:3, 3] = 48.0, 64.0, -50.0
    return slicer.util.addVolumeFromArray(array, ijkToRAS=ijk_to_ras, name=name)


class NeedleLocalizationTest(ScriptedLoadableModuleTest):
    """Runs the logic from volume nodes to line nodes."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(0)

    def test_needles_found_become_lines_with_tip_and_handle(self) -> None:
        volume_node = add_example_volume()
        nodes = NeedleLocalizationLogic(GivenNeedles()).locate(volume_node, LocateOptions())
        self.assertEqual([needle_from_node(node) for node in nodes], list(EXAMPLE_NEEDLES))
        self.assertEqual([node.GetName() for node in nodes], ["N01", "N02"])
        labels = [nodes[0].GetNthControlPointLabel(i) for i in range(2)]
        self.assertEqual(labels, ["T", "H"])
        self.assertTrue(all(node.GetNthControlPointLocked(0) for node in nodes))
        self.delayDisplay("Needles found are lines in the scene")

    def test_a_run_in_the_background_ends_with_its_result(self) -> None:
        ended: list[LocalizationRun] = []
        logic = NeedleLocalizationLogic(GivenNeedles())
        logic.start(add_example_volume(), LocateOptions(), lambda state: None, ended.append)
        deadline_s = time.monotonic() + 20.0
        while not ended and time.monotonic() < deadline_s:
            slicer.app.processEvents()
        self.assertEqual(ended[0].result().needles, EXAMPLE_NEEDLES)

    def test_a_second_run_replaces_the_needles_of_its_volume_only(self) -> None:
        first, second = add_example_volume("first"), add_example_volume("second")
        logic = NeedleLocalizationLogic(GivenNeedles())
        kept = logic.locate(first, LocateOptions())
        logic.locate(second, LocateOptions())
        logic.use(GivenNeedles(EXAMPLE_NEEDLES[:1]))
        logic.locate(second, LocateOptions())
        self.assertEqual(needle_nodes_of(first), kept)
        self.assertEqual(len(needle_nodes_of(second)), 1)

    def test_what_was_done_to_needles_can_be_undone(self) -> None:
        volume_node = add_example_volume()
        first, _second = NeedleLocalizationLogic(GivenNeedles()).locate(
            volume_node, LocateOptions()
        )
        review = Review(volume_node)
        found = review.implant
        uid = found.needles[0].uid
        review.act("accept", found.accepted([uid]))
        first.SetNthControlPointPosition(0, 5.0, 5.0, 5.0)  # as dragged in a view
        self.assertEqual(review.notice(), [uid])
        self.assertEqual(review.implant[uid].state, ReviewState.edited)
        review.act("delete", review.implant.without(uid))
        self.assertEqual(len(needle_nodes_of(volume_node)), 1)
        for expected in ("delete", "move N01", "accept"):
            self.assertEqual(review.undo(), expected)
        self.assertEqual(read_implant(volume_node), found)

    def test_a_saved_scene_keeps_the_needles_and_their_review(self) -> None:
        volume_node = add_example_volume()
        NeedleLocalizationLogic(GivenNeedles()).locate(volume_node, LocateOptions())
        review = Review(volume_node)
        review.act("accept", review.implant.accepted([review.implant.needles[0].uid]))
        before = review.implant
        with TemporaryDirectory() as folder:
            path = str(Path(folder, "case.mrb"))
            slicer.util.saveScene(path)
            slicer.mrmlScene.Clear(0)
            self.assertEqual(slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode"), [])
            slicer.util.loadScene(path)
        after = read_implant(slicer.util.getNode("CT"))
        self.assertEqual([record.id for record in after.needles], ["N01", "N02"])
        for old, new in zip(before.needles, after.needles, strict=True):
            self.assertEqual(replace(new, tip_ras=old.tip_ras, handle_ras=old.handle_ras), old)
            np.testing.assert_allclose(new.ends_ras, old.ends_ras, atol=1e-3)
        self.delayDisplay("The needles are back, one of them accepted")

    def test_needles_are_exported_and_read_back(self) -> None:
        volume_node = add_example_volume()
        NeedleLocalizationLogic(GivenNeedles()).locate(volume_node, LocateOptions())
        with TemporaryDirectory() as folder:
            path = Path(folder, "needles.mrk.json")
            export_needles(path, FORMATS[0], volume_node, QualityLimits())
            self.assertEqual(read_markups(path), EXAMPLE_NEEDLES)

    def test_every_format_is_written(self) -> None:
        volume_node = add_example_volume()
        NeedleLocalizationLogic(GivenNeedles()).locate(volume_node, LocateOptions())
        can_write_dicom = not missing_dicom_packages("pydicom", "highdicom")
        with TemporaryDirectory() as folder:
            for number, format_ in enumerate(FORMATS):
                if format_.suffix != ".dcm" or can_write_dicom:
                    path = Path(folder, f"needles_{number}{format_.suffix}")
                    export_needles(path, format_, volume_node, QualityLimits())
                    self.assertGreater(path.stat().st_size, 0)
        if not can_write_dicom:
            self.delayDisplay("Left out: the packages that write DICOM are not installed")

    def test_the_sample_ct_is_loaded(self) -> None:
        volume_node = SAMPLE.load()
        self.assertEqual(slicer.util.arrayFromVolume(volume_node).ndim, 3)
        self.assertLess(slicer.util.arrayFromVolume(volume_node).min(), -900)

    def test_a_volume_without_image_is_refused_and_the_scene_kept(self) -> None:
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        count = slicer.mrmlScene.GetNumberOfNodes()
        with self.assertRaisesRegex(InputError, "empty holds no image data"):
            NeedleLocalizationLogic(GivenNeedles()).locate(empty, LocateOptions())
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), count)

    def test_the_sample_ct_yields_its_needles(self) -> None:
        if missing_packages():
            self.delayDisplay("Left out: the packages that find needles are not installed")
            return
        if not list_weights():
            self.delayDisplay("Left out: no weights are installed")
            return
        from needle_backend.core.truth import read_truth

        truth = read_truth(TRUTH)
        volume_node = SAMPLE.load()
        nodes = NeedleLocalizationLogic().locate(volume_node, LocateOptions(count=len(truth)))
        tips = np.array([needle_from_node(node).tip_lps for node in nodes])
        missed = [
            needle.tip_lps
            for needle in truth
            if np.linalg.norm(tips - needle.tip_lps, axis=1).min() > GATE_MM
        ]
        self.assertLessEqual(len(missed), len(truth) // 5)
