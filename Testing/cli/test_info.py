import json

from needle_backend import __version__
from needle_backend.core import weights


def test_versions_device_and_weights_are_told(needles, tmp_path, monkeypatch):
    (tmp_path / "w99.safetensors").write_bytes(b"tensors")
    card = {"name": "w99", "architecture": {"backbone": "hrnet_w99"}}
    (tmp_path / "w99.json").write_text(json.dumps(card))
    there = weights.list_weights(tmp_path)
    monkeypatch.setattr(weights, "list_weights", lambda: there)
    code, out, _ = needles("info")
    assert code == 0
    facts = {line[:24].strip(): line[25:] for line in out.splitlines()}
    assert facts["needle_backend"] == __version__
    assert facts["torch"][0].isdigit()
    assert facts["device"].startswith(("cpu", "cuda"))
    assert facts["w99"] == str(tmp_path / "w99.safetensors")
    assert facts["architecture"] == '{"backbone": "hrnet_w99"}'
