"""What is captured: events, and scores that nearly made one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from runtime.capture.triggers import REACH_S, Trigger, TriggerDetector
from runtime.model.prediction import classified, unclassified
from runtime.streaming.events import EventDetector, EventRules

HOP_S = 0.25


def triggers(dog: Sequence[float | None], **rules: float) -> list[Trigger]:
    """Of scores of one class, window after window; None where samples were lost, NaN without a signal."""
    event_rules = EventRules(**{"smoothing_s": 0.0, **rules})  # type: ignore[arg-type]
    detector, found = TriggerDetector(event_rules), []
    events = EventDetector(event_rules)
    for index, score in enumerate(dog):
        start_s = index * HOP_S
        if score is None or math.isnan(score):
            raw = unclassified("gap" if score is None else "no_signal", start_s, start_s + 1)
        else:
            raw = classified({"dog": score, "rain": 0.0}, start_s, start_s + 1)
        found += detector.push(*events.push(raw))
    return found + detector.finish()


def kinds(dog: Sequence[float | None], **rules: float) -> list[tuple[str, float]]:
    return [(trigger.kind, round(trigger.score, 6)) for trigger in triggers(dog, **rules)]


def test_an_event_is_captured_around_the_windows_that_made_it() -> None:
    (trigger,) = triggers([0.1, 0.1, 0.6, 0.9, 0.8, 0.7, 0.1])
    assert (trigger.label, trigger.kind, trigger.score) == ("dog", "event", 0.9)
    assert (
        trigger.centre_s == (0.5 + 2.0) / 2
    )  # its first window begins at 0.5 s, the one of its onset ends at 2.0


def test_an_event_that_takes_long_to_be_one_is_captured_where_the_sound_is_still_held() -> None:
    (trigger,) = triggers([0.9] * 60, min_duration_s=12.0)
    assert trigger.centre_s == 1 + 12.0 - REACH_S
    (trigger,) = triggers([*[0.9] * 40, 0.1], min_duration_s=12.0)
    assert trigger.kind == "miss" and trigger.centre_s == 11.0 - REACH_S


def test_a_score_that_comes_near_its_threshold_is_a_close_miss() -> None:
    (trigger,) = triggers([0.1, 0.41, 0.47, 0.43, 0.39])
    assert (trigger.label, trigger.kind, trigger.score) == ("dog", "miss", 0.47)
    assert trigger.centre_s == 1.0  # the middle of the window with the highest score
    assert triggers([0.1, 0.39, 0.39, 0.1]) == []


def test_a_score_that_does_not_hold_its_threshold_is_a_close_miss() -> None:
    assert kinds([0.1, 0.95, 0.1]) == [("miss", 0.95)]
    assert kinds([0.1, 0.45, 0.95, 0.95, 0.95, 0.1]) == [("event", 0.95)]


def test_a_score_that_hovers_is_one_close_miss() -> None:
    assert kinds([0.45] * 100) == [("miss", 0.45)]
    assert kinds([0.45] * 100 + [0.1] + [0.42] * 5) == [("miss", 0.45), ("miss", 0.42)]
    assert kinds([*[0.45] * 100, 0.9, 0.9, 0.9]) == [("miss", 0.45), ("event", 0.9)]


def test_the_end_of_an_event_and_what_follows_at_once_are_no_misses() -> None:
    barks = [0.9, 0.9, 0.9, 0.9]
    assert kinds([*barks, 0.42, 0.34, 0.3]) == [("event", 0.9)]
    assert kinds([*barks, 0.48, 0.45, 0.45, 0.45], exit_ratio=1.0) == [("event", 0.9)]
    assert kinds([*barks, 0.1, 0.8, 0.1, 0.1, 0.1]) == [("event", 0.9)]  # within the cooldown
    assert kinds([*barks, 0.1, 0.1, 0.1, 0.1, 0.8, 0.1]) == [("event", 0.9), ("miss", 0.8)]


def test_gaps_silence_and_the_end_complete_a_close_miss() -> None:
    for end in ([None], [math.nan], []):
        assert kinds([0.1, 0.45, *end]) == [("miss", 0.45)]
    assert kinds([0.9, 0.9, 0.9, None, None, 0.9, 0.9]) == [("event", 0.9)]  # it goes on after the gap


def test_the_threshold_of_the_class_counts() -> None:
    event_rules = EventRules(enter_of={"dog": 0.9}, smoothing_s=0)
    detector, events = TriggerDetector(event_rules), EventDetector(event_rules)
    window = classified({"dog": 0.75, "rain": 0.41}, 0.0, 1.0)
    assert detector.push(*events.push(window)) == []
    (rain, dog) = sorted(detector.finish(), key=lambda trigger: trigger.score)
    assert (rain.label, dog.label) == ("rain", "dog")
