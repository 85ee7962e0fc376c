"""The small contracts everything rests on: specs, self-test vectors, window grid, files, exit codes."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.audio.window_grid import window_starts
from runtime.errors import ConfigError, ModelFileError, TinysceneError
from runtime.files import write_beside
from runtime.model.self_test import FORMULAS, make_input
from runtime.spec import PRESETS, FrontEndSpec, ModelSpec, SelfTestVector

SPEC = ModelSpec(
    ("a", "b"),
    PRESETS["cp_mel"],
    self_test_vectors=(SelfTestVector("ramp", 3, (1.0, -2.0)),),
    thresholds={"a": 0.5},
)


@pytest.mark.parametrize("name", PRESETS)
def test_specs_come_back_as_they_were(name: str) -> None:
    spec = FrontEndSpec.preset(name)
    assert FrontEndSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    model = dataclasses.replace(SPEC, frontend=spec)
    assert ModelSpec.from_json(model.to_json()) == model


@pytest.mark.parametrize(
    ("field", "value"),
    [("labels", []), ("labels", ["a", "a"]), ("labels", ["a", ""]), ("labels", [1, 2]), ("labels", "ab"),
     ("clip_s", 0), ("clip_s", 1e9), ("clip_s", "1"), ("clip_s", True), ("temperature", -1),
     ("task", "regression"), ("thresholds", {"c": 0.5}), ("thresholds", {"a": 1.5}),
     ("goldens", [{"formula": "ramp", "seed": 0, "logits": [1.0]}]),
     ("frontend", None), ("schema", 2), ("schema", "1"), ("more", 1)],
)  # fmt: skip
def test_a_model_spec_that_is_not_one(field: str, value: Any) -> None:
    values = json.loads(SPEC.to_json()) | {field: value}
    with pytest.raises(ModelFileError) as caught:
        ModelSpec.from_json(json.dumps(values))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [{"n_fft": 0}, {"n_fft": 2**30}, {"n_mels": 2**30}, {"sample_rate": 10**9},
     {"win_length": 5000}, {"f_max": 20_000.0}, {"power": 3.0}, {"preemphasis": 1.0},
     {"std": 0.0}, {"log_offset": float("nan")}, {"window": "kaiser"}, {"n_mels": 2.5}, {"center": 1}],
)  # fmt: skip
def test_a_front_end_that_makes_no_sense(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        dataclasses.replace(PRESETS["cp_mel"], **change)


def test_too_short_for_a_frame() -> None:
    assert PRESETS["cp_mel"].frames(32_000) == 64 and PRESETS["baseline_mel"].frames(32_000) == 65
    with pytest.raises(ConfigError, match="too short"):
        PRESETS["cp_mel"].frames(2048)


@pytest.mark.parametrize("formula", FORMULAS)
def test_self_test_inputs_are_exact_numbers_in_range(formula: str) -> None:
    first, again = (make_input(formula, 5, (1, 1, 256, 64)) for _ in range(2))
    assert first.dtype == np.float32 and first.shape == (1, 1, 256, 64)
    assert np.array_equal(first, again) and not np.array_equal(first, make_input(formula, 6, (1, 1, 256, 64)))
    assert np.array_equal(first * 64, np.round(first * 64)) and np.abs(first).max() <= 2
    with pytest.raises(ModelFileError, match="upgrade"):
        make_input("chirp", 0, (1, 1, 2, 2))


@given(samples=st.integers(0, 300), window=st.integers(1, 50), hop=st.integers(1, 80))
def test_windows_lie_within_the_recording(samples: int, window: int, hop: int) -> None:
    starts = window_starts(samples, window, hop)
    assert starts == sorted(set(starts)) and bool(starts) == bool(samples)
    if samples >= window:
        assert all(start + window <= samples for start in starts)
        assert starts[-1] % hop == 0 or starts[-1] + window == samples
        assert 2 * (samples - window - starts[-1]) < hop  # what is left over is less than half a hop


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    with write_beside(path) as partial:
        partial.write_text("first")
        assert not path.exists() and partial.suffix == ".json"
    with pytest.raises(RuntimeError), write_beside(path) as partial:
        partial.write_text("second")
        raise RuntimeError
    assert path.read_text() == "first" and [p.name for p in tmp_path.iterdir()] == ["result.json"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("place", [".", "missing/file"])
def test_a_place_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    with pytest.raises(TinysceneError), write_beside(tmp_path / place):
        pass


@pytest.mark.parametrize(
    ("body", "code", "errors"),
    [("return 1", 1, ""), ("raise AudioError('It is broken.')", 2, "error: It is broken.\n"),
     ("raise KeyboardInterrupt", 130, ""), ("os.kill(os.getpid(), 15); time.sleep(9)", 130, ""),
     ("raise BrokenPipeError", 0, ""),
     ("require('nowhere_at_all', extra='mic')", 2, "error: This command needs the package 'nowhere_at_all', "
      "which is not installed: run `pip install 'tinyscene[mic]'`.\n")],
)  # fmt: skip
def test_the_door_turns_ends_into_exit_codes(body: str, code: int, errors: str) -> None:
    program = (
        "import os, time\nfrom runtime.entry_point import require, run\n"
        "from runtime.errors import AudioError\n"
        f"def command(arguments):\n    {body}\nrun(command)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (code, errors)
