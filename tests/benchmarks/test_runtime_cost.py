"""The benchmark of the runtime measures everything that it lists; the numbers are never judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import runtime_cost
from benchmarks.__main__ import COMMANDS
from benchmarks.result_files import provenance
from tests.conftest import ROOT
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
    measured = {"model", "per_hop", "many_streams", "cold_start", "live_microphone"}
    assert json.loads(capsys.readouterr().out) == {name: result[name] for name in measured}
    assert set(result) == measured | set(provenance())
    assert set(result["per_hop"]["ms"]) == {
        "hop", "front_end_incremental", "front_end_whole_window", "network", "classify_one_clip"
    }  # fmt: skip
    assert result["cold_start"]["rss_mb"] > 10
    live = result["live_microphone"]  # where this machine has one
    assert live is None or live["rss_mb"] > live["anonymous_mb"] > 10


@pytest.mark.parametrize("module", ["result_files", "runtime_cost", "token_merging.__main__"])
def test_the_import_of_a_benchmark_leaves_the_number_of_threads_to_the_user(module: str) -> None:
    code = f"import os, benchmarks.{module}; print(os.environ['OMP_NUM_THREADS'])"
    given = {**os.environ, "OMP_NUM_THREADS": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=given, capture_output=True, text=True, check=True
    )
    assert done.stdout == "3\n"


def test_benchmarks_of_one_thread_are_started_with_one() -> None:
    timed = ("runtime-cost", "token-merging", "input-side", "archive", "latency", "c-speed")
    assert all(COMMANDS[name].one_thread for name in timed)
