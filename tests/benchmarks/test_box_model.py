"""The summary of the packaged model: pooled folds, thresholds, events of negatives, and the card."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import soundfile
import yaml

from benchmarks.box_model import (
    ablation,
    card,
    negatives,
    teacher_agreement,
    trainings,
    unheard,
    unknown_scores,
)
from benchmarks.box_model.measurement import MICROPHONES, NEGATIVES, Arrays, negative_files
from benchmarks.box_model.summary import (
    agreement,
    auroc,
    calibration_error,
    summarise,
)
from benchmarks.box_model.thresholds import (
    GRID,
    EventCounts,
    after_calm,
    count_events,
    events,
    quiet_thresholds,
    smoothed,
)
from benchmarks.box_model.trainings import STUDENT, TEACHER, Trainings
from benchmarks.report import tables
from runtime.errors import ConfigError, TinysceneError
from runtime.streaming.events import EventRules
from tests.conftest import ROOT
from train.checkpoints import model_pt
from train.training.confidence import at_temperature
from train.training.lightning_module import Classifier

LABELS = ("dog", "rain", "clock")


def _scores(best: np.ndarray, probability: float) -> np.ndarray:
    rest = (1 - probability) / (len(LABELS) - 1)
    return np.where(np.eye(len(LABELS))[best] > 0, probability, rest).astype(np.float32)


def _fold(wrong: int) -> Arrays:
    """30 clips of two windows, the first ``wrong`` windows of which are mistaken; negatives are flat."""
    target = np.repeat(np.arange(30) % 3, 2)
    best = target.copy()
    best[:wrong] = (best[:wrong] + 1) % 3
    flat = np.full((80, 3), 1 / 3, np.float32)
    fold: Arrays = {
        "target": target, "clip": np.repeat(np.arange(30), 2), "bytes": np.array(1000),
        "stream/target": np.arange(30) % 3,
        "negative/speech/even": flat, "negative/speech/odd": flat, "negative/noise/even": flat,
        "negative/noise/odd": np.concatenate([flat, _scores(np.zeros(40, int), 0.99)]),
    }  # fmt: skip
    for condition in ("clean", "level -20 dB"):
        fold[f"{condition}/answered"] = np.ones(60, bool)
        fold[f"{condition}/int8"] = _scores(best, 0.9)
        fold[f"{condition}/fp32"] = _scores(target, 0.9)
    for number in range(30):
        fold[f"stream/{number}"] = _scores(np.full(17, number % 3), 0.9)
    return fold


@pytest.fixture(scope="module")
def result() -> dict:
    return summarise({1: _fold(4), 2: _fold(0)}, LABELS)


def test_folds_are_pooled(result: dict) -> None:
    assert result["conditions"]["clean"]["int8"] == {
        "value": pytest.approx(116 / 120, abs=1e-6),
        "interval": result["conditions"]["clean"]["int8"]["interval"],
        "count": 120,
    }
    assert result["conditions"]["clean"]["agreement"]["value"] == pytest.approx(116 / 120, abs=1e-6)
    assert result["clips"]["int8"]["value"] == pytest.approx(58 / 60, abs=1e-6)
    assert result["clips"]["fp32"]["value"] == 1
    assert result["folds"][0]["int8_windows"] == pytest.approx(56 / 60, abs=1e-4)
    assert result["per_class"]["dog"]["taken_for"] == {"rain": 2}


def test_events_of_negatives_are_those_at_the_thresholds_of_the_other_half(result: dict) -> None:
    # one half ends with ten seconds of a certain dog: one event in 50 seconds a model
    assert result["negatives"]["noise"]["events"] == {"dog": 2}
    assert result["negatives"]["noise"]["events_per_hour"] == pytest.approx(72, rel=0.01)
    assert result["negatives"]["noise"]["fitted_events_per_hour"] == 0
    assert result["negatives"]["speech"]["events"] == {}
    assert result["negatives"]["speech"]["auroc"] == 1
    # the thresholds that are shipped keep both halves quiet: no dog is surer than that noise
    assert result["events_of_clips"]["by_class"]["dog"]["value"] == 0
    assert result["events_of_clips"]["by_class"]["rain"]["value"] == 1


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    target = np.arange(100) % 3
    best = target.copy()
    best[:30] = (best[:30] + 1) % 3  # 70 % right
    assert calibration_error(_scores(best, 0.9), target) == pytest.approx(0.2, abs=1e-6)
    assert calibration_error(_scores(best, 0.7), target) == pytest.approx(0, abs=1e-6)


def test_a_temperature_flattens_probabilities() -> None:
    scores = _scores(np.array([1]), 0.9)
    logits = np.log(scores) / 2
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(at_temperature(scores, 2.0), expected, rtol=1e-6)


def test_auroc_counts_pairs_in_order() -> None:
    assert auroc(np.array([0.9, 0.8]), np.array([0.1, 0.85])) == 0.75
    assert auroc(np.array([0.5]), np.array([0.5])) == 0.5


def test_events_need_a_signal_and_a_threshold() -> None:
    certain = _scores(np.zeros(20, int), 0.95)
    silent = np.full_like(certain, np.nan)
    assert events(certain, LABELS, EventRules()) == ["dog"]
    assert events(silent, LABELS, EventRules()) == []
    assert events(certain, LABELS, EventRules(enter_of={"dog": 0.99})) == []
    assert events(np.concatenate([certain, silent, certain]), LABELS, EventRules()) == ["dog", "dog"]


def test_labels_that_differ_are_counted() -> None:
    assert agreement([_fold(6)], "clean").count == 54


def test_the_tables_name_every_condition_and_class(result: dict) -> None:
    text = card.results_text(result)
    for name in ("fold 2", "level -20 dB", "clock", "speech", "noise", "96.7%"):
        assert name in text


def test_recipes_leave_out_what_the_test_measures_on() -> None:
    for path in (TEACHER, *STUDENT):
        recipe = yaml.safe_load((ROOT / path).read_text())
        excluded = recipe["data"]["corpus"]["init_args"]["exclude"]
        assert {pattern for patterns in NEGATIVES.values() for pattern in patterns} <= set(excluded)
    for path in STUDENT:
        capture = yaml.safe_load((ROOT / path).read_text())["model"]["augmentation"]["capture"]
        assert set(capture["response_exclude"]) == set(MICROPHONES)


def test_events_are_counted_as_the_detector_reports_them() -> None:
    random = np.random.default_rng(0)
    for rules in (EventRules(), EventRules(smoothing_s=0, min_duration_s=0, cooldown_s=0.25)):
        scores = _scores(np.repeat(random.integers(3, size=150), random.integers(1, 9, size=150)), 0.97)
        scores[random.random(len(scores)) < 0.1] = np.nan
        scores[:5] = np.nan  # a stream may begin with silence
        for enter in (0.5, 0.7, 0.9, 0.95):
            found = events(scores, LABELS, dataclasses.replace(rules, enter=enter))
            columns = smoothed(scores, rules).T
            counted = [count_events(column, enter, rules) for column in columns]
            assert counted == [found.count(label) for label in LABELS]
            assert sum(counted) > 9


def _lowest(least: float = 0.5) -> dict[str, float]:
    return dict.fromkeys(LABELS, least)


def _first(least: float) -> float:
    """The first threshold that is not below."""
    return next(threshold for threshold in GRID if threshold >= least)


def test_thresholds_are_high_enough_for_a_kind_to_be_quiet_and_no_higher() -> None:
    # minutes of scores: rain is certain for three seconds of each, a dog likely every half a minute
    dog, rain = (_scores(np.full(12, label), score) for label, score in ((0, 0.7), (1, 0.96)))
    calm = np.full((108, len(LABELS)), 1 / len(LABELS))
    minutes = np.concatenate([dog, calm, dog, calm[:96], rain] * 5)
    chosen = quiet_thresholds(EventCounts.of([], {"noise": [minutes]}, LABELS), LABELS, _lowest())
    assert chosen["clock"] == _first(0.5)
    assert chosen["dog"] <= _first(0.7) and chosen["rain"] <= _first(0.96)
    found = events(minutes, LABELS, EventRules(enter_of=chosen))
    assert len(found) <= 1
    lower = {label: GRID[GRID.index(threshold) - 1] for label, threshold in chosen.items()}
    assert len(events(minutes, LABELS, EventRules(enter_of={**chosen, "dog": lower["dog"]}))) > 1


def test_thresholds_rise_where_fewest_clips_are_lost() -> None:
    # both labels give the same false events; dogs are surer than those, rain is not
    dog, rain = (_scores(np.full(12, label), 0.8) for label in (0, 1))
    sounds = [(0, _scores(np.zeros(12, int), 0.97)), (1, rain)]
    calm = np.full((108, len(LABELS)), 1 / len(LABELS))
    minutes = np.concatenate([dog, calm, rain, calm] * 2 + [calm] * 4)
    counts = EventCounts.of(sounds, {"noise": [minutes]}, LABELS)
    chosen = quiet_thresholds(counts, LABELS, _lowest())
    assert sum(counts.at(chosen)["noise"].values()) <= 1
    allowed = dataclasses.replace(counts, hours={"noise": 8.0})  # two events
    chosen = quiet_thresholds(allowed, LABELS, _lowest())
    assert chosen["dog"] > 0.75 and chosen["rain"] == _first(0.5)
    assert counts.at(chosen)["noise"] == {"dog": 0, "rain": 2, "clock": 0}


def test_no_label_is_given_up_for_the_sake_of_others() -> None:
    def at_most(*places: tuple[int, int]) -> np.ndarray:
        return np.array([[value] * place + [0] * (len(GRID) - place) for value, place in places])

    # one event is allowed: five more of the dogs give it, or the only two rains
    clips = at_most((9, 20), (2, 20), (0, 1)) + at_most((5, 10), (0, 1), (0, 1))
    counts = EventCounts(clips, {"noise": at_most((1, 10), (1, 20), (0, 1))}, {"noise": 1.0})
    chosen = quiet_thresholds(counts, LABELS, _lowest(0.3))
    assert chosen["dog"] > GRID[9] and chosen["rain"] < GRID[20]


def test_one_event_of_a_short_kind_proves_nothing() -> None:
    minute = np.concatenate([_scores(np.zeros(12, int), 0.9), np.full((228, len(LABELS)), 1 / len(LABELS))])
    counts = EventCounts.of([], {"noise": [minute]}, LABELS)
    assert counts.negatives["noise"][0, GRID.index(_first(0.5))] == 1
    assert quiet_thresholds(counts, LABELS, _lowest()) == _lowest(_first(0.5))


def test_a_clip_is_counted_as_it_would_be_heard_after_others() -> None:
    short = _scores(np.zeros(4, int), 0.9)
    assert events(short, LABELS, EventRules(enter=0.8)) == ["dog"]
    assert events(after_calm(short), LABELS, EventRules(enter=0.8)) == []


def test_negatives_of_every_kind_are_found_or_named(tmp_path: Path) -> None:
    folder, more = tmp_path / "known", tmp_path / "unheard"
    names = ("3_lucas_0.wav", "0ad_audio_music_Honor.ogg.wav", "x_interface_alarm_2.wav", "other.wav")
    added = (more / "speech" / "a.wav", more / "traffic" / "b.wav", more / "traffic" / "c.wav")
    for number, path in enumerate((*(folder / name for name in names), *added)):
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full(8_000, 0.1 + number / 100), 8_000)
    shutil.copy(added[1], added[2])
    found = negative_files([folder])
    assert {kind: len(files) for kind, files in found.items()} == {
        "speech": 1, "music": 1, "other sounds": 1, "noise": 360,
    }  # fmt: skip
    found = negative_files([folder], more)
    assert found["speech"] == [folder / names[0], added[0]]
    assert found["traffic"] == [added[1]], "the same sound under two names would be in both halves"
    (folder / names[0]).unlink()
    with pytest.raises(TinysceneError, match="speech"):
        negative_files([folder])


def test_sounds_of_packages_are_chosen_by_name() -> None:
    paths = [Path("usr/share/game/sounds") / name for name in ("b.ogg", "Campfire.ogg", "a.WAV", "c.txt")]
    source = unheard.Source("game", "*/sounds/*", ("*fire*",))
    assert [path.name for path in unheard.chosen(source, iter(paths))] == ["a.WAV", "b.ogg"]


def test_sounds_to_train_on_are_laid_out_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpack(package: str, folder: Path) -> None:
        root = folder / package / "usr"
        root.mkdir(parents=True)
        if package == "0ad-data":
            with ZipFile(root / "public.zip", "w") as archive:
                for name in ("audio/music/Honor.ogg", "audio/notes.txt", "art/horn.ogg"):
                    archive.writestr(name, name)
        else:
            (root / "drum.flac").write_text("drum")

    monkeypatch.setattr(negatives, "unpack", unpack)
    monkeypatch.setattr(negatives, "EFFECTS", ())
    assert negatives.main([str(tmp_path)]) == 0
    found = {path.name: path.read_text() for path in (tmp_path / "sounds").iterdir()}
    assert found == {"music_Honor.ogg": "audio/music/Honor.ogg", "sonicpi_drum.flac": "drum"}
    monkeypatch.setattr(negatives, "unpack", lambda package, folder: (folder / package).mkdir())
    with pytest.raises(TinysceneError, match="0ad-data"):
        negatives.main([str(tmp_path / "none")])


def test_a_package_without_the_sounds_of_a_source_is_named(tmp_path: Path) -> None:
    (tmp_path / "game").mkdir()
    with pytest.raises(TinysceneError, match="game of this release"):
        unheard.copied(unheard.Source("game", "*"), tmp_path, tmp_path / "effects")


def test_no_package_is_both_trained_on_and_tested_on() -> None:
    tested = {source.package for sources in unheard.SOURCES.values() for source in sources}
    assert tested.isdisjoint(source.package for source in negatives.EFFECTS)


def test_an_ablation_has_the_mean_over_folds_and_its_interval() -> None:
    mean, low, high = ablation.gain([0.80, 0.90, 0.85, 0.85], [0.79, 0.87, 0.83, 0.83])
    assert mean == pytest.approx(2.0)
    assert high - mean == pytest.approx(3.1824463 * np.std([1, 3, 2, 2], ddof=1) / 2)
    assert mean - low == pytest.approx(high - mean)
    shares = {condition: [0.8, 0.9] for condition in ablation.CONDITIONS}
    found = {
        ablation.REFERENCE: {"steps": 1_049, "windows": shares, "clips": [1.0, 0.9]},
        "the teacher": {
            "steps": 1_049, "windows": shares, "clips": [0.9, 0.9],
            "gain": {"windows": [1.0, -1.0, 3.0], "clips": [5.0, -58.5, 68.5]},
        },
    }  # fmt: skip
    rows = tables.ablation({"without": found}).splitlines()
    assert rows[2].startswith("| nothing | 1,049 | 85.0 % | 85.0 % | 85.0 % | 95.0 % |")
    assert rows[3].endswith("| +1.0 (-1.0 to +3.0) | +5.0 (-58.5 to +68.5) |")
    assert len({row.count("|") for row in rows}) == 1


def test_the_training_without_a_teacher_differs_in_nothing_else(tmp_path, monkeypatch) -> None:
    started: dict[str, set[str]] = {}

    def run_train(verb: str, *options: str) -> None:
        roots = [word.partition("=")[2] for word in options if word.startswith("--trainer.default_root_dir=")]
        model = Path(roots[0]) / "model.pt" if roots else Path(options[-1])
        model.parent.mkdir(parents=True, exist_ok=True)
        model.touch()
        started[str(model.relative_to(tmp_path))] = set(options)

    monkeypatch.setattr(trainings, "run_train", run_train)
    runs = Trainings(tmp_path, tmp_path / "mn04", tmp_path / "labels", [tmp_path])
    taught, labelled = runs.first(2), runs.first(2, taught=False)
    assert (taught, labelled) == tuple(
        tmp_path / "fold2" / n / "model.pt" for n in ("student", "student_labels")
    )
    first, second = started["fold2/student/model.pt"], started["fold2/student_labels/model.pt"]
    assert first ^ second == {
        f"--model.distillation.teachers=[{tmp_path / 'fold2' / 'teacher' / 'model.pt'}]",
        "--model.distillation=null",
        f"--trainer.default_root_dir={tmp_path / 'fold2' / 'student'}",
        f"--trainer.default_root_dir={tmp_path / 'fold2' / 'student_labels'}",
    }
    assert set(started) == {
        "mn04.pt",
        "fold2/teacher/model.pt",
        *(f"fold2/{n}/model.pt" for n in ("student", "student_labels")),
    }


def test_the_agreement_of_a_model_with_itself_is_whole_and_other_labels_are_refused(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(teacher_agreement, "_NUMBERS", range(3))
    for name, labels in (("a", ("x", "y")), ("b", ("x", "z"))):
        made = Classifier("cp_mobile", {"base_channels": 8, "n_blocks": [1]}, labels=labels)
        model_pt.save(made.to_checkpoint(), tmp_path / f"{name}.pt")
    assert teacher_agreement.main([str(tmp_path / "a.pt"), "--teacher", str(tmp_path / "a.pt")]) == 0
    assert "textures: 3, the same label: 100.0%" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"other labels"):
        teacher_agreement.main([str(tmp_path / "a.pt"), "--teacher", str(tmp_path / "b.pt")])


def test_scores_of_unknown_sounds_are_compared_by_their_auroc() -> None:
    # a sound of a class has one logit above the others; the negatives have all high, or all the same
    positive = np.eye(3)[[0, 1, 2]] * 4.0
    table = unknown_scores.table(positive, {"loud": np.full((2, 3), 9.0), "even": np.zeros((2, 3))})
    assert "| greatest probability | 1.000 | 1.000 |" in table
    assert "| entropy, negative | 1.000 | 1.000 |" in table
    assert "| energy | 0.000 | 1.000 |" in table
