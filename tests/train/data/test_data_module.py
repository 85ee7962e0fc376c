"""Corpora, windows and splits."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import soundfile

from runtime.errors import AudioError, DataError
from train.data import ESC50, Clip, ClipData, Synthetic
from train.data.corpus import read_audio
from train.data.datasets.synthetic import SCENES, render
from train.data.windows import BatchIndices, ClipWindows, windows_with_signal

COLUMNS = ["filename", "fold", "target", "category", "esc10", "src_file", "take"]


@pytest.fixture
def esc_tree(tmp_path):
    """A miniature ESC-50: two classes of ESC-10 and one that is not, one clip a fold."""
    (tmp_path / "meta").mkdir()
    (tmp_path / "audio").mkdir()
    rows = []
    for fold in range(1, 6):
        for target, category, esc10 in ((0, "dog", True), (10, "rain", True), (5, "cat", False)):
            name = f"{fold}-{fold}{target:02}-A-{target}.wav"
            noise = np.random.default_rng(len(rows)).standard_normal(2 * 44_100) * 0.1
            soundfile.write(tmp_path / "audio" / name, noise, 44_100)
            rows.append([name, fold, target, category, esc10, f"{fold}{target:02}", "A"])
    _write_table(tmp_path, rows)
    return tmp_path


def _write_table(root, rows):
    with (root / "meta" / "esc50.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


def test_esc50_reads_its_official_layout(esc_tree):
    corpus = ESC50(str(esc_tree), esc10=True, train_folds=[1, 2], val_folds=[3], test_folds=[4])
    assert corpus.labels == ("dog", "rain")
    splits = corpus.splits()
    assert [len(splits[name]) for name in ("train", "val", "test")] == [4, 2, 2]
    assert [clip.target for clip in splits["test"]] == [0, 1]
    assert len(corpus.read(splits["test"][0], 32_000)) == 64_000
    assert len(ESC50(str(esc_tree)).labels) == 3


def test_a_split_that_leaks_is_refused(esc_tree):
    with pytest.raises(DataError, match="leaks"):
        ESC50(str(esc_tree), train_folds=[1, 2], test_folds=[2]).splits()
    table = (
        (esc_tree / "meta" / "esc50.csv").read_text().replace(",400,", ",100,")
    )  # same recording, two folds
    (esc_tree / "meta" / "esc50.csv").write_text(table)
    with pytest.raises(DataError, match="recording '100' is in both train and test"):
        ESC50(str(esc_tree), train_folds=[1, 2], test_folds=[4]).splits()


def test_a_missing_corpus_says_where_it_can_be_had(tmp_path, monkeypatch):
    monkeypatch.delenv("ESC50_DIR", raising=False)
    with pytest.raises(DataError, match="karolpiczak"):
        ESC50()
    with pytest.raises(DataError, match=r"meta/esc50\.csv"):
        ESC50(str(tmp_path))


def test_an_unreadable_clip_is_named(tmp_path):
    (tmp_path / "x.wav").write_text("not audio")
    with pytest.raises(AudioError, match=r"x\.wav"):
        read_audio(tmp_path / "x.wav", 32_000)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 32_000)
    with pytest.raises(AudioError, match="no samples"):
        read_audio(tmp_path / "empty.wav", 32_000)


def test_silent_padding_is_left_out():
    rng = np.random.default_rng(0)
    wave = np.zeros(5 * 100, np.int16)
    wave[:200] = rng.integers(-5000, 5000, 200)
    assert windows_with_signal(wave, 100) == [0, 100]
    assert windows_with_signal(np.zeros(500, np.int16), 100) == [0]  # all silent: a clip is never lost


def test_jitter_follows_seed_and_epoch():
    corpus = Synthetic(train_clips=10, val_clips=10, test_clips=10, seconds=2.0)
    clips = corpus.clips("train")
    samples = [corpus.read(clip, 8000) for clip in clips]
    first, second = (ClipWindows(clips, samples, 8000, 10, jitter=True, seed=1) for _ in range(2))
    now, later = BatchIndices(0, [0, 5]), BatchIndices(1, [0, 5])
    assert np.array_equal(first[now].waveform, second[now].waveform)
    assert not np.array_equal(first[now].waveform, second[later].waveform)
    assert np.array_equal(first.at_rest([0]).waveform[0], samples[0][:8000].astype(np.float32) / 32768)


@pytest.mark.parametrize("jitter", [False, True])
def test_a_short_clip_lies_whole_at_a_place_that_epoch_and_seed_decide(jitter):
    wave = np.full(300, 0.5, np.float32)
    clips = [Clip(id=name, targets=(0,), group=name) for name in ("short.wav", "long.wav")]
    samples = [wave, np.linspace(-1, 1, 1000, dtype=np.float32)]
    windows = ClipWindows(clips, samples, 1000, 1, jitter=jitter, random_place=True)
    batches = [windows[BatchIndices(epoch, [0, 1])] for epoch in range(50)]
    starts = [int(batch.start[0]) for batch in batches]
    assert -700 <= min(starts) < -500 and -200 < max(starts) <= 0
    for batch, start in zip(batches, starts, strict=True):
        assert np.array_equal(batch.waveform[0].nonzero()[:, 0], np.arange(-start, 300 - start))
        assert np.array_equal(batch.waveform[1], samples[1])  # it fills the window
    assert np.array_equal(windows[BatchIndices(7, [0])].waveform[0], batches[7].waveform[0])
    assert windows.at_rest([0]).start[0] == 0


def test_synthetic_scenes_are_seeded_and_differ():
    for scene in SCENES:
        one, same = (render(scene, (1, 2), 16_000, 0.5) for _ in range(2))
        assert one.dtype == np.int16 and len(one) == 8000
        assert np.array_equal(one, same)
        assert not np.array_equal(one, render(scene, (1, 3), 16_000, 0.5))
        assert 20 < np.std(one.astype(float)) < 12_000


def test_unseen_devices_stand_in_the_test_split_alone():
    corpus = Synthetic(train_clips=100, val_clips=100, test_clips=100)
    devices = {split: {clip.device for clip in clips} for split, clips in corpus.splits().items()}
    assert devices["train"] == devices["val"] == {"a", "b", "c"}
    assert devices["test"] == {"a", "b", "c", "s1", "s2"}


def test_real_clips_become_windows(esc10_dir):
    corpus = ESC50(str(esc10_dir), esc10=True, train_folds=[1], test_folds=[2])
    data = ClipData(corpus)
    data.setup("test")
    dataset = data.datasets["test"]
    assert len(dataset.clips) == 80
    assert 250 < len(dataset) < 420
    assert {window.clip for window in dataset.windows} == set(range(80))  # no clip is lost


def test_training_from_the_labelled_share_alone_reads_no_other_clip():
    corpus = Synthetic(train_clips=60, val_clips=10, test_clips=10)
    shared = ClipData(corpus, labelled=0.25)
    alone = ClipData(corpus, labelled=0.25, only_labelled=True)
    for data in (shared, alone):
        data.setup("fit")
    labelled = [
        clip.id
        for clip, label in zip(shared.datasets["train"].clips, shared.datasets["train"].labelled, strict=True)
        if label
    ]
    only = alone.datasets["train"]
    assert 0 < len(labelled) < 30 and [clip.id for clip in only.clips] == labelled
    assert only.labelled.all() and len(shared.datasets["train"].clips) == 60
