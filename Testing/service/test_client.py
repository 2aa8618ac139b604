"""The backend process and its client: needles are found, and trouble is told, never suffered."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from needle_backend.core.errors import BackendError, Cancelled, InputError
from needle_backend.core.needles import LocateOptions
from needle_backend.core.progress import CancelToken, no_progress
from needle_backend.service.client import BackendClient, Patience
from needle_backend.service.job import FrameDropped

LAUNCHER = (sys.executable, str(Path(__file__).with_name("launcher.py")))
STAGES = ["read", "tophat", "network", "match"]
INTERPRETERS = pytest.mark.parametrize(
    "python", [(sys.executable,), LAUNCHER], ids=["interpreter", "launcher"]
)


def locate(client, volume, cancel=None):
    return client.locate(volume, LocateOptions(), no_progress, cancel or CancelToken())


def frame(value: int) -> np.ndarray:
    return np.full((6, 8), value, np.uint8)


# It works


@INTERPRETERS
def test_needles_come_back_with_progress(new_client, volume_that, python):
    stages = []
    result = new_client(python=python).locate(
        volume_that(), LocateOptions(count=3), lambda stage, _: stages.append(stage), CancelToken()
    )
    assert result.needles[0].tip_lps == (-10.0, 20.0, 30.0)
    assert result.count.value == 3
    assert result.warnings == ("resampled",)
    assert stages == STAGES


def test_a_job_calls_back_when_it_is_done(client, volume_that, finish):
    done = []
    job = client.start_locate(volume_that(), LocateOptions(), on_done=done.append)
    assert done == []
    finish(client, job)
    assert done == [job]
    assert len(job.result().needles) == 1


def test_lines_are_scored_on_a_volume_already_sent(client, volume_that, finish):
    located = finish(client, client.start_locate(volume_that(value=2), LocateOptions()))
    lines = np.array([[[0, 0, 0], [3, 4, 0]], [[0, 0, 0], [0, 0, 0]]])
    job = finish(client, client.start_score(located, lines))
    np.testing.assert_allclose(job.result(), [7.0, 2.0])


def test_a_line_is_fitted_among_others(client, volume_that, finish):
    sent = client.send_volume(volume_that())
    line = np.array([[0.0, 0.0, 0.0], [0.0, 100.0, 0.0]])
    others = np.zeros((2, 2, 3))
    job = finish(client, client.start_fit(sent, line, others, LocateOptions()))
    np.testing.assert_allclose(job.result(), line + 2.0)
    own_weights = LocateOptions(pair_weights="/data/own pairs.safetensors")
    job = finish(client, client.start_fit(sent, line, others, own_weights))
    np.testing.assert_allclose(job.result(), line)


def test_a_tips_handle_is_one_that_is_known_or_another(client, volume_that, finish):
    sent = client.send_volume(volume_that())
    tip, known, none = np.zeros(3), np.array([[0.0, 150.0, 5.0]]), np.zeros((0, 3))
    options = LocateOptions(length_mm=120.0)
    job = client.start_find_handle(sent, tip, known, none, options)
    assert finish(client, job).result().tolist() == [[0.0, 0.0, 0.0], [0.0, 150.0, 5.0]]
    job = client.start_find_handle(sent, tip, none, none, options)
    assert finish(client, job).result().tolist() == [[0.0, 0.0, 0.0], [0.0, 120.0, 0.0]]


def test_the_process_tells_what_it_is(client, finish):
    assert client.server_info is None
    job = finish(client, client.start_info())
    assert job.result()["device"] == client.server_info["device"] == "fake"


def test_weights_can_be_loaded_ahead(client, finish):
    job = finish(client, client.start_load("ct.safetensors", "cpu"))
    assert job.result()["weights"] == ["ct.safetensors"]


def test_the_newest_frame_is_answered_and_older_ones_are_dropped(client, finish, eventually):
    finish(client, client.start_info())
    jobs = [client.start_track(frame(50), number, 0.1 * number) for number in range(12)]
    eventually(lambda: client.poll() or all(job.done for job in jobs), "every frame has its due")
    results = [job.result() for job in jobs if not was_dropped(job)]
    assert len(results) < len(jobs)
    assert [answer["frame"] for answer in results] == sorted(answer["frame"] for answer in results)
    assert results[-1]["frame"] == 11
    assert all(answer["time_s"] == 0.1 * answer["frame"] for answer in results)


def was_dropped(job) -> bool:
    try:
        job.result()
    except FrameDropped:
        return True
    return False


def test_what_libraries_print_does_not_disturb(client, volume_that):
    assert len(locate(client, volume_that("chatter in network")).needles) == 1


def test_one_process_serves_many_jobs(client, volume_that):
    locate(client, volume_that())
    pid = client.worker_pid
    locate(client, volume_that())
    assert client.worker_pid == pid


def test_fifty_jobs_leave_memory_and_open_files_as_they_were(client, volume_that):
    def footprint() -> tuple[int, int, int]:
        here, there = psutil.Process(), psutil.Process(client.worker_pid)
        return here.memory_info().rss, there.memory_info().rss, here.num_fds() + there.num_fds()

    volume = volume_that()
    large = type(volume)(np.zeros((20, 256, 256), np.int16), (1, 1, 5), (0, 0, 0))
    for number in range(60):
        if number == 10:
            before = footprint()
        locate(client, large)
    after = footprint()
    assert after[0] - before[0] < 4 * large.array.nbytes
    assert after[1] - before[1] < 4 * large.array.nbytes
    assert after[2] == before[2]


# It says no


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ("refuse in read", InputError, "load the whole CT"),
        ("full in network", BackendError, "memory of the computing device is full"),
        ("full-gpu in network", BackendError, "memory of the computing device is full"),
        ("fail in match", BackendError, "a mistake of ours"),
    ],
)
def test_a_job_that_fails_raises_here_and_the_process_goes_on(
    client, volume_that, source, error, words
):
    with pytest.raises(error, match=words):
        locate(client, volume_that(source))
    pid = client.worker_pid
    assert len(locate(client, volume_that()).needles) == 1
    assert client.worker_pid == pid


def test_a_volume_that_cannot_be_sent_is_refused(client, volume_that):
    volume = volume_that()
    with pytest.raises(BackendError, match="cannot be sent"):
        locate(client, type(volume)(volume.array.astype(complex), (1, 1, 1), (0, 0, 0)))


def test_a_missing_interpreter_is_named(new_client):
    with pytest.raises(BackendError, match=r"cannot be started with /no/such/PythonSlicer"):
        new_client(python=("/no/such/PythonSlicer",)).start()


def test_a_backend_whose_work_cannot_be_loaded_says_so(new_client, volume_that):
    with pytest.raises(BackendError, match="No module named 'torch'"):
        locate(new_client("CannotLoad"), volume_that())


def test_the_last_words_of_a_process_that_ended_are_quoted(new_client, volume_that):
    with pytest.raises(BackendError, match=r"status 1.*the driver is too old"):
        locate(new_client("EndsLoading"), volume_that())


# It is cancelled


@INTERPRETERS
@pytest.mark.parametrize("how", ["sleep", "hang", "stop"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_job_is_cancelled_at_every_stage_within_half_a_second(
    new_client, volume_that, python, stage, how
):
    cancelled_at = []
    cancel = CancelToken()

    def cancel_in_stage(name: str, fraction: float) -> None:
        if name == stage:
            cancelled_at.append(time.monotonic())
            cancel.cancel()

    with pytest.raises(Cancelled):
        new_client(python=python).locate(
            volume_that(f"{how} in {stage}"), LocateOptions(), cancel_in_stage, cancel
        )
    assert time.monotonic() - cancelled_at[0] < 0.5


@pytest.mark.parametrize("work", ["FakeWork", "SlowToLoad"])
def test_a_job_is_cancelled_while_the_process_starts_or_loads(new_client, volume_that, work):
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        locate(new_client(work), volume_that(), cancel)


def test_a_job_cancelled_while_models_load_leaves_the_process_alone(
    new_client, volume_that, eventually, finish
):
    client = new_client("SlowToLoad")
    client.start()
    eventually(lambda: client.poll() or client.worker_pid, "the process said hello")
    pid = client.worker_pid
    job = client.start_locate(volume_that(), LocateOptions())
    client.cancel(job)
    finish(client, job)
    assert client.worker_pid == pid


def test_the_process_goes_on_after_a_job_that_stopped_when_asked(client, volume_that):
    cancel = CancelToken()
    with pytest.raises(Cancelled):
        client.locate(
            volume_that("sleep in match"), LocateOptions(), lambda *_: cancel.cancel(), cancel
        )
    pid = client.worker_pid
    assert len(locate(client, volume_that()).needles) == 1
    assert client.worker_pid == pid


def test_cancelling_what_is_done_changes_nothing(client, volume_that, finish):
    job = finish(client, client.start_locate(volume_that(), LocateOptions()))
    client.cancel(job)
    assert len(job.result().needles) == 1


# It dies or hangs


def test_a_process_killed_while_loading_is_told_and_replaced(new_client, volume_that):
    client = new_client("DiesLoading")
    with pytest.raises(BackendError, match="stopped unexpectedly"):
        locate(client, volume_that())


@INTERPRETERS
def test_a_process_killed_in_mid_job_is_told_and_replaced(new_client, volume_that, python):
    client = new_client(python=python)
    with pytest.raises(BackendError, match=r"stopped unexpectedly.*try again"):
        locate(client, volume_that("die in network"))
    assert client.worker_pid is None
    assert len(locate(client, volume_that()).needles) == 1


def test_a_process_killed_in_mid_frame_is_told_and_replaced(client, finish):
    job = finish(client, client.start_track(frame(99), 1, 0.0))
    with pytest.raises(BackendError, match="stopped unexpectedly"):
        job.result()
    job = finish(client, client.start_track(frame(3), 2, 0.1))
    assert job.result()["value"] == 3


@pytest.mark.parametrize(
    "python",
    [(sys.executable,), LAUNCHER, (*LAUNCHER, "--linger")],
    ids=["interpreter", "launcher", "lingering launcher"],
)
def test_a_process_killed_while_idle_is_replaced_by_the_next_request(
    new_client, volume_that, python, eventually
):
    client = new_client(python=python)
    locate(client, volume_that())
    killed = client.worker_pid
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(killed) or is_zombie(killed), "it is dead")
    assert len(locate(client, volume_that()).needles) == 1
    assert client.worker_pid != killed


def is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@INTERPRETERS
@pytest.mark.parametrize(
    ("how", "words"), [("stop", "no sign of life"), ("hang", "made no progress")]
)
def test_a_process_that_hangs_is_told_and_replaced(new_client, volume_that, python, how, words):
    client = new_client(python=python, patience=Patience(silence_s=2.5, job_s=3.0))
    with pytest.raises(BackendError, match=words):
        locate(client, volume_that(f"{how} in network"))
    assert len(locate(client, volume_that()).needles) == 1


def test_a_process_that_hangs_while_frames_keep_coming_is_noticed(new_client, finish, eventually):
    client = new_client(patience=Patience(frame_s=0.3))
    finish(client, client.start_info())
    jobs = []

    def is_given_up() -> bool:
        jobs.append(client.start_track(frame(51), len(jobs), 0.0))
        client.poll()
        return any(job.done and not was_dropped(job) for job in jobs)

    with pytest.raises(BackendError, match="made no progress"):
        eventually(is_given_up, "a frame is given up")


def test_a_process_that_never_says_hello_is_given_up(finish):
    client = BackendClient(patience=Patience(start_s=0.3), server=("service.mute",))
    job = finish(client, client.start_info())
    with pytest.raises(BackendError, match="did not start in time"):
        job.result()


def test_closing_ends_jobs_as_cancelled(client, volume_that):
    job = client.start_locate(volume_that("sleep in read"), LocateOptions())
    client.close()
    with pytest.raises(Cancelled):
        job.result()


@INTERPRETERS
@pytest.mark.parametrize("how", ["hang", "stop"])
def test_closing_ends_even_a_process_that_hangs(new_client, volume_that, python, how, eventually):
    client = new_client(python=python)
    stages = []
    client.start_locate(
        volume_that(f"{how} in network"), LocateOptions(), lambda stage, _: stages.append(stage)
    )
    eventually(lambda: client.poll() or "network" in stages, "the job hangs")
    client.close()  # that nothing is left is checked after every test


@INTERPRETERS
@pytest.mark.parametrize("source", ["sleep in network", "hang in network", ""])
def test_the_process_ends_when_its_client_is_killed(python, source):
    script = Path(__file__).with_name("client_to_be_killed.py")
    with subprocess.Popen(
        [sys.executable, script, source, *python], stdout=subprocess.PIPE, text=True
    ) as process:
        worker_pid = int(process.stdout.readline())
        assert psutil.pid_exists(worker_pid)
        process.kill()
    # that the worker and its shared memory are gone is checked after every test


def test_a_launcher_that_is_killed_does_not_take_a_job_with_it(new_client, volume_that, finish):
    client = new_client(python=LAUNCHER)
    locate(client, volume_that())
    psutil.Process(client.worker_pid).parent().kill()
    assert len(locate(client, volume_that()).needles) == 1


def test_a_callback_that_fails_loses_no_other_answer(client, finish):
    def fail(job):
        raise RuntimeError("a mistake in the window")

    first, second = client.start_info(on_done=fail), client.start_info()
    with pytest.raises(RuntimeError):
        while not first.done:
            client.poll()
    assert finish(client, second).result()["device"] == "fake"


def test_a_callback_that_fails_hides_no_other_loss(client, volume_that, finish):
    def fail(job):
        raise RuntimeError("a mistake in the window")

    first = client.start_locate(volume_that("die in read"), LocateOptions(), on_done=fail)
    second = client.start_info()
    with pytest.raises(RuntimeError):
        finish(client, first)
    with pytest.raises(BackendError):
        finish(client, second).result()


def test_lines_are_scored_on_a_volume_that_was_only_sent(client, volume_that, finish):
    sent = client.send_volume(volume_that(value=3))
    assert client.has_volume_of(sent)
    lines = np.array([[[0.0, 0.0, 0.0], [0.0, 3.0, 4.0]]])
    assert finish(client, client.start_score(sent, lines)).result().tolist() == [8.0]


def test_a_volume_is_gone_when_another_was_sent_or_the_process_died(client, volume_that):
    first, second = client.send_volume(volume_that()), client.send_volume(volume_that())
    assert not client.has_volume_of(first)
    assert client.has_volume_of(second)
    client.close()
    assert not client.has_volume_of(second)
