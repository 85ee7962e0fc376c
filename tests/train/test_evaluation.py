"""Scores against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from train.calibration import HIGHEST, LOWEST, calibrate, fit_temperature, fit_thresholds
from train.data import Clip
from train.evaluation import calibration_error, evaluate, write_output


def test_windows_and_clips_are_scored_apart():
    heard = [Clip("a", (0,), "a", "x"), Clip("b", (1,), "b", "x"), Clip("c", (1,), "c", "y")]
    clips = [*heard, Clip("unheard", (0,), "d", "y")]
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
    target = (honest.cumsum(1) > rng.random((len(honest), 1))).argmax(1)  # drawn as the probabilities say
    sure = np.exp(3 * logits) / np.exp(3 * logits).sum(1, keepdims=True)
    assert fit_temperature(honest, target) == pytest.approx(1, abs=0.03)
    assert fit_temperature(sure, target) == pytest.approx(3, abs=0.1)


def test_a_threshold_is_the_smallest_with_nine_in_ten_right():
    # of dog: 18 right at 0.9, 2 wrong at 0.7 (18 of 20), 10 wrong at 0.6, 2 right at 0.4 (20 of 32)
    probability = np.repeat([0.9, 0.7, 0.6, 0.4], [18, 2, 10, 2])
    dog = np.repeat([True, False, False, True], [18, 2, 10, 2])
    both = np.stack([probability, 1 - probability], axis=1)
    assert fit_thresholds(both, np.where(dog, 0, 1), ["dog", "rain"]) == {"dog": 0.7}  # 12 windows of rain
    # with one more wrong one at 0.7 all of these would be 18 of 21: they count together, in any order
    probability[20], order = 0.7, np.random.default_rng(0).permutation(32)
    both = np.stack([probability, 1 - probability], axis=1)[order]
    assert fit_thresholds(both, np.where(dog, 0, 1)[order], ["dog", "rain"]) == {"dog": 0.9}


def test_thresholds_are_bounded():
    quiet, loud = np.full(20, 0.1), np.full(20, 0.99)
    hum, hiss = np.zeros(20, int), np.ones(20, int)
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
    plain, undone = (calibrate(p, target, ["a", "b", "c"]) for p in (honest, sure))
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
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    assert calibration_error(probabilities, np.array([0, 1, 1])) == pytest.approx((2 * 0.4 + 0.4) / 3)
    assert calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0


def test_csv_has_every_figure_and_output_the_challenges_form(tmp_path):
    clips = [Clip("audio/1.wav", (0,), "1", "a", "lyon"), Clip("2.wav", (1,), "2")]
    probabilities = np.array([[0.75, 0.25], [0.5, 0.5]])
    evaluate(probabilities, np.arange(2), clips, ["bus", "tram"]).to_csv(tmp_path / "r.csv")
    rows = (tmp_path / "r.csv").read_text().splitlines()
    assert rows[0] == "kind,name,value" and "total,clip_accuracy,0.5" in rows
    assert {"class,bus,1.0", "class,tram,0.0", "device,a,1.0", "city,lyon,1.0"} <= set(rows)
    write_output(tmp_path / "output.csv", probabilities, clips, ["bus", "tram"])
    assert (tmp_path / "output.csv").read_text() == (
        "filename\tscene_label\tbus\ttram\n1.wav\tbus\t0.750000\t0.250000\n2.wav\tbus\t0.500000\t0.500000\n"
    )
