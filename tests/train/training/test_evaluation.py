"""Scores against numbers worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit

from runtime.errors import ConfigError, DataError
from train.data import Clip
from train.training.confidence import HIGHEST, LOWEST, fit_confidence, fit_temperature, fit_thresholds
from train.training.evaluation import calibration_error, evaluate


def test_windows_and_clips_are_scored_apart():
    scored = [Clip("a", (0,), "a", "x"), Clip("b", (1,), "b", "x"), Clip("c", (1,), "c", "y")]
    clips = [*scored, Clip("no window", (0,), "d", "y")]
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
    result = evaluate(probabilities, np.array([0, 0, 1, 2]), clips, ["no", "yes"])
    assert (result.windows, result.clips) == (4, 3)
    assert result.window_accuracy == 0.5
    assert result.clip_accuracy == pytest.approx(2 / 3)
    assert result.per_class == {"no": 1.0, "yes": 0.5}
    assert result.macro_accuracy == 0.75
    assert result.per_device == {"x": 1.0, "y": 0.0}
    assert result.confusion == ((1, 0), (1, 1))
    assert result.log_loss == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.3]).mean())
    assert "66.7% of 3 clips" in result.to_text()


def test_temperature_undoes_a_known_overconfidence():
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(20_000, 4))
    honest = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    target = (honest.cumsum(1) > rng.random((len(honest), 1))).argmax(1)  # drawn by the probabilities
    sure = np.exp(3 * logits) / np.exp(3 * logits).sum(1, keepdims=True)
    assert fit_temperature(honest, np.eye(4)[target]) == pytest.approx(1, abs=0.03)
    assert fit_temperature(sure, np.eye(4)[target]) == pytest.approx(3, abs=0.1)
    present = rng.random(logits.shape) < expit(logits)
    assert fit_temperature(expit(logits), present, "multi_label") == pytest.approx(1, abs=0.03)
    assert fit_temperature(expit(3 * logits), present, "multi_label") == pytest.approx(3, abs=0.1)


def test_a_threshold_is_the_smallest_with_nine_in_ten_right():
    # of dog: 18 right at 0.9, 2 wrong at 0.7 (18 of 20), 10 wrong at 0.6, 2 right at 0.4 (20 of 32)
    probability = np.repeat([0.9, 0.7, 0.6, 0.4], [18, 2, 10, 2])
    dog = np.repeat([True, False, False, True], [18, 2, 10, 2])
    both, targets = np.stack([probability, 1 - probability], axis=1), np.stack([dog, ~dog], axis=1)
    assert fit_thresholds(both, targets, ["dog", "rain"]) == {"dog": 0.7}  # 12 windows of rain
    # with one more wrong one at 0.7 all of these would be 18 of 21: they count together, in any order
    probability[20], order = 0.7, np.random.default_rng(0).permutation(32)
    both = np.stack([probability, 1 - probability], axis=1)[order]
    assert fit_thresholds(both, targets[order], ["dog", "rain"]) == {"dog": 0.9}


def test_thresholds_are_bounded():
    quiet, loud = np.full(20, 0.1), np.full(20, 0.99)
    hum, hiss = np.repeat([[1.0, 0.0]], 20, axis=0), np.repeat([[0.0, 1.0]], 20, axis=0)
    # whatever is taken for hum is hum, even at 0.1; with louder hiss above it, no probability will do
    assert fit_thresholds(np.stack([quiet, loud], axis=1), hum, ["hum", "hiss"]) == {"hum": LOWEST}
    both = np.repeat(np.concatenate([quiet, loud])[:, None], 2, axis=1)
    assert fit_thresholds(both, np.concatenate([hum, hiss]), ["hum", "hiss"]) == {
        "hum": HIGHEST,
        "hiss": HIGHEST,
    }


def test_thresholds_are_of_calibrated_confidence():
    rng = np.random.default_rng(1)
    logits = rng.normal(scale=2, size=(5_000, 3))
    honest = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    target = (honest.cumsum(1) > rng.random((len(honest), 1))).argmax(1)
    sure = np.exp(3 * logits) / np.exp(3 * logits).sum(1, keepdims=True)
    plain, undone = (fit_confidence(p, np.eye(3)[target], ["a", "b", "c"]) for p in (honest, sure))
    assert undone["temperature"] == pytest.approx(3 * plain["temperature"], rel=0.01)
    assert undone["thresholds"] == pytest.approx(plain["thresholds"], abs=0.01)
    assert all(0.6 < threshold < 0.95 for threshold in plain["thresholds"].values())


def test_accuracy_of_device_groups_and_cities():
    clips = [Clip(f"{i}", (0,), f"{i}", device, city) for i, (device, city) in enumerate(
        [("a", "lyon"), ("b", "lyon"), ("s4", "milan"), ("", "")]
    )]  # fmt: skip
    right, wrong = [0.8, 0.2], [0.3, 0.7]
    groups = {"real": ("a", "b"), "unseen": ("s4",), "seen": ("s1",)}
    found = evaluate(np.array([right, wrong, right, wrong]), np.arange(4), clips, ["x", "y"], groups)
    assert found.per_device_group == {"real": 0.5, "unseen": 1.0}
    assert found.per_city == {"lyon": 0.5, "milan": 1.0}
    assert "devices unseen" in found.to_text() and "city lyon" in found.to_text()


def test_calibration_error_by_hand():
    # two windows at 0.9 of which one is right, one at 0.6 that is right
    right = np.array([True, False, True])
    assert calibration_error(np.array([0.9, 0.9, 0.6]), right) == pytest.approx((2 * 0.4 + 0.4) / 3)
    assert calibration_error(np.array([1.0]), np.array([True])) == 0


def test_csv_has_every_figure(tmp_path):
    clips = [Clip("audio/1.wav", (0,), "1", "a", "lyon"), Clip("2.wav", (1,), "2")]
    probabilities = np.array([[0.75, 0.25], [0.5, 0.5]])
    evaluate(probabilities, np.arange(2), clips, ["bus", "tram"]).to_csv(tmp_path / "r.csv")
    rows = (tmp_path / "r.csv").read_text().splitlines()
    assert rows[0] == "kind,name,value" and "total,clip_accuracy,0.5" in rows
    assert {"class,bus,1.0", "class,tram,0.0", "device,a,1.0", "city,lyon,1.0"} <= set(rows)


TAGS = ["rain", "dog", "cat", "owl"]


def _tagged() -> tuple[np.ndarray, np.ndarray, list[Clip]]:
    """Five clips of a window each, the first of two; the last one has no label."""
    of_clip = {"a": (0, 1), "b": (0,), "c": (1,), "d": (), "e": None}
    clips = [Clip(n, t, n, device="xxyyz"[i]) for i, (n, t) in enumerate(of_clip.items())]
    probabilities = np.array(
        [[0.9, 0.2, 0.1, 0.1], [0.7, 0.4, 0.1, 0.1], [0.6, 0.1, 0.1, 0.1], [0.7, 0.8, 0.2, 0.1],
         [0.1, 0.2, 0.3, 0.2], [0.9, 0.9, 0.9, 0.9]]
    )  # fmt: skip
    return probabilities, np.array([0, 0, 1, 2, 3, 4]), clips


def test_several_labels_are_scored_by_ranking():
    found = evaluate(*_tagged(), TAGS, {"ours": "xy"}, "multi_label")
    assert (found.clips, found.windows) == (4, 5)
    # rain: a .8, c .7, b .6, d .1, so its two clips rank 1 and 3; dog: c .8, a .3, d .2, b .1
    assert found.per_class == pytest.approx({"rain": (1 + 2 / 3) / 2, "dog": 1.0})
    assert found.mean_average_precision == pytest.approx((5 / 6 + 1) / 2)
    assert found.auc == pytest.approx((3 / 4 + 1) / 2)
    assert found.d_prime == pytest.approx(np.sqrt(2) * 1.150349, abs=1e-5)  # the normal quantile of 0.875
    assert found.occurrence == {"rain": 0.5, "dog": 0.5}
    assert found.per_device == pytest.approx({"x": 1.0, "y": 1.0}) and set(found.per_device_group) == {"ours"}
    probabilities = _tagged()[0][:5]
    true = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]], bool)
    assert found.log_loss == pytest.approx(-np.log(np.where(true, probabilities, 1 - probabilities)).mean())
    assert found.ece == pytest.approx(calibration_error(probabilities.ravel(), true.ravel()))
    assert "mAP 0.917" in found.to_text() and "2 of 4 labels in 4 clips" in found.to_text()


def test_ranking_agrees_with_the_definition_on_random_scores():
    rng = np.random.default_rng(0)
    scores, truth = rng.random((300, 3)).round(2), rng.random((300, 3)) < 0.2  # rounded: ties occur
    clips = [Clip(str(i), tuple(np.flatnonzero(row)), str(i)) for i, row in enumerate(truth)]
    found = evaluate(scores, np.arange(300), clips, TAGS[:3], task="multi_label")
    for column, label in enumerate(TAGS[:3]):
        score, true = scores[:, column], truth[:, column]
        steps = [(score >= s) for s in np.unique(score)[::-1]]
        recall = np.array([0, *(true[step].sum() / true.sum() for step in steps)])
        precision = np.array([true[step].mean() for step in steps])
        assert found.per_class[label] == pytest.approx((np.diff(recall) * precision).sum())
    pairs = [s[t][:, None] - s[~t][None] for s, t in zip(scores.T, truth.T, strict=True)]
    areas = [(gap > 0).mean() + (gap == 0).mean() / 2 for gap in pairs]
    assert found.auc == pytest.approx(np.mean(areas), abs=1e-6)


def test_the_multi_label_report_in_every_form(tmp_path):
    found = evaluate(*_tagged(), TAGS, task="multi_label")
    found.plot(tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    found.to_csv(tmp_path / "x.csv")
    assert {"total,auc,0.875", "class,dog,1.0"} <= set((tmp_path / "x.csv").read_text().splitlines())
    assert json.loads(json.dumps(found.to_dict()))["occurrence"] == {"rain": 0.5, "dog": 0.5}
    one = evaluate(
        np.array([[0.4, 0.6]]), np.array([0]), [Clip("a", (1,), "a")], TAGS[:2], task="multi_label"
    )
    assert one.to_dict()["auc"] is None and one.mean_average_precision == 1.0


def test_clips_that_nobody_labelled_are_not_scored():
    clips = [Clip("a", (0,), "a"), Clip("b", None, "b", "phone")]
    probabilities = np.array([[0.8, 0.2], [0.1, 0.9]])
    found = evaluate(probabilities, np.arange(2), clips, ["no", "yes"])
    assert (found.clips, found.clip_accuracy, found.per_device) == (1, 1.0, {})
    for task in ("single_label", "multi_label"):
        with pytest.raises(DataError, match="train predict"):
            evaluate(probabilities[1:], np.zeros(1, int), clips[1:], ["no", "yes"], task=task)


def test_a_device_without_a_label_is_null_in_the_report():
    clips = [Clip("a", (0,), "a", "x"), Clip("b", (1,), "b", "x"), Clip("c", (), "c", "y")]
    scores = np.array([[0.9, 0.2], [0.1, 0.7], [0.3, 0.4]])
    report = evaluate(scores, np.arange(3), clips, ["p", "q"], task="multi_label").to_dict()
    assert report["per_device"] == {"x": 1.0, "y": None}
    json.dumps(report, allow_nan=False)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_scores_that_are_not_finite_are_a_sentence(task):
    clips = [Clip("a", (0,), "a"), Clip("b", (1,), "b")]
    scores = np.array([[0.9, 0.1], [np.nan, np.nan]])
    with pytest.raises(ConfigError, match=r"1 of 2 windows are not finite.*lower model\.lr"):
        evaluate(scores, np.arange(2), clips, ["p", "q"], task=task)
