"""``doctor`` names each fault and its remedy; ``devices`` lists the microphones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from runtime.cli import doctor as doctor_module
from runtime.cli.main import main
from runtime.devices import microphone as microphone_module
from runtime.errors import DeviceError
from tests.conftest import ROOT
from tests.runtime.fakes import FakeAudio, white


@pytest.fixture
def audio(monkeypatch: pytest.MonkeyPatch) -> FakeAudio:
    fake = FakeAudio(white, ("USB mic", "Webcam"))
    monkeypatch.setattr(microphone_module, "portaudio", lambda: fake)
    return fake


def findings(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    return {line["name"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}


def test_all_is_well(audio: FakeAudio, model_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", "--model", str(model_path)]) == 0
    found = findings(capsys)
    assert list(found) == ["system", "onnxruntime", "libsndfile", "microphones", "model"]
    assert found["microphones"]["detail"] == "USB mic; Webcam"
    assert "times real time" in str(found["model"]["detail"])


def test_faults_are_named_and_the_exit_code_tells(
    audio: FakeAudio, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    audio._listed.clear()
    crash = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGILL)"]
    monkeypatch.setattr(doctor_module, "probe_import", lambda: crash)
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("FAULT")] == [
        ["FAULT", "onnxruntime"],
        ["FAULT", "microphones"],
    ]
    assert "crashes on this CPU (signal 4)" in lines[1]
    assert len(lines) == 4  # a model is not loaded where onnxruntime would take this process down


def test_another_build_of_onnxruntime_is_one(
    audio: FakeAudio, model_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def version(name: str) -> str:
        if name != "onnxruntime-gpu":
            raise metadata.PackageNotFoundError(name)
        return "1.22.0"

    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"onnxruntime": ["onnxruntime-gpu"]})
    monkeypatch.setattr(metadata, "version", version)
    assert main(["doctor", "--json", "--model", str(model_path)]) == 0
    assert str(findings(capsys)["onnxruntime"]["detail"]).startswith("onnxruntime-gpu 1.22.0, ")


def test_no_onnxruntime(
    audio: FakeAudio, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_packages = [sys.executable, "-I", "-S", "-c", "import onnxruntime"]
    monkeypatch.setattr(doctor_module, "probe_import", lambda: without_packages)
    assert main(["doctor", "--json"]) == 1
    assert "pip install onnxruntime" in str(findings(capsys)["onnxruntime"]["detail"])


@pytest.mark.parametrize(("bits", "ok"), [("0", True), ("50005", False), ("20000", True), ("?", False)])
def test_a_weak_supply_is_a_fault(
    audio: FakeAudio, tmp_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], bits: str, ok: bool,
) -> None:  # fmt: skip
    (tmp_path / "throttled").write_text(bits + "\n")
    monkeypatch.setattr(doctor_module, "_THROTTLED", tmp_path / "throttled")
    assert main(["doctor", "--json", "--model", str(model_path)]) == (0 if ok else 1)
    assert findings(capsys)["power"]["ok"] is ok


def test_no_portaudio(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model_path: Path
) -> None:
    def none() -> FakeAudio:
        raise DeviceError("PortAudio is not installed.")

    monkeypatch.setattr(microphone_module, "portaudio", none)
    assert main(["doctor", "--model", str(model_path), "--json"]) == 1
    assert findings(capsys)["microphones"]["ok"] is False


def test_a_bad_model_is_a_fault(audio: FakeAudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--model", str(tmp_path / "no.onnx"), "--json"]) == 1
    assert "There is no model" in str(findings(capsys)["model"]["detail"])


def test_devices(audio: FakeAudio, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "* USB mic  (2 channels, 48000 Hz)"
    assert main(["devices", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[1])["name"] == "Webcam"
    audio._listed.clear()
    assert main(["devices"]) == 1


def test_a_sound_server_that_is_gone_is_a_fault_and_not_a_traceback(
    audio: FakeAudio, monkeypatch: pytest.MonkeyPatch, model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone() -> list[dict[str, object]]:
        raise audio.PortAudioError("Unanticipated host error")

    monkeypatch.setattr(audio, "query_devices", gone)
    assert main(["doctor", "--json", "--model", str(model_path)]) == 1
    assert "Unanticipated host error" in str(findings(capsys)["microphones"]["detail"])
    with pytest.raises(DeviceError, match="cannot list"):
        main(["devices"])


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        ("raise OSError('PortAudio library not found')", "PortAudio is not installed"),
        (
            "raise OSError('libportaudio.so.2: wrong ELF class')",
            "cannot be loaded (libportaudio.so.2: wrong ELF",
        ),
        ("raise ModuleNotFoundError('no cffi', name='cffi')", "need the package cffi"),
    ],
)
@pytest.mark.parametrize("redirection", ["", "2>&-"])
def test_the_reason_why_portaudio_cannot_be_loaded_is_printed(
    tmp_path: Path, module: str, sentence: str, redirection: str
) -> None:
    (tmp_path / "sounddevice.py").write_text(module)
    command = f"{sys.executable} -m runtime devices {redirection}"
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 2
    if not redirection:
        assert done.stderr.startswith("error: ") and sentence in done.stderr and done.stderr.count("\n") == 1
