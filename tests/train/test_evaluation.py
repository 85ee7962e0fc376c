"""Scores against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from train.calibration import fit_temperature
from train.data import Clip
from train.evaluation import evaluate


def test_windows_and_clips_are_scored_apart():
    heard = [Clip("a", 0, "a", "x"), Clip("b", 1, "b", "x"), Clip("c", 1, "c", "y")]
    clips = [*heard, Clip("unheard", 0, "d", "y")]
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
