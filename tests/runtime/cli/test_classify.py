"""The commands: any file in, a time line out, and one sentence with exit code 2 for what cannot be used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.cli.main import main

KINDS = ("wav", "flac", "ogg", "mp3")


def python(*arguments: str, timeout_s: float = 120, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=timeout_s,
        env={**os.environ, **more},
    )  # fmt: skip


def json_lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44_100, 2)])
def test_classify_any_file(
    tmp_path: Path, model_path: Path, noise: np.ndarray, capsys: pytest.CaptureFixture[str],
    kind: str, rate: int, channels: int,
) -> None:  # fmt: skip
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, np.stack([noise[: rate * 5 // 2]] * channels, axis=1), rate)
    assert main(["classify", str(path), "--model", str(model_path), "--json"]) == 0
    *windows, clip = json_lines(capsys.readouterr().out)
    assert clip["span"] == "clip" and clip["label"] in ("hum", "dog", "clock", "rain")
    assert clip["end_s"] == pytest.approx(2.5, abs=0.2)  # mp3 pads with its encoder's delay
    assert [window["start_s"] for window in windows][:2] == [0.0, 1.0]
    assert {"label", "probability", "scores", "start_s", "end_s", "state"} <= set(windows[0])


def test_a_file_is_the_fold_of_a_stream(
    tmp_path: Path, model: object, model_path: Path, noise: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "a.wav", noise, 32_000, subtype="FLOAT")
    main(["classify", str(tmp_path / "a.wav"), "--model", str(model_path), "--json", "--hop", "0.5"])
    windows = json_lines(capsys.readouterr().out)[:-1]
    expected = model.windows(noise, 32_000, 0.5)  # type: ignore[attr-defined]
    assert [w["scores"] for w in windows] == [p.scores for p in expected]


def test_the_time_line_joins_neighbours(
    tmp_path: Path, model_path: Path, noise: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    silence = np.zeros(64_000, np.float32)
    soundfile.write(tmp_path / "a.wav", np.concatenate([silence, noise[:32_000], silence]), 32_000)
    main(["classify", str(tmp_path / "a.wav"), "--model", str(model_path)])
    head, first, second, third, clip = capsys.readouterr().out.splitlines()
    assert "32000 -> 32000 Hz, 1 channel" in head
    assert first.split() == ["0.00", "-", "2.00", "s", "(no", "signal)"]
    assert second.split()[:4] == ["2.00", "-", "3.00", "s"] and third.split()[2] == "5.00"
    assert clip.startswith("  the clip: ")


def write_bad(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    samples = np.zeros((1000, 1), np.float32)
    if name in ("nan.wav", "huge.wav"):
        samples[7] = np.nan if name == "nan.wav" else 1e20  # its power is beyond float32
    if name == "folder.wav":
        path.mkdir()
    elif name == "pipe.wav":
        os.mkfifo(path)
    elif name in ("nan.wav", "huge.wav", "none.wav"):
        soundfile.write(path, samples[: 0 if name == "none.wav" else None], 32_000, subtype="FLOAT")
    elif name != "missing.wav":
        path.write_bytes(
            {"empty.wav": b"", "text.wav": b"I am no sound\n" * 9, "bytes.mp3": bytes(999)}[name]
        )
    return path


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing.wav", "There is no audio file"),
        ("empty.wav", "is empty (0 bytes)"),
        ("text.wav", "is not audio"),
        ("bytes.mp3", "is not audio"),
        ("nan.wav", "NaN or infinite"),
        ("huge.wav", "where full scale is 1"),
        ("folder.wav", "holds no audio file"),
        ("pipe.wav", "is not a regular file"),
        ("none.wav", "holds no samples"),
    ],
)
def test_bad_audio_is_one_sentence(
    tmp_path: Path, model_path: Path, capsys: pytest.CaptureFixture[str], name: str, sentence: str
) -> None:
    good = tmp_path / "good.wav"
    soundfile.write(good, np.random.default_rng(0).normal(size=32_000) * 0.1, 32_000)
    assert (
        main(["classify", str(write_bad(tmp_path, name)), str(good), "--json", "--model", str(model_path)])
        == 2
    )
    out, err = capsys.readouterr()
    first, *rest = err.splitlines()
    assert sentence in first and first.startswith("error: ")
    assert rest == ([] if name == "folder.wav" else ["1 of 2 files could not be classified"])
    assert {line["file"] for line in json_lines(out)} == {str(good)}  # the others are still classified


@pytest.mark.parametrize("arguments", [["--hop", "0"], ["--channel", "5"], ["--model", "nowhere.onnx"]])
def test_bad_arguments_are_one_sentence(tmp_path: Path, model_path: Path, arguments: list[str]) -> None:
    soundfile.write(tmp_path / "a.wav", np.ones(32_000) * 0.1, 32_000)
    done = python(
        "-m", "runtime", "classify", str(tmp_path / "a.wav"), "--model", str(model_path), *arguments
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), (">/dev/full", 2)])
def test_a_stdout_that_takes_nothing(tmp_path: Path, model_path: Path, redirection: str, code: int) -> None:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(size=32_000) * 0.1, 32_000)
    command = f"{sys.executable} -m runtime classify {tmp_path / 'a.wav'} --model {model_path} {redirection}"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert done.stderr == "" if code == 0 else "No space left on device" in done.stderr
    assert done.stderr.count("\n") == (code != 0)


def test_help_imports_nothing_heavy() -> None:
    done = python("-X", "importtime", "-m", "runtime", "--help")
    assert done.returncode == 0 and "classify" in done.stdout
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "runtime" in imported
    assert not imported & {"torch", "onnx", "onnxruntime", "scipy", "numpy"}


def test_runtime_never_imports_torch_or_onnx(model_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['onnx'] = None\n"
        "import runtime; assert not {'numpy', 'onnxruntime'} & set(sys.modules)\n"
        f"import numpy; model = runtime.load_model({str(model_path)!r})\n"
        "print(model.classify(numpy.sin(numpy.arange(32000.0)), 32000).state)"
    )
    done = python("-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


def test_classifying_loads_no_openssl(model_path: Path) -> None:
    code = (
        "import sys, numpy, runtime; had = '_hashlib' in sys.modules  # by numpy 1\n"
        f"runtime.load_model({str(model_path)!r}).classify(numpy.zeros(32000), 32000)\n"
        "assert had or '_hashlib' not in sys.modules"
    )
    done = python("-c", code)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_warning_where_telemetry_cannot_be_stopped(model_path: Path, tmp_path: Path) -> None:
    code = f"import onnxruntime, runtime; runtime.load_model({str(model_path)!r})"
    at_home = {"ORT_DISABLE_TELEMETRY": "", "HOME": str(tmp_path)}  # where it would leave its files
    assert "telemetry" in python("-c", code, **at_home).stderr
    assert "telemetry" not in python("-c", code, ORT_DISABLE_TELEMETRY="1").stderr


@pytest.mark.slow
def test_three_hours_in_constant_memory(tmp_path: Path, model_path: Path, noise: np.ndarray) -> None:
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 16_000, 2) as file:
        for _ in range(3 * 3600 // 8):
            file.write(np.stack([noise, noise[::-1]], axis=1))
    code = (
        "from runtime.cli.main import main\nfrom tests.runtime.fuzz import peak_mb\n"
        f"main(['classify', {str(path)!r}, '--model', {str(model_path)!r}])\n"
        "print(peak_mb())"
    )
    *lines, peak_mb = python("-c", code, timeout_s=600).stdout.splitlines()
    assert lines[-1].startswith("  the clip: ") and "10800.00 s" in lines[-2]
    assert float(peak_mb) < 130
