"""`needles bench` on small sizes: what it reports."""

import json

import pytest
from ct.untrained import write_untrained_weights
from us.planted import write_untrained_weights as write_untrained_tip_weights


@pytest.fixture
def bench(needles, ct_file, tmp_path):
    def run_command(part, *arguments):
        code, out, err = needles("bench", part, "--device", "cpu", "--repeats", 1, *arguments)
        assert (code, err) == (0, "")
        return json.loads(out)

    return run_command


def test_the_top_hat_is_measured_beside_simpleitks_and_equals_it(bench, ct_file):
    report = bench("tophat", "--ct", ct_file, "--slices", 2, "--pixels", 64)
    assert report["equal"]
    assert report["sizes"] == {"slices": 2, "rows": 64, "columns": 64}
    assert report["median_ms"].keys() == {"tophat", "simpleitk"}
    assert report["ratios"]["simpleitk_to_tophat"]["processor"] > 0
    assert report["machine"]["device"] == "cpu"
    assert {"torch", "SimpleITK", "processor"} <= report["machine"].keys()


@pytest.mark.slow
def test_matching_is_measured_with_every_solver_and_for_growing_cases(bench, tmp_path):
    plot = tmp_path / "plot.png"
    report = bench("matching", "--cases", 1, "--sizes", "5,10", "--plot", plot)
    assert {"score", "default", "exact", "score_and_default"} <= report["median_ms"].keys()
    assert report["sizes"] == {"needles": 44, "tips": 65, "handles": 82, "cases": 1}
    assert report["scaling"]["sizes"] == [5, 10]
    assert plot.stat().st_size > 1000


@pytest.mark.slow
def test_a_ct_is_measured_from_file_to_markups_beside_a_plain_network(bench, ct_file, tmp_path):
    weights = write_untrained_weights(tmp_path)
    size = ("--slices", 3, "--pixels", 64, "--sizes", "2,4")
    report = bench("ct", "--ct", ct_file, "--weights", weights, *size)
    parts = {"end_to_end", "network", "backbone", "plain_network"}
    assert report["median_ms"].keys() == report["median_processor_ms"].keys() == parts
    assert {"plain_network_to_network", "backbone_to_end_to_end"} == report["ratios"].keys()
    assert report["scaling"]["sizes"] == [2, 4]


def test_a_frames_way_to_its_box_is_measured_beside_the_network_alone(bench, tmp_path):
    report = bench("us", "--weights", write_untrained_tip_weights(tmp_path))
    parts = {"letterbox", "frame_to_box_float32", "network_float32", "plain_network"}
    assert parts <= report["median_ms"].keys()
    assert report["median_ms"].keys() == report["p99_ms"].keys()
    assert report["sizes"] == {"rows": 480, "columns": 640, "input_px": 64}
    assert report["frames_a_second"]["float32"] > 0
    assert report["ratios"]["plain_network_to_network"]["processor"] > 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("matching", "--sizes", "a,b"), "are no sizes"),
        (("matching", "--sizes", "0,5"), "Sizes start at 2"),
        (("matching", "--plot", "x.txt"), "must end in .png"),
        (("tophat", "--ct", "no-such-file.nrrd"), "does not exist"),
        (("tophat", "--device", "tpu"), "no device"),
        (("us", "--weights", "no-such-weights"), "No weights at"),
    ],
)
def test_what_cannot_be_measured_is_refused(needles, arguments, sentence):
    code, out, err = needles("bench", *arguments)
    assert code == 2
    assert out == ""
    assert sentence in err
