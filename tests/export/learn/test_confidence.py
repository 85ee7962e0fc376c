"""Thresholds where too few windows are held out to fit one."""

from __future__ import annotations

import numpy as np
import pytest

from export.learn.confidence import thresholds_by_negatives
from train.training.confidence import HIGHEST, at_temperature


def test_few_negatives_reach_a_threshold():
    dog = np.linspace(0.2, 0.8, 101)
    scores = np.stack([dog, 1 - dog], axis=1)
    thresholds = thresholds_by_negatives(scores, ("dog", "bell"))
    assert thresholds == {"dog": pytest.approx(0.77), "bell": pytest.approx(0.77)}
    assert (scores >= [*thresholds.values()]).mean() == pytest.approx(0.05, abs=0.01)


def test_a_threshold_is_neither_trivial_nor_out_of_reach():
    scores = np.array([[0.01, 0.99]] * 50)
    assert thresholds_by_negatives(scores, ("dog", "bell")) == {"dog": 0.5, "bell": HIGHEST}


def test_a_temperature_leaves_the_order_and_the_sum():
    scores = np.array([[0.7, 0.2, 0.1]])
    softened = at_temperature(scores, 2.0)
    assert softened.sum() == pytest.approx(1) and softened[0, 0] < 0.7 and (np.diff(softened) < 0).all()
