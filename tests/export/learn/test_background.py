"""A class of background: quiet parts of the recordings, or the files of a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from export.cli.main import main
from export.learn.data.background import LABEL, quiet_part, with_folders, with_quiet_parts
from export.learn.data.sounds import read_sounds
from export.learn.data.split import divide, write_table
from runtime import load_model
from runtime.errors import ConfigError, DataError
from tests.export.learn.sounds import RATE, write_sounds
from train.data import ClipData, Table


def write_bark(path: Path, seed: int, quiet_s: int = 2, quiet_db: float = -55) -> None:
    """A second of a tone, and a room."""
    rng = np.random.default_rng(seed)
    wave = 10 ** (quiet_db / 20) * rng.standard_normal((1 + quiet_s) * RATE)
    wave[:RATE] += 0.3 * np.sin(2 * np.pi * (300 + 20 * seed) * np.arange(RATE) / RATE)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, RATE)


def barks(root: Path, count: int, label: str = "dog") -> Path:
    """A class folder of barks."""
    for seed in range(count):
        write_bark(root / label / f"{chr(97 + seed) * 3}.wav", seed)
    return root


def test_the_quiet_part_is_the_longest_stretch_of_quiet_seconds():
    levels_db = [-20, -60, -20, -60, -60, -60, -25, *[-60] * 12, -90]
    noise = np.random.default_rng(0).standard_normal((len(levels_db), RATE))
    wave = (10 ** (np.array(levels_db) / 20)[:, None] * noise).astype(np.float32).reshape(-1)
    np.testing.assert_array_equal(quiet_part(wave, RATE), wave[7 * RATE : 17 * RATE])
    assert len(quiet_part(wave[: 6 * RATE], RATE)) == 3 * RATE
    for nothing in (wave[:RATE], wave[:0], np.zeros(3 * RATE, np.float32), wave[-RATE - 100 :]):
        assert not len(quiet_part(nothing, RATE))


def test_quiet_parts_stand_on_the_side_of_their_recording(tmp_path):
    sounds = read_sounds(barks(tmp_path / "sounds", 8))
    (tmp_path / "run").mkdir()
    division = divide(sounds, None, None, {}, seed=0)
    sounds, division = with_quiet_parts(sounds, division, tmp_path / "run" / "quiet", RATE)
    assert sounds.labels == (LABEL, "dog")
    assert division.count("train") == {"dog": 6, LABEL: 6} and division.count("val") == {"dog": 2, LABEL: 2}
    write_table(tmp_path / "run" / "sounds.csv", division)
    corpus = Table(str(tmp_path / "run" / "sounds.csv"), root=str(sounds.root))
    corpus.splits()  # no leak
    data = ClipData(corpus, sample_rate=RATE, quiet_db=30)
    data.setup("validate")
    assert len(data.datasets["val"]) == 2 + 2 * 2  # a bark has one second, what is around it two


def test_without_quiet_parts_one_class_is_refused_in_a_sentence_with_the_remedy(tmp_path):
    sounds = read_sounds(write_sounds(tmp_path, 5, ("bell",)))
    with pytest.raises(
        DataError, match=r"has one class, 'bell'.*none of them has.*tinyscene record"
    ) as refused:
        with_quiet_parts(sounds, divide(sounds, None, None, {}, seed=0), tmp_path / "quiet", RATE)
    assert "--background DIR" in str(refused.value)


def test_the_files_of_a_folder_are_a_class(tmp_path):
    write_sounds(tmp_path / "sounds", 3)
    write_sounds(tmp_path / "others", 4, ("none",))
    sounds = with_folders(read_sounds(tmp_path / "sounds"), [tmp_path / "others" / "none"])
    assert sounds.labels == (LABEL, "bell", "dog")
    assert sorted(c.id for c in sounds.clips if sounds.label(c) == LABEL)[0] == "../others/none/a.wav"
    assert {sounds.label(c) for c in sounds.clips if c.id.startswith("dog")} == {"dog"}
    assert len(sounds.facts()) == 10
    with pytest.raises(DataError, match="--background"):
        with_folders(sounds, [tmp_path / "absent"])


def test_a_table_with_splits_takes_no_folder_of_background(tmp_path):
    write_sounds(tmp_path, 2)
    rows = [f"{label}/{name}.wav,{label},train" for label in ("bell", "dog") for name in "ab"]
    (tmp_path / "t.csv").write_text("path,label,split\n" + "\n".join(rows) + "\n")
    with pytest.raises(ConfigError, match="--background"):
        with_folders(read_sounds(tmp_path / "t.csv"), [tmp_path / "dog"])


@pytest.mark.slow  # a whole `learn`
def test_one_class_is_learned_against_the_quiet_parts_of_its_recordings(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MIC_IR_DIR", raising=False)
    sounds, output = barks(tmp_path / "sounds", 8), tmp_path / "my.onnx"
    options = ["--budget", "tiny", "--steps", "30", "--set", "trainer.accelerator=cpu", "--tolerance", "1"]
    assert main(["learn", str(sounds), "-o", str(output), *options]) == 0
    printed = capsys.readouterr()
    assert "8 quiet parts of your recordings are a class" in printed.err
    assert load_model(output).labels == (LABEL, "dog")
    assert "quiet_db: 30" in next(tmp_path.glob("my_run/*/recipe.yaml")).read_text()
