"""Folders and many files: what is found, what is left out, and what is written about them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.cli.audio_paths import AudioPaths
from runtime.cli.main import main


@pytest.fixture
def wav(tmp_path: Path, noise: np.ndarray) -> Path:
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise[:48_000], 32_000, subtype="PCM_16")
    return path


@pytest.fixture
def folder(tmp_path: Path, wav: Path) -> Path:
    """Clips at three depths, and what systems and people leave beside them."""
    folder = tmp_path / "clips"
    for name in (
        "b/1.wav",
        "b/0.WAV",
        "a.wav",
        "c/d/e.wav",
        ".hidden/x.wav",
        "__MACOSX/x.wav",
        "._a.wav",
        "b.wav/f.wav",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(wav.read_bytes())
    for name in ("notes.txt", "b/table.csv", "Thumbs.db", ".DS_Store", "c/samples.raw"):
        (folder / name).write_bytes(b"no audio")
    return folder


def classify(*arguments: object) -> int:
    return main(["classify", *map(str, arguments)])


def test_a_folder_is_searched_in_order_and_reports_what_it_left_out(
    folder: Path, model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert classify(folder, "--model", model_path, "--json") == 0
    out, err = capsys.readouterr()
    files = [line["file"] for line in map(json.loads, out.splitlines()) if line["span"] == "clip"]
    names = ("a.wav", "b/0.WAV", "b/1.wav", "b.wav/f.wav", "c/d/e.wav")
    assert files == [str(folder / name) for name in names]
    assert "5 hidden and 3 not audio by name" in err and ".raw" in err and ".txt" in err


def test_links_are_followed_and_loops_refused(folder: Path, wav: Path) -> None:
    (folder / "link.wav").symlink_to(wav)
    (folder / "z").symlink_to(folder / "b", target_is_directory=True)
    (folder / "c" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "c" / "dangling.wav").symlink_to(folder / "nowhere.wav")
    (folder / "c" / "self").symlink_to(folder / "c" / "self")
    found = AudioPaths.find([folder])
    assert {str(folder / name) for name in ("link.wav", "z/0.WAV", "z/1.wav")} <= set(found.files)
    assert len(found.files) == 8 and len(found.problems) == 3
    assert [name for name in ("up", "dangling", "self") if any(name in text for text in found.problems)] == [
        "up", "dangling", "self",
    ]  # fmt: skip


def test_a_link_to_a_folder_above_is_a_loop_and_not_the_folder_itself(folder: Path) -> None:
    (folder / "c" / "beside").symlink_to(folder / "b", target_is_directory=True)
    assert AudioPaths.find([folder, folder]).problems == []
    assert len(AudioPaths.find([folder, folder]).files) == 14


def test_a_folder_deeper_than_calls_may_be(tmp_path: Path, wav: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(1500):
            os.mkdir("d", dir_fd=here)
            inner = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
    finally:
        os.close(here)
    found = AudioPaths.find([tmp_path])
    assert found.files == [str(wav)]
    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


@pytest.mark.parametrize("name", ["empty", "only_text"])
def test_a_folder_without_audio_is_one_sentence(
    tmp_path: Path, model_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / name).mkdir()
    if name == "only_text":
        (tmp_path / name / "a.txt").write_text("a")
    assert classify(tmp_path / name, "--model", model_path) == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("error: ") and name in first and "no audio file" in first


def test_a_bad_file_in_a_folder_is_counted_and_a_named_one_is_an_error(
    folder: Path, wav: Path, model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.wav").write_bytes(b"RIFF and no more")
    assert classify(folder, "--model", model_path) == 0
    assert "1 of 5 files could not be classified" in capsys.readouterr().err
    assert classify(folder / "a.wav", folder, wav, "--model", model_path) == 2
    assert "2 of 7 files could not be classified" in capsys.readouterr().err


def test_a_folder_of_which_nothing_can_be_used_is_an_error(folder: Path, wav: Path, model_path: Path) -> None:
    for path in folder.rglob("*.[wW][aA][vV]"):
        if path.is_file():
            path.write_bytes(b"RIFF and no more")
    assert classify(folder, "--model", model_path) == 2
    assert classify(folder, wav, "--model", model_path) == 2  # also beside one that can


@pytest.mark.skipif(sys.platform == "win32", reason="names are Unicode there")
def test_names_that_no_terminal_can_show(tmp_path: Path, wav: Path, model_path: Path) -> None:
    names = [
        b"caf\xe9.wav",
        b"two\nlines.wav",
        b"\x1b[31mred.wav",
        b"a" * 251 + b".wav",
        "Ümläüt 音.wav".encode(),
    ]
    for name in names:
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_bytes(wav.read_bytes())
    paths = [bytes(tmp_path) + b"/" + name for name in names]
    command = [sys.executable, "-m", "runtime", "classify", "--model", str(model_path)]
    # without the last two, Python takes the file system's names for UTF-8 in the locale C, too
    no_utf8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for locale in ({"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C"}, no_utf8):
        encoding = "utf-8" if locale["LC_ALL"] == "C.UTF-8" else "ascii"
        env = {**os.environ, **locale, "PYTHONIOENCODING": encoding}
        text = subprocess.run([*command, *paths], capture_output=True, timeout=60, env=env)
        assert text.returncode == 0 and text.stdout.count(b"the clip:") == len(names), text.stderr
        assert rb"caf\xe9.wav" in text.stdout and rb"two\nlines.wav" in text.stdout
        assert b"\x1b" not in text.stdout and text.stdout.count(b"\n") == 3 * len(names)
        done = subprocess.run([*command, "--json", *paths], capture_output=True, timeout=60, env=env)
        clips = [line["file"] for line in map(json.loads, done.stdout.splitlines()) if line["span"] == "clip"]
        assert [Path(clip).name for clip in clips] == [
            name.decode("utf-8", "backslashreplace") for name in names
        ]
        json.dumps(clips, ensure_ascii=False).encode("utf-8")  # no half of a surrogate pair


def test_a_name_that_is_too_long_is_one_sentence(
    wav: Path, model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "a" * 300
    assert classify(long, f"{long}.wav", wav, "--model", model_path) == 2
    out, err = capsys.readouterr()
    assert str(wav) in out and err.count("cannot be opened") == 2


def test_an_empty_name_is_not_the_current_folder(
    wav: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(wav.parent)
    assert classify("", "--model", model_path) == 2
    assert capsys.readouterr().out == ""


def test_stereo_that_cancels_is_reported_for_every_file_by_name(
    tmp_path: Path, wav: Path, model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples, rate = soundfile.read(wav)
    for name in ("one.wav", "two.wav"):
        soundfile.write(tmp_path / name, np.stack([samples, -samples], axis=1), rate)
    arguments = (tmp_path / "one.wav", tmp_path / "two.wav", "--model", model_path)
    assert classify(*arguments) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 2 and all("--channel" in line for line in warnings)
    assert "one.wav" in warnings[0] and "two.wav" in warnings[1]
    assert classify(*arguments, "--hop", "0.3") == 0  # which has a warning of its own, not of a file
    assert capsys.readouterr().err.count("\nwarning: A hop") <= 1
    assert classify(*arguments, "--channel", "1") == 0
    assert capsys.readouterr().err == ""


def test_devices_and_pipes_in_the_place_of_files(
    tmp_path: Path, wav: Path, model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "fifo.wav")
    for odd in (tmp_path / "fifo.wav", "/dev/null", "/dev/zero"):
        assert classify(odd, wav, "--model", model_path, "--json") == 2
        out, err = capsys.readouterr()
        assert "regular file" in err and str(wav) in out
    assert AudioPaths.find([tmp_path]).files == [str(wav)]  # in a folder it is left out
