"""``sort``: captures move into class folders, none is lost and none is replaced."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.capture.sorting import Sorting
from runtime.cli.main import main
from runtime.errors import TinysceneError

DOG, CAT = "dog_20261126T230000_231742-event-0.93.wav", "cat_20261126T230000_231750-miss-0.45.wav"
AGAIN = "dog_20261126T230000_231742-miss-0.41.wav"  # the same second
LATER = "dog_20261127T010000_010203-event-0.99.wav"
Answer = Callable[..., str]


@pytest.fixture
def captures(tmp_path: Path) -> Path:
    """Four captures, no two alike, and a file that is none."""
    folder = tmp_path / "captures"
    folder.mkdir()
    for number, name in enumerate((DOG, CAT, AGAIN, LATER)):
        soundfile.write(folder / name, np.full(800, 0.01 * (number + 1)), 8000, subtype="PCM_16")
    (folder / "notes.txt").write_text("mine")
    return folder


def level(path: Path) -> int:
    """Which of the captures a file is, from 1."""
    return round(soundfile.read(path)[0][0] * 100)


def tree(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): level(path) for path in sorted(folder.rglob("*.wav"))}


@pytest.fixture
def answer(captures: Path, tmp_path: Path) -> Answer:
    """Run the dialog with some lines of answers; what it prints."""

    def run(*lines: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "runtime", "sort", captures, tmp_path / "sounds", "--mute"]
        text = "".join(f"{line}\n" for line in lines)
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
        assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
        return done.stdout

    return run


def test_enter_takes_the_label_and_others_are_named(answer: Answer, captures: Path, tmp_path: Path) -> None:
    shown = answer("", "n", "bird", "bird", "1")
    assert "1/4  dog  event 0.93  2026-11-26 23:17:42  0.1 s" in shown
    assert "dog  close miss 0.41" in shown and "there is no class 'bird' yet" in shown
    assert "4 sorted, 0 deleted, 0 left" in shown
    assert tree(tmp_path / "sounds") == {
        "dog/dog_20261126T230000_231742.wav": 1,
        "not_a_class/not_a_class_20261126T230000_231742.wav": 3,
        "bird/bird_20261126T230000_231750.wav": 2,
        "cat/cat_20261127T010000_010203.wav": 4,  # 1 cat, 2 dog
    }
    assert [path.name for path in captures.iterdir()] == ["notes.txt"]
    assert "0 captures" in answer()


def test_skipping_deleting_and_leaving(answer: Answer, captures: Path, tmp_path: Path) -> None:
    assert "0 sorted, 1 deleted, 3 left" in answer("s", "d", "q")
    assert sorted(tree(captures)) == [CAT, DOG, LATER]
    assert "1 sorted, 0 deleted, 2 left" in answer("9", "dog")  # 9 is no class; then the answers end
    assert tree(tmp_path / "sounds") == {"dog/dog_20261126T230000_231742.wav": 1}


def test_what_cannot_be_deleted_is_one_sentence(answer: Answer, captures: Path) -> None:
    (captures / DOG).unlink()
    (captures / DOG).mkdir()
    shown = answer("d", "q")
    assert f"error: Cannot delete {captures / DOG}" in shown and "0 deleted, 4 left" in shown


def test_a_class_that_has_a_number_for_its_name(answer: Answer, tmp_path: Path) -> None:
    (tmp_path / "sounds" / "7").mkdir(parents=True)
    answer("7", "q")
    assert list(tree(tmp_path / "sounds")) == ["7/7_20261126T230000_231742.wav"]


def test_a_name_that_is_no_folder_is_asked_again(answer: Answer, captures: Path) -> None:
    shown = answer("../up", "../up", "q")
    assert "is no name of a folder" in shown and len(tree(captures)) == 4


def test_names_that_are_taken_are_not_replaced(answer: Answer, captures: Path, tmp_path: Path) -> None:
    answer("", "")
    assert tree(tmp_path / "sounds") == {
        "dog/dog_20261126T230000_231742-2.wav": 3,
        "dog/dog_20261126T230000_231742.wav": 1,
    }


def test_files_are_sorted_by_options(
    captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds = tmp_path / "sounds"
    other = tmp_path / "other.wav"
    soundfile.write(other, np.full(80, 0.07), 8000)
    options = ["--as", "dog", DOG, str(captures / LATER), "--not-a-class", CAT, str(other)]
    assert main(["sort", str(captures), str(sounds), *options]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert tree(sounds) == {
        "dog/dog_20261126T230000_231742.wav": 1,
        "dog/dog_20261127T010000_010203.wav": 4,
        "not_a_class/not_a_class_20261126T230000_231750.wav": 2,
        "not_a_class/other.wav": 7,
    }


@pytest.mark.parametrize(
    ("options", "sentence"),
    [(["--as", "dog", DOG, "missing.wav"], "There is no missing.wav"), (["--as", "dog"], "names no file"),
     (["--as", "a/b", DOG], "no name of a folder"), (["--as", "dogg", DOG], "did you mean 'dog'")],
)  # fmt: skip
def test_options_that_make_no_sense_move_nothing(
    options: list[str], sentence: str, captures: Path, tmp_path: Path
) -> None:
    with pytest.raises(TinysceneError, match=sentence):
        main(["sort", str(captures), str(tmp_path / "sounds"), *options])
    assert len(tree(captures)) == 4 and not (tmp_path / "sounds").exists()


def test_no_folder_of_captures_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TinysceneError, match="listen --capture"):
        main(["sort", str(tmp_path / "missing"), str(tmp_path / "sounds")])


def test_a_move_that_was_interrupted_is_ended_by_the_same_move(captures: Path, tmp_path: Path) -> None:
    """Killed between the new place and the old one, the file is at both."""
    sorting = Sorting(captures, tmp_path / "sounds")
    moved = sorting.move(captures / DOG, "dog")
    os.link(moved, captures / DOG)
    assert sorting.move(captures / DOG, "dog") == moved and not (captures / DOG).exists()
    assert list(tree(tmp_path / "sounds")) == ["dog/dog_20261126T230000_231742.wav"]


def test_it_moves_to_another_disk(captures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)
    sorting = Sorting(captures, tmp_path / "sounds")
    for name in (DOG, AGAIN):
        sorting.move(captures / name, "dog")
    assert sorted(tree(tmp_path / "sounds").values()) == [1, 3]
    assert sorted(tree(captures)) == [CAT, LATER]
    assert len(list((tmp_path / "sounds" / "dog").iterdir())) == 2  # nothing half copied


def test_a_full_disk_leaves_the_capture(
    captures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr("runtime.capture.sorting.shutil.copyfile", full)
    with pytest.raises(TinysceneError, match="No space left on device"):
        Sorting(captures, tmp_path / "sounds").move(captures / DOG, "dog")
    assert len(tree(captures)) == 4 and not tree(tmp_path / "sounds")
    assert not list((tmp_path / "sounds" / "dog").iterdir())


def test_a_capture_that_is_gone_is_one_sentence(captures: Path, tmp_path: Path) -> None:
    with pytest.raises(TinysceneError, match="is gone"):
        Sorting(captures, tmp_path / "sounds").move(captures / "missing.wav", "dog")


def test_ctrl_c_keeps_what_was_decided(captures: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime", "sort", captures, tmp_path / "sounds", "--mute"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    end = time.monotonic() + 30
    while len(tree(captures)) == 4:
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "1 sorted, 0 deleted, 3 left" in out and "Traceback" not in err


def test_a_capture_is_played(
    captures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from runtime.devices import loudspeaker
    from tests.runtime.fakes import FakeAudio, PortAudioError, white

    audio, played = FakeAudio(white), list[tuple[int, int]]()
    monkeypatch.setattr(loudspeaker, "portaudio", lambda: audio)
    audio.play = lambda samples, rate: played.append((len(samples), rate))  # type: ignore[attr-defined]
    answers = iter(["p", "s", "q"])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    main(["sort", str(captures), str(tmp_path / "sounds")])
    assert played == [(800, 8000)] * 3 and "not played" not in capsys.readouterr().out

    def no_output(*_: object) -> None:
        raise PortAudioError("Error querying device -1")

    audio.play = no_output  # type: ignore[attr-defined]
    answers = iter(["s", "s", "p", "q"])
    main(["sort", str(captures), str(tmp_path / "sounds")])
    assert (
        capsys.readouterr().out.count("not played: No sound can be played") == 2
    )  # once unasked, once asked


def test_a_damaged_capture_can_be_sorted_out(answer: Answer, captures: Path) -> None:
    (captures / DOG).write_bytes(b"")
    shown = answer("p", "d", "q")
    assert f"{DOG}" in shown and not (captures / DOG).exists()
