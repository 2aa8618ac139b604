"""Settings read from TOML."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from needle_backend.core.errors import InputError
from needle_backend.core.settings import read_toml


@dataclass(frozen=True)
class Probe:
    depth_mm: tuple[float, float] = (30.0, 60.0)
    beams: int = 128


@dataclass(frozen=True)
class Settings:
    probe: Probe = field(default_factory=Probe)
    share: float = 0.5


def written(folder: Path, text: str, name: str = "settings.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_what_a_file_leaves_out_keeps_its_default(tmp_path):
    path = written(tmp_path, "[probe]\nbeams = 64\n")
    assert read_toml(Settings, path) == Settings(Probe(beams=64))
    assert read_toml(Settings, None) == Settings()


def test_a_file_laid_over_another_changes_only_what_it_names(tmp_path):
    below = read_toml(Settings, written(tmp_path, "share = 1\n[probe]\nbeams = 64\n"))
    above = written(tmp_path, "[probe]\ndepth_mm = [10, 20]\n", "above.toml")
    assert read_toml(Settings, above, onto=below) == Settings(Probe((10, 20), 64), 1.0)
    assert read_toml(Settings, None, onto=below) is below


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("depth = 3\n", "sets 'depth', which Settings does not have; it has probe, share"),
        ("[probe]\ndepth = 3\n", "sets 'depth', which Probe does not have"),
        ('share = "half"\n', "share must look like 0.5, not 'half'"),
        ("share = true\n", "share must look like 0.5, not True"),
        ("probe = 3\n", "probe must look like"),
        ("share = \n", "is not valid TOML"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(tmp_path, text, says):
    with pytest.raises(InputError, match=says):
        read_toml(Settings, written(tmp_path, text))


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"no.toml cannot be read"):
        read_toml(Settings, tmp_path / "no.toml")
