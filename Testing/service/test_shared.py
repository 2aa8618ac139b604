"""Arrays pass through shared memory and leave nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from multiprocessing import resource_tracker
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from needle_backend.core.errors import BackendError
from needle_backend.service import shared
from needle_backend.service.protocol import DTYPES, ProtocolError

pytestmark = pytest.mark.skipif(
    not shared.LINUX_FOLDER.is_dir(), reason="looks for shared memory where Linux keeps it"
)


def names(outbox: shared.Outbox) -> list[str]:
    return [path.name for path in shared.LINUX_FOLDER.glob(f"{outbox.prefix}*")]


@given(
    arrays_of.arrays(
        st.sampled_from(sorted(DTYPES)), arrays_of.array_shapes(max_dims=4, min_side=0)
    )
)
def test_an_array_taken_equals_the_array_put(array):
    outbox = shared.Outbox()
    taken = shared.take(outbox.put(1, array))
    outbox.taken(1)
    np.testing.assert_array_equal(taken, array)
    assert taken.dtype == array.dtype


def test_a_view_with_gaps_is_put_as_it_reads():
    outbox = shared.Outbox()
    array = np.arange(24).reshape(4, 6)[::-1, ::2]
    np.testing.assert_array_equal(shared.take(outbox.put(1, array)), array)
    outbox.taken(1)


def test_the_memory_is_gone_as_soon_as_it_was_taken():
    outbox = shared.Outbox()
    description = outbox.put(1, np.ones((2, 3)))
    assert len(names(outbox)) == 1
    shared.take(description)
    assert names(outbox) == []
    outbox.taken(1)
    assert len(outbox) == 0


def test_the_sender_removes_what_nobody_took():
    outbox = shared.Outbox()
    outbox.put(1, np.ones(3))
    outbox.put(2, np.ones(3))
    outbox.clear()
    assert names(outbox) == []


def test_memory_said_to_be_taken_is_gone_even_if_it_was_not():
    outbox = shared.Outbox()
    outbox.put(1, np.ones(3))
    outbox.taken(1)
    assert names(outbox) == []


def test_the_receiver_removes_what_a_dead_sender_left():
    outbox = shared.Outbox()
    sender = (
        "import os, numpy; from needle_backend.service import shared; outbox = shared.Outbox();"
        f"outbox.prefix = {outbox.prefix!r}; outbox.put(1, numpy.ones(9)); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", sender])
    assert len(names(outbox)) == 1
    shared.remove_leftovers(outbox.prefix)
    assert names(outbox) == []


@pytest.mark.parametrize("prefix", ["", "*", "ngb-", "../shm/ngb-0123456789ab-"])
def test_only_a_whole_prefix_is_cleared(prefix):
    outbox = shared.Outbox()
    outbox.put(1, np.ones(3))
    shared.remove_leftovers(prefix)
    assert len(names(outbox)) == 1
    outbox.clear()


def test_the_resource_tracker_is_left_out(monkeypatch):
    def track(*_):
        raise AssertionError("tracked")

    monkeypatch.setattr(resource_tracker, "register", track)
    monkeypatch.setattr(resource_tracker, "unregister", track)
    outbox = shared.Outbox()
    shared.take(outbox.put(1, np.ones(3)))
    outbox.put(2, np.ones(3))
    outbox.clear()
    outbox.taken(1)
    assert resource_tracker.register is track


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "psm_0123"},
        {"name": "../../etc/passwd"},
        {"name": None},
        {"name": "ngb-000000000000-0"},
        {"shape": [100_000]},
        {"dtype": "object"},
    ],
)
def test_a_description_that_makes_no_sense_is_refused(changes):
    outbox = shared.Outbox()
    description = outbox.put(1, np.ones(3))
    with pytest.raises(ProtocolError):
        shared.take(description | changes)
    outbox.clear()


def test_a_full_memory_folder_is_told_in_plain_words(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    with pytest.raises(BackendError, match="needs 8 MB of shared memory"):
        shared.Outbox().put(1, np.ones(1 << 20))


def test_an_image_of_a_strange_type_is_refused_in_plain_words():
    with pytest.raises(BackendError, match="cannot be sent"):
        shared.Outbox().put(1, np.ones(3, complex))


def test_open_files_do_not_pile_up():
    outbox = shared.Outbox()
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        shared.take(outbox.put(number, np.ones(3)))
        outbox.taken(number)
    assert len(os.listdir("/proc/self/fd")) == before
