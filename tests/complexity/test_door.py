"""The command line: exit codes, JSON, and one sentence for every unusable input."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from complexity.__main__ import main
from runtime.errors import TinysceneError
from runtime.spec import FrontEndSpec

torch = pytest.importorskip("torch")

from train import checkpoint  # noqa: E402
from train.students import CPMobile  # noqa: E402


@pytest.fixture(scope="module")
def model_pt(tmp_path_factory):
    arguments = {"n_classes": 10}
    path = tmp_path_factory.mktemp("models") / "model.pt"
    checkpoint.save(
        checkpoint.Checkpoint(
            student="cp_mobile",
            arguments=arguments,
            frontend=FrontEndSpec.preset("cp_mel"),
            labels=tuple(f"class {index}" for index in range(10)),
            state_dict=CPMobile(**arguments).state_dict(),
        ),
        path,
    )
    return path


def test_check_prints_the_verdict(model_pt, capsys):
    assert main(["check", str(model_pt)]) == 0
    printed = capsys.readouterr().out
    assert "126,952" in printed
    assert "28,893,268" in printed
    assert "Within dcase2024" in printed


def test_over_the_limits_exits_1_and_says_by_how_much(model_pt, capsys):
    assert main(["check", str(model_pt), "--dtype", "float16"]) == 1
    assert "125,904 (98.4%) over the limit of 128,000" in capsys.readouterr().out


def test_json_is_one_object_a_line(model_pt, capsys):
    assert main(["check", str(model_pt), str(model_pt), "--rules", "dcase2025", "--json"]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first == second
    assert (first["params"], first["macs"], first["within"]) == (126_952, 28_893_268, True)
    assert first["rules"]["name"] == "dcase2025"
    assert first["file_bytes"] == model_pt.stat().st_size


def test_own_limits_exclude_the_rules(model_pt):
    assert main(["check", str(model_pt), "--max-macs", "28893267", "--json"]) == 1
    assert main(["check", str(model_pt), "--max-macs", "28893268", "--max-params", "126952", "--json"]) == 0
    with pytest.raises(TinysceneError, match="give either"):
        main(["check", str(model_pt), "--max-macs", "1", "--rules", "dcase2022"])


@pytest.mark.parametrize("name", ["missing.pt", "truncated.pt", "missing.onnx", "image.onnx"])
def test_unusable_input_is_one_sentence_and_exit_code_2(name, tmp_path, model_pt):
    path = tmp_path / name
    if name == "truncated.pt":
        path.write_bytes(model_pt.read_bytes()[:10_000])
    if name == "image.onnx":
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    process = subprocess.run(
        [sys.executable, "-m", "complexity", "check", path], capture_output=True, text=True, check=False
    )
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr.startswith("error: ")
    assert process.stderr.count("\n") == 1
