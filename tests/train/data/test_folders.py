"""Class folders as people have them: links, files of operating systems, audio of every kind."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.errors import DataError
from train.data import ClipData, Folder, Unlabelled
from train.data.checks import examine
from train.data.packing import pack

RATE = 8_000


def put(path: Path, seed: int = 0, rate: int = RATE, **form) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.random.default_rng(seed).standard_normal(rate // 4) * 0.1
    soundfile.write(path, wave, rate, **form)


@pytest.fixture
def root(tmp_path) -> Path:
    """Two classes of four clips."""
    for seed, name in enumerate(f"{label}/{n}.wav" for label in ("cat", "dog") for n in range(4)):
        put(tmp_path / "root" / name, seed)
    return tmp_path / "root"


def names(root: Path) -> set[str]:
    return {clip.id for clips in Folder(str(root), no_groups=True).splits().values() for clip in clips}


def test_files_of_operating_systems_are_no_clips(root):
    expected = names(root)
    for name in ("cat/._0.wav", "__MACOSX/cat/._0.wav", "dog/.DS_Store", "dog/Thumbs.db", "cat/desktop.ini",
                 "cat/@eaDir/0.wav", ".Trash/0.wav", "cat/.cache/0.wav"):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"\0\5\x16\7 no audio")
    assert names(root) == expected and Folder(str(root), no_groups=True).labels == ("cat", "dog")


def test_links_to_files_and_folders_are_followed(root, tmp_path):
    put(tmp_path / "elsewhere" / "a.wav", 10)
    (root / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (root / "owl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"owl/a\.wav.*'cat'"):  # one file in two classes
        names(root)
    (root / "owl").unlink()
    (root / "cat" / "again.wav").symlink_to(root / "cat" / "0.wav")
    assert len(names(root)) == 9 and "cat/more/a.wav" in names(root)  # the same file counts once
    shutil.move(root, tmp_path / "moved")
    root.mkdir()
    for label in ("cat", "dog"):
        (root / label).symlink_to(tmp_path / "moved" / label)
    assert Folder(str(root), no_groups=True).labels == ("cat", "dog")


@pytest.mark.parametrize("target", ["root/cat", "root"])
def test_a_link_that_leads_back_is_refused(root, target):
    (root / "cat" / "deep").mkdir()
    (root / "cat" / "deep" / "loop").symlink_to(root.parent / target)
    with pytest.raises(DataError, match="cat/deep/loop"):
        names(root)


def test_every_suffix_of_libsndfile_counts_and_others_are_named(root):
    put(root / "cat" / "a.opus", rate=48_000, format="OGG", subtype="OPUS")
    for suffix in (".w64", ".caf", ".au", ".AIFF", ".FLAC"):
        put(root / "cat" / f"a{suffix}")
    (root / "cat" / "session.wav").mkdir()
    put(root / "cat" / "session.wav" / "b.wav")
    for name in ("notes.txt", "more.txt", "x.m4a", "x.raw"):
        (root / "dog" / name).write_text("x")
    with pytest.warns(UserWarning, match=r"2 \.txt, 1 \.m4a, 1 \.raw"):
        found = names(root)
    assert len(found) == 8 + 6 + 1 and "cat/session.wav/b.wav" in found


def test_a_class_without_audio_says_what_is_there(root):
    (root / "owl").mkdir()
    for name in ("a.m4a", "b.m4a"):
        (root / "owl" / name).write_text("x")
    with pytest.raises(DataError, match=r"owl holds no audio file \(but 2 \.m4a\)"):
        names(root)


def test_names_of_classes_are_stripped_and_composed(root):
    (root / "cat").rename(root / " cat ")
    (root / "dog").rename(root / "mu\u0308cke")  # as macOS unpacks it
    assert Folder(str(root), no_groups=True).labels == ("cat", "m\u00fccke")
    put(root / "cat" / "a.wav")
    with pytest.raises(DataError, match="'cat'"):
        Folder(str(root), no_groups=True)


def test_a_class_of_which_nothing_can_be_read_is_refused(root):
    for path in (root / "dog").iterdir():
        path.write_text("not audio")
    corpus = Folder(str(root), no_groups=True, val_share=0, test_share=0)
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(DataError, match=r"None of the 4 .*'dog'"),
    ):
        ClipData(corpus, skip_corrupt=True, sample_rate=RATE).setup("fit")
    with pytest.raises(DataError, match="'dog'"):
        pack(corpus, RATE, root.parent / "x.h5", skip_corrupt=True)
    assert examine(corpus, RATE).findings["class without a training clip"] == ["dog"]


def test_thin_classes_and_labels_alike_are_warned_about(root):
    put(root / "Cat" / "a.wav", 11)
    put(root / "owl" / "a.wav", 12)
    data = ClipData(Folder(str(root), no_groups=True, val_share=0, test_share=0), sample_rate=RATE)
    with pytest.warns(UserWarning) as caught:
        data.setup("fit")
    text = " ".join(str(warning.message) for warning in caught)
    assert "one training clip: Cat, owl" in text and "Cat ~ cat" in text
    notes = examine(data.corpus, RATE).notes
    assert notes["class with one training clip"] == ["Cat", "owl"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    for make in (lambda: Folder(str(tmp_path / "x"), no_groups=True),
                 lambda: Unlabelled(str(tmp_path / "x"), ["a", "b"]).splits()):  # fmt: skip
        with pytest.raises(DataError, match=r"no folder .*x"):
            make()


def test_faults_of_files_are_reported(tmp_path):
    rng = np.random.default_rng(0)
    sound = 0.1 * rng.standard_normal(RATE)
    for label in ("cat", "dog"):
        for n in range(3):
            put(tmp_path / label / f"{n}.wav", n)
    soundfile.write(tmp_path / "cat" / "cancels.wav", np.stack([sound, -sound], 1), RATE)
    soundfile.write(tmp_path / "cat" / "stereo.wav", rng.standard_normal((RATE, 2)) * 0.1, RATE)
    soundfile.write(tmp_path / "dog" / "offset.wav", 0.2 + rng.standard_normal(RATE) * 0.1, RATE)
    soundfile.write(tmp_path / "dog" / "loud.wav", rng.standard_normal(RATE) * 9_000, RATE, subtype="FLOAT")
    found = examine(Folder(str(tmp_path), no_groups=True), RATE).findings
    assert [name.split()[0] for name in found["channels cancel"]] == ["cat/cancels.wav"]
    assert [name.split()[0] for name in found["constant offset"]] == ["dog/offset.wav"]
    assert "loud.wav" in str(found) and "stereo.wav" not in str(found) and "silent" not in found
