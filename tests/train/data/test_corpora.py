"""Corpora on miniature trees with the names, columns and separators of the real ones."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.errors import AudioError, DataError
from train.data import (
    TAU2020,
    TAU2022,
    Clip,
    ClipData,
    Folder,
    SpeechCommands,
    Table,
    Tags,
    TAUEvaluation,
    Unlabelled,
)
from train.data.hold_out import hold_out
from train.data.windows import BatchIndices


def _noise(path: Path, seconds: float = 1.0, rate: int = 8_000, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.random.default_rng(seed).standard_normal(round(seconds * rate)) * 0.1
    soundfile.write(path, wave, rate)


def _table(path: Path, header: list[str], rows: list[list[str]], delimiter: str = "\t") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])


META = ["filename", "scene_label", "identifier", "source_label"]
LISTED = ["filename", "scene_label"]


def _row(name: str) -> list[str]:
    scene, city, location, *_, device = Path(name).stem.split("-")
    return [name, scene, f"{city}-{location}", device]


def _tau(root: Path, train: list[str], test: list[str], audio: bool = False) -> Path:
    rows = [_row(name) for name in train + test]
    _table(root / "meta.csv", META, rows)
    for name, members in (("fold1_train", train), ("fold1_evaluate", test)):
        _table(root / "evaluation_setup" / f"{name}.csv", LISTED, [_row(m)[:2] for m in members])
    for index, name in enumerate((train + test) * audio):
        _noise(root / name, seed=index)
    return root


TRAIN = [
    f"audio/{scene}-{city}-{1000 + i}-{40000 + i}-{part}-{device}.wav"
    for scene in ("airport", "street_traffic")
    for i, city in enumerate(("lisbon", "lyon", "vienna", "lisbon"))
    for part in (0, 9)
    for device in ("a", "s1")
]
TEST = [f"audio/tram-helsinki-7-90-{part}-{device}.wav" for part in (0, 1) for device in ("b", "s4")]


def test_tau2022_reads_its_official_layout(tmp_path):
    corpus = TAU2022(str(_tau(tmp_path, TRAIN, TEST, audio=True)))
    assert len(corpus.labels) == 10 and corpus.labels[-1] == "tram"
    splits = corpus.splits()
    assert [len(splits[name]) for name in ("train", "val", "test")] == [32, 0, 4]
    assert splits["train"][0] == Clip(TRAIN[0], (0,), "airport-lisbon-1000-40000", "a", "lisbon")
    assert splits["test"][1].device == "s4" and splits["test"][1].target == 9
    assert len(corpus.read(splits["test"][0], 32_000)) == 32_000
    assert corpus.device_groups["unseen"] == ("s4", "s5", "s6")


def test_tau2022_holds_out_whole_segments_or_whole_cities(tmp_path):
    root = str(_tau(tmp_path, TRAIN, TEST))
    splits = TAU2022(root, val_share=0.25).splits()  # splits() refuses a segment on both sides
    assert len(splits["train"]) == 24 and len(splits["val"]) == 8
    assert {clip.target for clip in splits["val"]} == {0, 8}
    assert TAU2022(root, val_share=0.25).splits() == splits
    splits = TAU2022(root, val_cities=["lyon"]).splits()
    assert {clip.city for clip in splits["val"]} == {"lyon"}
    assert {clip.city for clip in splits["train"]} == {"lisbon", "vienna"}
    with pytest.raises(DataError, match="choose val_cities from lisbon, lyon, vienna"):
        TAU2022(root, val_cities=["paris"]).splits()


@pytest.mark.parametrize("folder", ["evaluation_setup", "split_setup", "."])
def test_tau2022_takes_a_subset_of_the_challenge(tmp_path, folder):
    root = _tau(tmp_path, TRAIN, TEST)
    with pytest.raises(DataError, match=r"split5\.csv.*dcase2024_task1_baseline"):
        TAU2022(str(root), subset=5).splits()
    _table(root / folder / "split5.csv", LISTED, [_row(name)[:2] for name in TRAIN[:3]])
    assert len(TAU2022(str(root), subset=5).splits()["train"]) == 3


def test_tau2022_refuses_parts_of_one_segment_on_both_sides(tmp_path):
    leak = ["audio/airport-lisbon-1000-40000-3-c.wav"]
    with pytest.raises(DataError, match="'airport-lisbon-1000-40000' is in both train and test"):
        TAU2022(str(_tau(tmp_path, TRAIN, leak))).splits()


def test_tau2020_has_clips_of_ten_seconds(tmp_path):
    train, test = ["audio/bus-prague-3-55-a.wav"], ["audio/park-milan-8-60-s6.wav"]
    corpus = TAU2020(str(_tau(tmp_path, train, test)))
    assert corpus.splits()["test"][0] == Clip(test[0], (4,), "park-milan-8-60", "s6", "milan")
    assert corpus.describe()["corpus"] == "TAU Urban Acoustic Scenes 2020 Mobile"
    with pytest.raises(DataError, match="not of TAU Urban Acoustic Scenes 2022"):
        TAU2022(str(tmp_path)).splits()
    for name in train + test:
        _noise(tmp_path / name, seconds=10.0)
    data = ClipData(corpus, sample_rate=8_000, batch_size=10)
    data.setup("fit")
    data.setup("test")
    windows = next(iter(data.train_dataloader())).waveform, data.datasets["test"].at_rest(range(10)).waveform
    assert [tuple(batch.shape) for batch in windows] == [(10, 8_000), (10, 8_000)]


@pytest.mark.parametrize(
    ("corpus", "variable", "source"),
    [
        (TAU2022, "TAU2022_DIR", "zenodo.org/records/6337421"),
        (TAU2020, "TAU2020_DIR", "zenodo.org/records/3819968"),
        (SpeechCommands, "SPEECH_COMMANDS_DIR", "download.tensorflow.org"),
    ],
)
def test_a_missing_corpus_says_what_and_where(tmp_path, monkeypatch, corpus, variable, source):
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(DataError, match=f"holds .*{source}|{source}.*{variable}.*holds"):
        corpus()
    with pytest.raises(DataError, match=f"holds .*{source}"):
        corpus(str(tmp_path / "nothing"))
    with pytest.raises(DataError, match=source):
        corpus(str(tmp_path)).splits()


@pytest.mark.parametrize("name", ["fold1_train", "fold1_evaluate"])
def test_lists_that_contradict_meta_csv_are_refused(tmp_path, name):
    root = _tau(tmp_path, TRAIN, TEST)
    members = [_row(member)[:2] for member in (TRAIN if name == "fold1_train" else TEST)]
    members[1][1] = "park"
    _table(root / "evaluation_setup" / f"{name}.csv", LISTED, members)
    with pytest.raises(DataError, match=rf"{name}\.csv labels {members[1][0]} park, and meta\.csv does not"):
        TAU2022(str(root)).splits()


def test_damaged_tables_are_one_sentence(tmp_path):
    root = _tau(tmp_path, TRAIN, TEST)
    (root / "meta.csv").write_text((root / "meta.csv").read_text().replace("\t", ","))
    with pytest.raises(DataError, match=r"meta\.csv lacks the columns filename"):
        TAU2022(str(root)).splits()
    _table(root / "meta.csv", META, [_row(name) for name in TRAIN[1:]])
    with pytest.raises(DataError, match=r"names audio/airport.*which meta\.csv does not"):
        TAU2022(str(root)).splits()
    _table(root / "meta.csv", META, [])
    with pytest.raises(DataError, match="has no rows"):
        TAU2022(str(root)).splits()
    (root / "meta.csv").write_text("\t".join(META) + "\naudio/x.wav\n")
    with pytest.raises(DataError, match="row 2, lacks a cell"):
        TAU2022(str(root)).splits()


@pytest.fixture
def speech(tmp_path) -> Path:
    """Four words of 24 speakers, the last two in one list each, and two minutes of noise."""
    for word in ("yes", "no", "bed", "cat"):
        for speaker in range(24):
            _noise(tmp_path / word / f"{speaker:08x}_nohash_0.wav", 0.1, 16_000)
    lists = {"validation_list.txt": 22, "testing_list.txt": 23}
    for name, speaker in lists.items():
        lines = [f"{word}/{speaker:08x}_nohash_0.wav" for word in ("yes", "no", "bed", "cat")]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    for noise in ("pink_noise", "running_tap"):
        _noise(tmp_path / "_background_noise_" / f"{noise}.wav", 30, 16_000)
    return tmp_path


def test_speech_commands_reads_its_official_layout(speech):
    corpus = SpeechCommands(str(speech), words=["yes", "no"], unknown_share=0.5, silence_share=0.5)
    assert corpus.labels == ("yes", "no", "_silence_", "_unknown_")
    splits = corpus.splits()
    count = {split: np.bincount([clip.target for clip in clips]) for split, clips in splits.items()}
    assert count["train"].tolist() == [22, 22, 22, 22]
    assert count["val"].tolist() == count["test"].tolist() == [1, 1, 1, 1]
    assert splits["test"][0] == Clip("yes/00000017_nohash_0.wav", (0,), "00000017")
    silence = next(clip for clip in splits["test"] if clip.target == 2)
    assert float(silence.id.partition("@")[2]) >= 27  # the last tenth of thirty seconds
    assert len(corpus.read(silence, 16_000)) == 16_000
    assert corpus.splits() == splits
    assert len({clip.id for clip in splits["train"]}) == len(splits["train"])
    (speech / "_background_noise_" / "a.wav").write_text("not audio")
    with pytest.raises(AudioError, match=r"a\.wav.*download\.tensorflow"):
        corpus.splits()


def test_speech_commands_with_every_word_has_no_unknown(speech):
    corpus = SpeechCommands(str(speech), words=None, silence_share=0)
    assert corpus.labels == ("bed", "cat", "no", "yes")
    assert len(corpus.splits()["train"]) == 88
    with pytest.raises(DataError, match=r"\['maybe'\].*choose from bed, cat, no, yes"):
        SpeechCommands(str(speech), words=["yes", "maybe"])
    (speech / "testing_list.txt").unlink()
    with pytest.raises(DataError, match=r"lacks testing_list\.txt"):
        SpeechCommands(str(speech), words=None).splits()


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two classes of ten recordings, each in two parts."""
    for label in ("door", "rain"):
        for recording in range(10):
            for part in range(2):
                _noise(tmp_path / "own" / label / f"{label}{recording}_{part}.wav", 0.1)
    return tmp_path / "own"


def test_a_folder_keeps_recordings_together(folder):
    corpus = Folder(str(folder), group=r"([^/]+)_\d\.wav")
    assert corpus.labels == ("door", "rain")
    splits = corpus.splits()
    assert [len(splits[name]) for name in ("train", "val", "test")] == [28, 4, 8]
    assert splits["train"][0].group in {f"door{n}" for n in range(10)}
    assert "own" in corpus.describe()["corpus"] and str(folder) not in str(corpus.describe())
    assert Folder(str(folder), no_groups=True, val_share=0).splits()["val"] == []


def test_a_folder_without_groups_has_to_say_so(folder):
    for arguments in ({}, {"group": "x", "no_groups": True}):
        with pytest.raises(DataError, match="no_groups"):
            Folder(str(folder), **arguments)
    with pytest.raises(DataError, match="finds nothing in"):
        Folder(str(folder), group="(take[0-9])").splits()
    with pytest.raises(DataError, match="no regular expression"):
        Folder(str(folder), group="(")
    with pytest.raises(DataError, match="for each label"):
        Folder(str(folder / "door"), no_groups=True)
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no audio file"):
        Folder(str(folder), no_groups=True).splits()


def test_a_table_names_its_columns(folder):
    files = [(label, n, part) for label in ("door", "rain") for n in range(10) for part in range(2)]
    rows = [[f"{x}/{x}{n}_{part}.wav", x, f"{x}{n}", "a", "lyon"] for x, n, part in files]
    _table(folder / "t.csv", ["path", "label", "group", "device", "city"], rows, ",")
    splits = Table(str(folder / "t.csv")).splits()
    assert [len(splits[name]) for name in ("train", "val", "test")] == [28, 4, 8]
    assert splits["test"][0].device == "a" and splits["test"][0].city == "lyon"
    assert len(Table(str(folder / "t.csv")).read(splits["test"][0], 8_000)) == 800
    official = [[*row[:2], ("train", "test")[i % 2]] for i, row in enumerate(rows)]
    _table(folder / "t.tsv", ["path", "label", "split"], official)
    splits = Table(str(folder / "t.tsv")).splits()
    assert [len(splits[name]) for name in ("train", "val", "test")] == [20, 0, 20]


def test_any_table_is_read_by_the_names_of_its_own(folder):
    files = [(label, n, part) for label in ("door", "rain") for n in range(10) for part in range(2)]
    rows = [[f"{x}{n}", x, f"{x}/{x}{n}_{part}.wav", "x"] for x, n, part in files]
    _table(folder / "t.csv", ["take", "scene_label", "filename", "source_label"], rows)  # with tabs, as TAU's
    columns = {"path": "filename", "label": "scene_label", "group": "take", "device": "source_label"}
    splits = Table(str(folder / "t.csv"), columns=columns).splits()
    assert [len(splits[name]) for name in ("train", "val", "test")] == [28, 4, 8]
    assert splits["train"][0] == Clip("door/door0_0.wav", (0,), "door0", "x")
    with pytest.raises(DataError, match="no 'groups': did you mean 'group'"):
        Table(str(folder / "t.csv"), columns={"groups": "take"})
    with pytest.raises(DataError, match="lacks the columns file, label"):
        Table(str(folder / "t.csv"), columns={"path": "file"})
    tags = Tags(str(folder / "t.csv"), columns={"labels": "scene_label", "group": "take"})
    assert tags.labels == ("door", "rain") and tags.clips("train")[0].group == "door0"


def test_a_table_that_leaks_or_is_unclear_is_refused(folder):
    head = ["path", "label", "group", "split"]
    _table(folder / "t.csv", head, [["a", "x", "g", "train"], ["b", "y", "g", "test"]], ",")
    with pytest.raises(DataError, match="'g' is in both train and test"):
        Table(str(folder / "t.csv")).splits()
    _table(folder / "t.csv", head, [["a", "x", "g", "dev"]], ",")
    with pytest.raises(DataError, match=r"split 'dev'.*train, val, test"):
        Table(str(folder / "t.csv"))
    _table(folder / "t.csv", head, [["a", "x", "g", "train"], ["a", "y", "g", "train"]], ",")
    with pytest.raises(DataError, match="lists a more than once"):
        Table(str(folder / "t.csv"))
    _table(folder / "t.csv", head[:2], [["a", "x"], ["b", "y"]], ",")
    with pytest.raises(DataError, match="no_groups"):
        Table(str(folder / "t.csv"))
    assert len(Table(str(folder / "t.csv"), no_groups=True).splits()["train"]) == 2


def test_hold_out_takes_whole_groups_of_every_class():
    clips = [Clip(f"{t}{g}{i}", (t,), f"{t}{g}") for t in range(3) for g in range(10) for i in range(4)]
    kept, held = hold_out(clips, 0.2, seed=0)
    assert len(held) == 24 and len(kept) == 96
    assert not {c.group for c in kept} & {c.group for c in held}
    assert np.bincount([c.target for c in held]).tolist() == [8, 8, 8]
    assert hold_out(clips, 0.2, seed=1)[1] != held
    assert hold_out(clips, 0.0, seed=0) == (clips, [])
    assert hold_out(clips, 1.0, seed=0) == ([], clips)
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        hold_out(clips, 1.1, seed=0)


@pytest.mark.parametrize(("groups", "share"), [(10, 0.95), (2, 0.75)])
def test_hold_out_leaves_a_group_of_every_class(groups, share):
    clips = [Clip(f"{t}{g}", (t,), f"{t}{g}") for t in range(3) for g in range(groups)]
    kept, held = hold_out(clips, share, seed=0)
    assert sorted(c.target for c in kept) == [0, 1, 2] and len(held) == 3 * (groups - 1)


def test_hold_out_counts_several_labels_for_the_rarest_and_none_for_itself():
    common, rare, unknown = ((0,), (0, 1), None)
    clips = [Clip(f"{i}", (common, rare, unknown)[i % 10 // 8 + (i % 10 == 9)], f"{i}") for i in range(100)]
    kept, held = hold_out(clips, 0.2, seed=0)
    count = [
        [c.targets for c in part].count(kind) for part in (kept, held) for kind in (common, rare, unknown)
    ]
    assert count == [64, 8, 8, 16, 2, 2]


def test_a_corrupt_clip_is_named_and_skipped_only_when_told_to(folder):
    (folder / "rain" / "rain3_0.wav").write_text("not audio")
    corpus = Folder(str(folder), group=r"([^/]+)_\d\.wav", val_share=0, test_share=0)
    with pytest.raises(AudioError, match=r"rain3_0\.wav.*skip_corrupt"):
        ClipData(corpus, sample_rate=8_000).setup("fit")
    data = ClipData(corpus, sample_rate=8_000, skip_corrupt=True)
    with pytest.warns(UserWarning, match="1 of 40 clips of train were left out"):
        data.setup("fit")
    assert len(data.datasets["train"].clips) == 39
    with pytest.raises(DataError, match="pack --skip-corrupt"):
        ClipData(corpus, skip_corrupt=True, in_memory=False)


def test_a_split_without_clips_is_named(folder):
    data = ClipData(Folder(str(folder), no_groups=True, val_share=0, test_share=0), sample_rate=8_000)
    data.setup("fit")
    for stage, split in (("validate", "val"), ("test", "test"), ("predict", "test")):
        with pytest.raises(DataError, match=f"The {split} split holds no clips"):
            data.setup(stage)


def test_reading_on_demand_gives_the_same_batches(folder):
    corpus = Folder(str(folder), no_groups=True)
    batches = []
    for in_memory in (True, False):
        data = ClipData(corpus, sample_rate=8_000, clip_s=0.05, in_memory=in_memory)
        data.setup("fit")
        batches.append(data.datasets["train"][BatchIndices(0, [0, 3, 9])].waveform.numpy())
    assert np.array_equal(*batches)


def test_a_folder_without_labels(folder):
    corpus = Unlabelled(str(folder), ["owl", "frog"])
    splits = corpus.splits()
    assert [len(splits[name]) for name in ("train", "val", "test")] == [40, 0, 0]
    assert splits["train"][0].targets is None and corpus.labels == ("owl", "frog")
    splits = Unlabelled(str(folder), ["owl", "frog"], group=r"([^/]+)_\d\.wav", val_share=0.2).splits()
    assert [len(splits[name]) for name in ("train", "val", "test")] == [32, 8, 0]
    with pytest.raises(DataError, match="no_groups"):
        Unlabelled(str(folder), ["owl", "frog"], val_share=0.2)
    with pytest.raises(DataError, match="nothing"):
        Unlabelled(str(folder.parent / "nothing"), ["owl", "frog"]).splits()


def test_clips_that_nobody_labelled_make_batches_without_targets(folder):
    data = ClipData(Unlabelled(str(folder), ["owl", "frog"], test_share=1), sample_rate=8_000, clip_s=0.05)
    with pytest.raises(DataError, match="train split holds no clips"):
        data.setup("fit")
    data.setup("predict")
    batch = data.datasets["test"].at_rest([0, 1])
    assert batch.target.tolist() == [[0, 0], [0, 0]] and batch.labelled.tolist() == [0, 0]


def test_a_table_of_several_labels(folder):
    names = [f"{x}/{x}{n}_{part}.wav" for x in ("door", "rain") for n in range(10) for part in range(2)]
    rows = [[name, ("wind; rain", "rain", "door;wind")[i % 3], name[:-6]] for i, name in enumerate(names)]
    _table(folder / "t.csv", ["filename", "labels", "group"], rows, ",")
    corpus = Tags(str(folder / "t.csv"))
    assert (corpus.labels, corpus.task) == (("door", "rain", "wind"), "multi_label")
    splits = corpus.splits()
    assert sum(map(len, splits.values())) == 40 and len(splits["val"]) and len(splits["test"])
    of = {clip.id: clip.targets for clips in splits.values() for clip in clips}
    assert [of[name] for name in names[:3]] == [(1, 2), (1,), (0, 2)]
    own = Tags(str(folder / "t.csv"), labels=["wind", "rain", "door", "siren"])
    assert own.clips("train")[0].targets in {(0, 1), (1,), (0, 2)} and own.labels[3] == "siren"
    with pytest.raises(DataError, match=r"'door'.*data\.corpus\.labels"):
        Tags(str(folder / "t.csv"), labels=["wind", "rain"])


def test_an_empty_cell_of_labels_has_to_be_explained(folder):
    rows = [["a.wav", "x;y", "train"], ["b.wav", "", "train"], ["c.wav", "y", "test"]]
    _table(folder / "t.tsv", ["filename", "labels", "split"], rows)
    with pytest.raises(DataError, match=r"gives no label to b\.wav.*unlabelled.*negative"):
        Tags(str(folder / "t.tsv"))
    for empty, targets in (("unlabelled", None), ("negative", ())):
        splits = Tags(str(folder / "t.tsv"), empty=empty).splits()
        assert [clip.targets for clip in splits["train"]] == [(0, 1), targets]
        assert [clip.targets for clip in splits["test"]] == [(1,)]
    _table(folder / "t.tsv", ["filename", "labels", "split"], rows[1:2])
    with pytest.raises(DataError, match="no label at all"):
        Tags(str(folder / "t.tsv"), empty="negative")


def test_an_evaluation_set_has_clips_and_no_labels(tmp_path):
    rows = [["audio/0.wav", "s1"], ["audio/1.wav", "unknown"]]
    _table(tmp_path / "evaluation_setup" / "fold1_test.csv", ["filename", "device_id"], rows)
    _noise(tmp_path / "audio" / "0.wav")
    corpus = TAUEvaluation(str(tmp_path))
    splits = corpus.splits()
    assert [len(splits[name]) for name in ("train", "val", "test")] == [0, 0, 2]
    assert splits["test"][0] == Clip("audio/0.wav", None, "audio/0.wav", "s1")
    assert len(corpus.read(splits["test"][0], 8_000)) == 8_000 and corpus.labels == TAU2022.labels
    _table(tmp_path / "evaluation_setup" / "fold1_test.csv", ["filename"], [["audio/0.wav"]])
    assert TAUEvaluation(str(tmp_path)).clips("test")[0].device == ""
    with pytest.raises(DataError, match=r"dcase\.community"):
        TAUEvaluation(str(tmp_path / "nothing"))
