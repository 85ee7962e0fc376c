"""The benchmark of the runtime measures everything that it lists; the numbers are never judged here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import runtime_cost
from tests.runtime.conftest import model_path, spec

__all__ = ["model_path", "spec"]  # fixtures: the tiny model


def test_it_writes_every_figure_once(
    tmp_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runtime_cost, "ROUNDS", 20)
    monkeypatch.setattr(runtime_cost, "RUNS", 2)
    monkeypatch.setattr(runtime_cost, "LIVE_WINDOWS", 2)
    output = tmp_path / "cost.json"
    assert runtime_cost.main(["--model", str(model_path), "-o", str(output)]) == 0
    result = json.loads(output.read_text())
    assert result == json.loads(capsys.readouterr().out)
    assert set(result) == {"model", "machine", "per_hop", "many_streams", "cold_start", "live_microphone"}
    assert set(result["per_hop"]["ms"]) == {
        "hop", "front_end_incremental", "front_end_whole_window", "network", "classify_one_clip"
    }  # fmt: skip
    assert result["cold_start"]["rss_mb"] > 10
    live = result["live_microphone"]  # where this machine has one
    assert live is None or live["rss_mb"] > live["anonymous_mb"] > 10
