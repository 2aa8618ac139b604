"""Finding needles in one call: devices that fail, stopping, and models that stay loaded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ct.untrained import write_untrained_weights

from needle_backend.core.device import DeviceChoice
from needle_backend.core.errors import Cancelled, InputError
from needle_backend.core.needles import LocateOptions
from needle_backend.core.progress import CancelToken, no_progress
from needle_backend.core.volume import Volume
from needle_backend.core.weights import DEFAULT_PAIR_WEIGHTS
from needle_backend.ct import localize
from needle_backend.ct.classical import ClassicalLocalizer
from needle_backend.ct.localize import InProcessLocalizer
from needle_backend.ct.methods import localizer_of


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> LocateOptions:
    weights = write_untrained_weights(tmp_path_factory.mktemp("weights"))
    return LocateOptions(weights=str(weights), device="cpu")


@pytest.fixture(scope="module")
def volume() -> Volume:
    array = np.random.default_rng(0).integers(-1000, 1500, (20, 64, 64)).astype(np.int16)
    return Volume(array, (4.0, 4.0, 5.0), (0.0, 0.0, 0.0))


def choose(monkeypatch, device: str) -> None:
    monkeypatch.setattr(localize, "choose_device", lambda requested: DeviceChoice(device))


def test_a_gpu_that_fails_is_given_up_for_the_cpu_and_the_reason_is_told(
    monkeypatch, options, volume
):
    expected = InProcessLocalizer().locate(volume, options, no_progress, CancelToken())
    choose(monkeypatch, "cuda:99")
    result = InProcessLocalizer().locate(volume, options, no_progress, CancelToken())
    assert result.needles == expected.needles
    assert result.device == "cpu"
    (warning,) = result.warnings
    assert warning.startswith("cuda:99 cannot be used (")
    assert warning.endswith("), so the CPU computes instead.")


def test_a_full_gpu_is_given_up_for_the_cpu(monkeypatch, options, volume):
    class OnTheCpuAnyway(InProcessLocalizer):
        def load(self, weights, device):
            return super().load(weights, "cpu")

    def full(device, array):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    choose(monkeypatch, "cuda:0")
    monkeypatch.setattr(localize, "white_top_hat_on", full)
    result = OnTheCpuAnyway().locate(volume, options, no_progress, CancelToken())
    assert result.device == "cpu"
    assert result.warnings == (
        "cuda:0 cannot be used (its memory is full), so the CPU computes instead.",
    )


def test_an_error_on_the_cpu_is_not_hidden(monkeypatch, options, volume):
    def broken(array):
        raise RuntimeError("broken")

    monkeypatch.setattr(localize, "white_top_hat", broken)
    with pytest.raises(RuntimeError, match="broken"):
        InProcessLocalizer().locate(volume, options, no_progress, CancelToken())


@pytest.mark.parametrize("stage", ["tophat", "network", "match"])
def test_a_cancel_at_any_stage_is_heard_within_it(options, volume, stage):
    cancel = CancelToken()
    after = []

    def progress(now, fraction):
        if cancel.is_cancelled:
            after.append((now, fraction))
        elif now == stage:
            cancel.cancel()

    with pytest.raises(Cancelled):
        InProcessLocalizer().locate(volume, options, progress, cancel)
    assert after == []


def test_progress_runs_through_the_stages_in_their_order(options, volume):
    seen: list[tuple[str, float]] = []
    InProcessLocalizer().locate(volume, options, lambda *s: seen.append(s), CancelToken())
    stages = ["tophat", "network", "match"]
    assert list(dict.fromkeys(stage for stage, _ in seen)) == stages
    for stage in stages:
        fractions = [fraction for name, fraction in seen if name == stage]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0


def test_a_network_stays_loaded(options):
    localizer = InProcessLocalizer()
    assert localizer.load(options.weights, "cpu") is localizer.load(options.weights, "cpu")


def test_the_ends_seen_on_the_slices_come_with_the_needles_when_asked_for(options, volume):
    localizer = InProcessLocalizer()
    result, ends = localizer.locate_with_ends(volume, options, no_progress, CancelToken())
    assert result.needles == localizer.locate(volume, options, no_progress, CancelToken()).needles
    assert len(ends) > 0
    assert ends.slice_index.max() < len(volume.array)


def test_only_ends_seen_better_than_the_thresholds_count(options, volume):
    def seen(**thresholds):
        chosen = replace(options, **thresholds)
        result = InProcessLocalizer().locate(volume, chosen, no_progress, CancelToken())
        return len(result.seen_tips), len(result.seen_handles)

    # An untrained network sees ends everywhere, none of them well.
    tips, handles = seen(tip_threshold=0.0, handle_threshold=0.0)
    assert tips > 0 and handles > 0
    assert seen(tip_threshold=0.99, handle_threshold=0.0) == (0, handles)
    assert seen(tip_threshold=0.0, handle_threshold=0.99) == (tips, 0)


@pytest.mark.parametrize("threshold", [-0.1, 1.0, float("nan")])
def test_a_threshold_that_is_none_is_refused(options, volume, threshold):
    with pytest.raises(InputError, match="The thresholds for tips and handles are"):
        chosen = replace(options, tip_threshold=threshold)
        InProcessLocalizer().locate(volume, chosen, no_progress, CancelToken())


def test_a_method_is_chosen_by_its_name():
    assert isinstance(localizer_of("network"), InProcessLocalizer)
    assert isinstance(localizer_of("classical"), ClassicalLocalizer)
    with pytest.raises(InputError, match="no method 'magic'; choose one of network, classical"):
        localizer_of("magic")


def test_weights_that_judge_pairs_are_chosen_by_name_and_told(options, volume):
    chosen = replace(options, pair_weights=DEFAULT_PAIR_WEIGHTS)
    result = InProcessLocalizer().locate(volume, chosen, no_progress, CancelToken())
    by_default = InProcessLocalizer().locate(volume, options, no_progress, CancelToken())
    assert result.needles == by_default.needles
    assert result.weights == f"{by_default.weights} and {DEFAULT_PAIR_WEIGHTS}"


def test_weights_that_do_not_judge_pairs_are_refused_before_the_work(options, volume):
    def begun(stage: str, share: float) -> None:
        raise AssertionError(stage)

    with pytest.raises(InputError, match="needles train pairs"):
        InProcessLocalizer().locate(
            volume, replace(options, pair_weights=options.weights), begun, CancelToken()
        )
