"""Many items, done here, in processes and on a Dask cluster; bad ones stop nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from functools import partial

import pytest
from core.work_to_run import note_and_square, process_and_threads, square

from needle_backend.core import runner
from needle_backend.core.errors import BackendError, InputError
from needle_backend.core.runner import choose_runner, run_here, run_in_processes, run_on_dask


def by_item(outcomes):
    return {outcome.item: outcome for outcome in outcomes}


@pytest.mark.parametrize(
    "run", [run_here, partial(run_in_processes, workers=2)], ids=["here", "in processes"]
)
def test_an_item_that_fails_stops_no_other(run):
    outcomes = by_item(run(square, [1, 2, 3, 4]))
    assert {item: outcomes[item].value() for item in (1, 2, 4)} == {1: 1, 2: 4, 4: 16}
    with pytest.raises(InputError, match="3 is no good"):
        outcomes[3].value()


def test_an_item_that_kills_its_process_stops_no_other():
    outcomes = by_item(run_in_processes(square, [5, 1, 2, 5, 4], workers=2))
    assert {item: outcomes[item].value() for item in (1, 2, 4)} == {1: 1, 2: 4, 4: 16}
    with pytest.raises(BackendError, match="died"):
        outcomes[5].value()


def test_processes_are_used_again_and_share_the_cores():
    outcomes = [outcome.value() for outcome in run_in_processes(process_and_threads, range(6), 2)]
    processes = {pid for pid, _ in outcomes}
    assert os.getpid() not in processes
    assert len(processes) <= 2
    assert {threads for _, threads in outcomes} == {str(max(1, os.cpu_count() // 2))}


def test_here_an_item_is_done_only_when_asked_for(tmp_path):
    run = run_here(note_and_square, [(tmp_path, 1), (tmp_path, 2)])
    assert next(run).value() == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_one_worker_needs_no_process():
    assert choose_runner(1) is run_here
    assert choose_runner(3).func is run_in_processes


def test_stopping_early_leaves_no_process(tmp_path):
    run = run_in_processes(note_and_square, [(tmp_path, number) for number in range(40)], 2)
    next(run)
    run.close()
    assert multiprocessing.active_children() == []
    assert len(list(tmp_path.iterdir())) < 40


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster


@pytest.mark.slow
def test_a_dask_worker_killed_in_mid_run_costs_no_item(cluster, tmp_path):
    run = choose_runner(1, cluster.scheduler_address)
    items = [(tmp_path, number) for number in range(12)]
    outcomes = []
    for outcome in run(note_and_square, items):
        outcomes.append(outcome)
        if len(outcomes) == 3:
            started_last = max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime)
            os.kill(int(started_last.name.split("-")[1]), signal.SIGKILL)
    assert sorted(outcome.value() for outcome in outcomes) == [n * n for n in range(12)]
    processes = {path.name.split("-")[1] for path in tmp_path.iterdir()}
    assert len(processes) >= 2


@pytest.mark.slow
def test_on_dask_an_item_that_fails_stops_no_other(cluster):
    outcomes = by_item(run_on_dask(square, [1, 3, 4], cluster.scheduler_address))
    assert (outcomes[1].value(), outcomes[4].value()) == (1, 16)
    assert str(outcomes[3].error) == "3 is no good."


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x"])
def test_a_scheduler_that_does_not_answer_is_told(address, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(runner, "DASK_ANSWERS_WITHIN_S", 0.5)
    with pytest.raises(InputError, match="No Dask scheduler answers at"):
        next(run_on_dask(square, [1], address))


def test_without_dask_the_user_hears_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match="pip install"):
        next(run_on_dask(square, [1], "tcp://127.0.0.1:8786"))
