import os
from pathlib import Path

import pytest

from needle_backend.core.errors import BackendError, InputError
from needle_backend.core.files import check_writable, written_whole


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "deeper" / "needles.mrk.json"
    with written_whole(path) as temporary:
        temporary.write_text("all of it")
        assert not path.exists()
        assert temporary.name.endswith(".mrk.json")
    assert path.read_text() == "all of it"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, interruption):
    path = tmp_path / "needles.csv"
    path.write_text("old")
    with pytest.raises(interruption), written_whole(path) as temporary:
        temporary.write_text("half")
        raise interruption
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == [path.name]


def test_a_full_disk_is_a_failure_not_bad_input(tmp_path):
    with (
        pytest.raises(BackendError, match="could not be written .No space left"),
        written_whole(tmp_path / "needles.csv"),
    ):
        raise OSError(28, "No space left on device")


def test_a_folder_is_no_place_for_a_file(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        check_writable(tmp_path)


def test_below_a_file_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        check_writable(tmp_path / "file" / "needles.csv")


def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("permissions do not bind this user (root)")
    with pytest.raises(InputError, match="cannot be written"):
        check_writable(tmp_path / "needles.csv")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a read-only file system")
def test_a_read_only_file_system_is_refused():
    with pytest.raises(InputError, match="cannot be written"):
        check_writable(Path("/proc/needles.csv"))


def test_checking_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path / "not" / "yet" / "there.csv")
    assert os.listdir(tmp_path) == []
