"""Events of whole sounds are those that `listen` reports."""

from __future__ import annotations

import dataclasses
import weakref

import numpy as np
import pytest

from export.learn.data.negatives import Negatives
from export.learn.report.events import _events_of_others, events_of
from runtime import load_model
from runtime.classifier import Model
from runtime.model.prediction import Prediction, classified, unclassified


class _LouderIsDog(Model):
    """The packaged model, but a window with a peak above 0.1 is a dog's, and one above 0.5 a rooster's."""

    def windows(self, waveform, sample_rate, hop_s=None) -> list[Prediction]:
        """Windows of a second at the hop."""
        found = []
        for start in range(0, len(waveform) - sample_rate + 1, round(hop_s * sample_rate)):
            peak, at = float(np.abs(waveform[start : start + sample_rate]).max()), start / sample_rate
            if not peak:
                found.append(unclassified("no_signal", at, at + 1))
                continue
            likely = "rooster" if peak > 0.5 else "dog" if peak > 0.1 else "rain"
            scores = {label: 0.991 if label == likely else 0.001 for label in self.labels}
            found.append(classified(scores, at, at + 1))
        return found


@pytest.fixture(scope="module")
def model() -> Model:
    """With thresholds that rain does not reach."""
    session = load_model().session
    made = _LouderIsDog(session)
    made.spec = dataclasses.replace(made.spec, thresholds={"rain": 0.999})
    return made


@pytest.mark.parametrize(
    ("seconds", "level", "expected"),
    [(0.3, 0.2, ["dog"]), (3.0, 0.2, ["dog"]), (3.0, 0.9, ["rooster"]), (3.0, 0.05, [])],
)
def test_a_sound_gives_an_event_however_short_it_is(model, seconds, level, expected):
    assert events_of(model, np.full(round(32_000 * seconds), level, np.float32)) == expected


def test_a_sound_that_returns_gives_two_events(model):
    sound, pause = np.full(32_000, 0.2, np.float32), np.zeros(128_000, np.float32)
    assert events_of(model, np.concatenate([sound, pause, sound])) == ["dog", "dog"]


def test_silence_gives_none(model):
    assert events_of(model, np.zeros(64_000, np.float32)) == []


def test_of_long_negatives_the_beginning_is_heard_and_few_are_in_memory(model):
    alive: list[weakref.ref] = []

    class Long(Negatives):
        def sounds(self, sample_rate):
            """Three sounds of 40 seconds, none of which is kept here."""
            for _ in range(3):
                wave = np.full(40 * sample_rate, 0.2, np.float32)
                alive.append(weakref.ref(wave))
                assert sum(one() is not None for one in alive) <= 2  # this one, and the loop's last
                yield wave
                del wave

    assert _events_of_others(model, Long()) == (3, 90.0)
