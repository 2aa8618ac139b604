"""Which device computes, and on how many cores."""

from __future__ import annotations

import os

import pytest
import torch

from needle_backend.core.device import choose_device, leave_cores_free
from needle_backend.core.errors import InputError


def test_the_cpu_can_be_asked_for():
    assert choose_device("cpu").device == "cpu"


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cpu:0"])
def test_a_device_of_an_unknown_name_is_refused(name):
    with pytest.raises(InputError, match="no device"):
        choose_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_cpu_computes_and_only_who_asked_for_a_gpu_is_told():
    assert choose_device("auto").warnings == ()
    choice = choose_device("cuda")
    assert choice.device == "cpu"
    assert "CPU computes instead" in choice.warnings[0]


@pytest.fixture
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_half_of_the_cores_are_left_to_others(monkeypatch, threads_as_before):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    leave_cores_free()
    assert torch.get_num_threads() == max(1, os.cpu_count() // 2)


def test_a_number_of_threads_that_was_set_is_kept(monkeypatch, threads_as_before):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    torch.set_num_threads(3)
    leave_cores_free()
    assert torch.get_num_threads() == 3
