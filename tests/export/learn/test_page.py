"""The sentences of the page follow from the numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import complexity
from export.learn.report.events import Events
from export.learn.report.measure import Measured, Wrong
from export.learn.report.page import Page, compare
from train.quantization.quality import Share


def measured(dog: tuple[int, int], bell: tuple[int, int], quiet: int = 40, alarms: int = 0) -> Measured:
    """Clips right and in all of two classes; 40 windows, of which ``quiet`` are right at a lower level."""
    confusion = np.array([[bell[0], bell[1] - bell[0]], [dog[1] - dog[0], dog[0]]])
    wrong = [Wrong(f"dog/{n}.wav", "dog", "bell", 0.1 + n / 10) for n in range(dog[1] - dog[0])]
    return Measured(
        labels=("bell", "dog"),
        clips=Share(dog[0] + bell[0], dog[1] + bell[1]),
        windows=Share(36, 40),
        per_class={"bell": Share(*bell), "dog": Share(*dog)},
        confusion=confusion,
        wrong=tuple(wrong),
        conditions={"clean": Share(40, 40), "level -30 dB": Share(quiet, 40)},
        false_alarms=Share(alarms, 100),
        events=Events({"bell": Share(9, 10), "dog": Share(4, 10)}, Share(2, 20), of_others=1, others_s=70.4),
    )


def page(result: Measured, **fields: object) -> str:
    """The text of a page."""
    cost = complexity.measure(_network(), (1, 1, 8, 8))
    recordings = {"bell": (9, 3), "dog": (8, 2)}
    return Page("my.onnx", result, cost, 1_000, recordings, microphones=True, **fields).to_text()  # type: ignore[arg-type]


def _network():
    from torch import nn

    return nn.Conv2d(1, 2, 3)


def test_a_weak_class_is_to_be_recorded_with_the_one_it_is_taken_for():
    text = page(measured(dog=(6, 10), bell=(40, 40)))
    assert "dog, which is right in 6 of 10; and of bell, which it is taken for" in text
    assert "dog taken for bell: 4 clips" in text
    assert text.index("dog/0.wav") < text.index("dog/3.wav")  # the worst first
    assert "2 recordings, 8 to train on" in text


def test_few_clips_prove_little_even_where_all_are_right():
    text = page(measured(dog=(2, 2), bell=(40, 40)))
    assert "dog: all right, but of fewer than 10 clips" in text and "confused" not in text


def test_where_nothing_is_weak_the_page_says_so():
    assert "nothing urgent" in page(measured(dog=(40, 40), bell=(40, 40)))


def test_what_a_condition_costs_and_false_alarms_are_remarked_on():
    text = page(measured(dog=(40, 40), bell=(40, 40), quiet=30, alarms=30))
    assert "loses 25%" in text and "not_a_class" in text


def test_events_are_told_and_a_class_that_is_seldom_reported_is_named():
    text = page(measured(dog=(40, 40), bell=(40, 40)))
    assert "one of their class    65.0% (" in text and "13 of 20)" in text
    assert "one of another class  10.0% (" in text and "1 event in 70 s of other sounds" in text
    assert "seldom reported: dog (4 of 10); `listen --threshold dog=P` takes another threshold" in text


def test_noise_alone_is_not_called_other_sounds():
    result = measured(dog=(40, 40), bell=(40, 40))
    alone = dataclasses.replace(result, events=dataclasses.replace(result.events, only_noise=True))
    assert "1 event in 70 s of synthetic noise; --negatives DIR with 5 sounds or more tries others" in page(
        alone
    )


@pytest.mark.parametrize(("new", "better"), [("aab", True), ("aaa", True), ("abb", False)])
def test_a_new_file_replaces_one_that_is_not_better(new, better):
    old = {"1": True, "2": True, "3": False}  # two of three
    now = {clip: letter == "a" for clip, letter in zip(old, new, strict=True)}
    replaced, sentence = compare(old, now)
    assert replaced is better and "the same 3 held-out clips: 66.7% right before" in sentence
