"""What beginners hand over instead of a folder of class folders: one sentence with what to do."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path

import pytest

from export.cli.main import main
from export.learn.data.sounds import read_sounds
from export.learn.data.split import divide
from runtime.errors import ConfigError, DataError
from tests.export.learn.sounds import write_sounds, write_tone


def flat(root: Path) -> Path:
    return write_sounds(root, 3) / "dog"


def archive(root: Path) -> Path:
    return Path(shutil.make_archive(str(root), "zip", write_sounds(root, 3)))


def one_file(root: Path) -> Path:
    return next((write_sounds(root, 3) / "dog").iterdir())


def of_a_phone(root: Path) -> Path:
    for label in ("dog", "rain"):
        (root / label).mkdir(parents=True)
        (root / label / "take.m4a").write_bytes(b"0000ftypM4A ")
    return root


def nothing(root: Path) -> Path:
    root.mkdir()
    return root


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        (
            flat,
            r"holds audio files \(a\.wav\) and not a folder of them .*dog/a\.wav, or name the folder above",
        ),
        (archive, "is an archive: unpack it"),
        (one_file, "is one recording: name the folder"),
        (
            of_a_phone,
            r"no audio file \(but 1 \.m4a\): convert them to wav, .*`ffmpeg -i NAME\.m4a NAME\.wav`",
        ),
        (nothing, "is not a folder of class folders"),
    ],
)
def test_another_thing_than_class_folders_is_a_sentence(tmp_path, given, remedy):
    with pytest.raises(DataError, match=remedy) as refused:
        read_sounds(given(tmp_path / "my sounds"))
    assert str(refused.value).count(". ") == 0


@pytest.mark.parametrize("test", [".", "dog", ".."])
def test_sounds_to_test_on_are_other_ones(tmp_path, test):
    root = write_sounds(tmp_path / "sounds", 3)
    with pytest.raises(ConfigError, match="which are trained on: give other recordings"):
        main(["learn", str(root), "-o", str(tmp_path / "x.onnx"), "--test", str(root / test)])


def test_a_negative_seed_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["learn", str(tmp_path), "-o", str(tmp_path / "x.onnx"), "--seed", "-1"])
    assert "-1 is no seed: give 0 or more" in capsys.readouterr().err


def test_one_long_recording_of_a_class_may_be_cut(tmp_path):
    for label in ("dog", "rain"):
        write_tone(tmp_path / label / "all.wav", 300, 0, seconds=20)
    with pytest.raises(DataError, match=r"1 file of 1 recording, .* or cut a long one into files .*segment"):
        divide(read_sounds(tmp_path), None, None, {}, 0)


def test_files_beside_the_class_folders_are_named(tmp_path):
    write_sounds(tmp_path, 3)
    for name in ("all.zip", "cat.wav", "notes.txt", ".DS_Store"):
        (tmp_path / name).write_bytes(b"PK")
    with pytest.warns(UserWarning, match=r"beside the class folders .* left out: all\.zip, cat\.wav\.$"):
        read_sounds(tmp_path)


def test_the_folder_above_is_asked_about(tmp_path):
    write_sounds(tmp_path / "my_sounds", 3)
    with pytest.warns(
        UserWarning, match=r"the one class 'my_sounds': .* bell and dog, are the classes, name .*"
    ):
        read_sounds(tmp_path)


def test_spaces_and_umlauts_archives_and_files_of_phones(tmp_path, monkeypatch):
    """They are printed in lines without the source, and the commands can be copied."""
    monkeypatch.delenv("MIC_IR_DIR", raising=False)
    root = tmp_path / "Meine Geräusche"
    write_sounds(root, 4)
    (root / "dog").rename(root / "Hund & Katze")
    (root / "bell" / "take.m4a").write_bytes(b"0000ftypM4A ")
    (root / "bell" / "more.zip").write_bytes(b"PK")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["learn", str(root), "-o", str(tmp_path / "my model.onnx"), "--print-recipe"])
    assert code == 0
    (line,) = (line for line in err.getvalue().splitlines() if "m4a" in line)
    assert line.startswith("remark        ") and "convert them to wav" in line
    assert "1 recording of each class" in err.getvalue() and "Hund & Katze (4)" in err.getvalue()
    assert f"# What `tinyscene learn '{root}' chose" in out.getvalue().replace("`'", "'").replace("'`", "'")
