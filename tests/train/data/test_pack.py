"""One file of a corpus: the same clips and samples, whole after a kill, and honest about damage."""

from __future__ import annotations

import json
import threading

import h5py
import numpy as np
import pytest
import soundfile

from runtime.errors import AudioError, ConfigError, DataError
from train.cli.pack import main
from train.data import ClipData, Folder, Packed, Synthetic
from train.data.corpus import SPLITS
from train.data.packing import pack
from train.data.windows import BatchIndices

RATE = 8_000


@pytest.fixture
def corpus() -> Synthetic:
    return Synthetic(train_clips=40, val_clips=10, test_clips=20, seconds=0.2)


@pytest.fixture
def packed(corpus, tmp_path, monkeypatch) -> Packed:
    monkeypatch.setattr("train.data.packing._PART", 16)
    assert pack(corpus, RATE, tmp_path / "x.h5", workers=2) == (70, 0)
    return Packed(str(tmp_path / "x.h5"))


def test_a_pack_is_the_corpus(corpus, packed, tmp_path):
    assert (packed.labels, packed.licence) == (corpus.labels, corpus.licence)
    assert packed.splits() == corpus.splits()
    assert dict(packed.device_groups) == {name: list(d) for name, d in corpus.device_groups.items()}
    for split in SPLITS:
        for clip in corpus.clips(split):
            assert np.array_equal(packed.read(clip, RATE), corpus.read(clip, RATE))
    assert packed.describe()["corpus"] == "synthetic scenes" and len(packed.describe()["packed"]) == 64
    assert [path.name for path in tmp_path.iterdir()] == ["x.h5"]


def test_training_reads_both_alike(corpus, packed):
    batches = []
    for source, in_memory in ((corpus, True), (packed, True), (packed, False)):
        data = ClipData(source, sample_rate=RATE, clip_s=0.1, in_memory=in_memory)
        data.setup("fit")
        batches.append(data.datasets["train"][BatchIndices(0, [0, 7, 39])].waveform.numpy())
    assert np.array_equal(batches[0], batches[1]) and np.array_equal(batches[0], batches[2])


class Stopping(Synthetic):
    """Dies at a clip, as a process does that is killed."""

    stop = True

    def read(self, clip, sample_rate):
        with self.lock:
            self.count += 1
            if self.stop and self.count > 40:
                raise KeyboardInterrupt
        return super().read(clip, sample_rate)


def test_a_killed_run_goes_on_where_it_stopped(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("train.data.packing._PART", 8)
    stopping = Stopping(train_clips=40, val_clips=10, test_clips=20, seconds=0.2)
    stopping.count, stopping.lock = 0, threading.Lock()
    with pytest.raises(KeyboardInterrupt):
        pack(stopping, RATE, tmp_path / "x.h5")
    assert not (tmp_path / "x.h5").exists()
    stopping.count, stopping.stop = 0, False
    assert pack(stopping, RATE, tmp_path / "x.h5") == (70, 0)
    assert stopping.count == 30  # five parts of eight were there already
    pack(corpus, RATE, tmp_path / "y.h5")
    assert (tmp_path / "x.h5").stat().st_size == (tmp_path / "y.h5").stat().st_size
    checksums = {Packed(str(tmp_path / name)).describe()["packed"] for name in ("x.h5", "y.h5")}
    assert len(checksums) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.h5", "y.h5"]


def test_corrupt_clips_stop_or_are_left_out(tmp_path):
    for name in "abcd":
        for label in ("door", "rain"):
            (tmp_path / "own" / label).mkdir(parents=True, exist_ok=True)
            wave = np.random.default_rng(ord(name)).standard_normal(800) * 0.1
            soundfile.write(tmp_path / "own" / label / f"{name}.wav", wave, RATE)
    (tmp_path / "own" / "rain" / "b.wav").write_text("not audio")
    corpus = Folder(str(tmp_path / "own"), no_groups=True)
    with pytest.raises(AudioError, match=r"rain/b\.wav"):
        pack(corpus, RATE, tmp_path / "x.h5")
    assert not (tmp_path / "x.h5").exists()
    assert pack(corpus, RATE, tmp_path / "x.h5", skip_corrupt=True) == (7, 1)
    ids = {clip.id for clips in Packed(str(tmp_path / "x.h5")).splits().values() for clip in clips}
    assert len(ids) == 7 and "rain/b.wav" not in ids


def test_another_rate_is_refused(packed):
    with pytest.raises(DataError, match="--sample-rate 32000"):
        packed.read(packed.clips("train")[0], 32_000)


def test_damage_is_noticed(packed, tmp_path):
    clip = packed.clips("train")[3]
    packed._file.close()
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        file["samples"][file["offsets"][3] + 5] += 1
    packed = Packed(str(tmp_path / "x.h5"))
    packed.read(packed.clips("train")[2], RATE)
    with pytest.raises(AudioError, match=f"{clip.id} .* damaged"):
        packed.read(clip, RATE)
    whole = (tmp_path / "x.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cut short"):
        Packed(str(tmp_path / "cut.h5"))
    with pytest.raises(DataError, match="train pack"):
        Packed(str(tmp_path / "nothing.h5"))
    with h5py.File(tmp_path / "foreign.h5", "w"):
        pass
    with pytest.raises(DataError, match="not packed by this release"):
        Packed(str(tmp_path / "foreign.h5"))


def test_the_command_takes_the_corpus_of_a_recipe(tmp_path, capsys):
    (tmp_path / "r.yaml").write_text(
        "model: {frontend: baseline_mel}\n"
        "data:\n  corpus:\n    class_path: train.data.Synthetic\n"
        "    init_args: {train_clips: 20, seconds: 0.1}\n"
    )
    few = ["--data.corpus.val_clips=10", "--data.corpus.test_clips=10"]
    arguments = ["--config", str(tmp_path / "r.yaml"), *few, "-o", str(tmp_path / "x.h5")]
    assert main(arguments) == 0
    assert "40 clips at 32000 Hz" in capsys.readouterr().out
    assert json.loads(h5py.File(tmp_path / "x.h5").attrs["corpus"])["describe"]["train"] == 20
    with pytest.raises(ConfigError, match="Which corpus"):
        main(["-o", str(tmp_path / "y.h5")])
    with pytest.raises(ConfigError, match="check its name"):
        main(["--config", "/nothing.yaml", "-o", "y.h5"])
    with pytest.raises(ConfigError, match="did you mean 'Synthetic'"):
        main(["--data.corpus", "train.data.Sinthetic", "-o", "y.h5"])
    for option in ("--workers=0", "--sample-rate=0"):
        with pytest.raises(ConfigError, match=option.removesuffix("=0").strip("-").replace("-", ".")):
            main([*arguments, option])
