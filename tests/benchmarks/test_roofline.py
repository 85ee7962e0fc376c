"""Shares of what one core can multiply and add."""

from __future__ import annotations

import json
import platform
import shutil

import pytest

from benchmarks.report import tables
from benchmarks.result_files import provenance
from benchmarks.roofline import peak, steps
from benchmarks.roofline.command import roofs, share
from runtime.classifier import load_model
from tests.runtime.conftest import model_path, spec

__all__ = ["model_path", "spec"]  # fixtures: the tiny model

MEASURED = {"fma_256": 60e9, "fma_512": 100e9, "vnni_512": 400e9, "avx2_int8": 120e9}


def test_the_roof_is_the_greatest_peak_of_an_arithmetic():
    assert roofs(MEASURED) == {"FP32": 100e9, "INT8": 400e9}


def test_a_share_is_of_the_peak_of_its_own_arithmetic():
    assert share("FP32", 1.0, 50_000_000, MEASURED) == {"gmacs_a_second": 50, "share_of_peak": 0.5}
    assert share("INT8", 0.25, 50_000_000, MEASURED) == {"gmacs_a_second": 200, "share_of_peak": 0.5}
    assert share("INT8", 0.25, 50_000_000, {"fma_256": 60e9}) == {"gmacs_a_second": 200}


def test_peaks_of_this_processor():
    if platform.machine() not in ("x86_64", "aarch64") or not (shutil.which("cc") or shutil.which("gcc")):
        pytest.skip("no C compiler, or another processor")
    found = peak.peaks()
    assert found and all(value > 1e8 for value in found.values())
    expected = {
        name
        for name, instruction in peak.INSTRUCTIONS.items()
        if set(instruction.flags) <= peak._flags() and name in peak._MACHINES[platform.machine()][0]
    }
    assert set(found) == expected


def test_an_instruction_that_the_processor_lacks_has_no_peak(monkeypatch):
    monkeypatch.setattr(peak, "_flags", set)
    assert peak.peaks() == {}


def test_the_table_names_peaks_shares_and_what_has_none():
    row = {"title": "a way", "arithmetic": "FP32", "ours": True, "ms": 1.0, "gmacs_a_second": 50.0}
    values = {
        "network": {"macs": 50_000_000}, "not_timed": {"ncnn": "no conversion"}, **provenance(),
        "peaks": {"fma_512": {"title": "FP32 FMA", "arithmetic": "FP32", "gmacs_a_second": 100.0}},
        "contestants": {"x": row, "y": {**row, "title": "another", "ours": False, "share_of_peak": 0.5}},
    }  # fmt: skip
    text = tables.roofline(values)
    assert "FP32 FMA: 100" in text and "| another | FP32 | 1.00 | 50 | 50 % |" in text
    assert "| **a way** | FP32 | 1.00 | 50 | no peak |" in text
    assert "librosa mel, ncnn, FP32 (no conversion)" in text


def test_the_rest_is_what_the_whole_takes_beyond_its_steps(model_path, monkeypatch):
    monkeypatch.setattr(
        steps, "_seconds", lambda jobs: dict.fromkeys(jobs, 0.020 if "all" in jobs else 0.001)
    )
    found = steps.measure(load_model(model_path), rounds=3)
    assert len(found["steps"]) == 5 and found["all"]["median"] == 20 and found["rest"] == 15


def test_every_step_of_a_window_is_timed_and_in_the_table(model_path):
    found = steps.measure(load_model(model_path), rounds=3)
    assert all(step["median"] > 0 for step in found["steps"].values())
    assert set(found["alone"]) == {"FFT", "mel product"}
    in_c = {**found, "alone": {"columns in C": {"median": 0.1234}}}
    text = tables.steps({"ways": {"onnx_runtime": found, "native": in_c}, **provenance()})
    assert "| network |" in text and "| rest |" in text and "| all |" in text and "FFT" in text
    assert "ONNX Runtime, ms" in text and "compiled C: columns in C 0.123" in text


@pytest.mark.skipif(shutil.which("cc") is None or shutil.which("make") is None, reason="no C compiler")
def test_steps_of_both_engines_are_written(tmp_path):
    assert steps.main(["--rounds", "3", "-o", str(tmp_path / "steps.json")]) == 0
    ways = json.loads((tmp_path / "steps.json").read_text())["ways"]
    assert ways["native"]["steps"].keys() == ways["onnx_runtime"]["steps"].keys()
    assert set(ways["native"]["alone"]) == {"columns in C"}


def test_steps_of_a_float_file_have_no_compiled_form(model_path, tmp_path, capsys):
    assert steps.main(["--model", str(model_path), "--rounds", "3", "-o", str(tmp_path / "steps.json")]) == 0
    assert set(json.loads((tmp_path / "steps.json").read_text())["ways"]) == {"onnx_runtime"}
    assert "without compiled C" in capsys.readouterr().err
