"""Events on synthetic score tracks: each rule shows, and the hop does not."""

from __future__ import annotations

import math

import pytest

from runtime.errors import ConfigError
from runtime.model.prediction import Prediction, unclassified
from runtime.spec import FrontEndSpec, ModelSpec
from runtime.streaming.events import Event, EventDetector, EventRules

PLAIN = EventRules(smoothing_s=0, min_duration_s=0, cooldown_s=0)


def window(end_s: float, dog: float) -> Prediction:
    scores = {"dog": dog, "rain": 0.3}
    label = max(scores, key=lambda name: scores[name])
    return Prediction(label, scores[label], scores, end_s - 1.0, end_s)


def track(rules: EventRules, *dog: float, hop_s: float = 0.25) -> list[Event]:
    detector, events = EventDetector(rules), []
    for index, score in enumerate(dog):
        events += detector.push(window(1.0 + index * hop_s, score))[1]
    return events + detector.flush()


def test_onset_and_offset_lie_where_the_windows_do() -> None:
    assert track(PLAIN, 0.1, 0.8, 0.9, 0.1) == [
        Event("dog", "onset", 0.25, None, 0.8),
        Event("dog", "offset", 0.25, 1.5, 0.9),
    ]


def test_hysteresis_rides_over_a_dip() -> None:
    assert [e.kind for e in track(PLAIN, 0.8, 0.4, 0.8, 0.1)] == ["onset", "offset"]
    assert [e.kind for e in track(PLAIN, 0.8, 0.3, 0.8, 0.1)] == ["onset", "offset"] * 2


def test_short_events_are_not_told() -> None:
    rules = EventRules(smoothing_s=0, min_duration_s=0.5, cooldown_s=0)
    assert track(rules, 0.9, 0.9, 0.1, 0.9, 0.9, 0.1) == []
    onset, _ = track(rules, 0.1, 0.9, 0.9, 0.9, 0.1)
    assert onset.start_s == 0.25


def test_a_candidate_must_hold_the_enter_threshold() -> None:
    assert track(EventRules(smoothing_s=0, min_duration_s=0.5, cooldown_s=0), 0.6, 0.4, 0.4, 0.4) == []


def test_cooldown_keeps_a_class_quiet() -> None:
    scores = (0.9, 0.1, 0.1, 0.1, 0.1, 0.9, 0.1)
    assert len(track(EventRules(smoothing_s=0, min_duration_s=0, cooldown_s=1.5), *scores)) == 2
    assert len(track(PLAIN, *scores)) == 4


def test_an_open_event_ends_with_the_stream() -> None:
    assert track(PLAIN, 0.9, 0.9)[-1] == Event("dog", "offset", 0.0, 1.25, 0.9)


@pytest.mark.parametrize("hop_s", [0.05, 0.25, 0.5])
def test_smoothing_is_in_seconds_whatever_the_hop(hop_s: float) -> None:
    detector = EventDetector(EventRules(smoothing_s=2.0))
    detector.push(window(1.0, 0.0))
    for index in range(1, round(2.0 / hop_s) + 1):
        smoothed, _ = detector.push(window(1.0 + index * hop_s, 1.0))
    # log-odds go from those of 1 % to those of 99.99 %, the least and the greatest that count
    first, last = math.log(0.01 / 0.99), math.log(0.9999 / 0.0001)
    odds = math.exp(last + (first - last) * math.exp(-1))
    assert smoothed.scores["dog"] == pytest.approx(odds / (1 + odds))


def test_a_sure_short_sound_after_another_reaches_a_high_threshold() -> None:
    rules = EventRules(enter=0.99)
    surely = (0.001,) * 8 + (0.9999,) * 6  # 1.5 s of windows: an average of probabilities ends at 0.95
    assert [e.label for e in track(rules, *surely) if e.kind == "onset"] == ["dog"]
    likely = (0.001,) * 8 + (0.98,) * 6
    assert track(rules, *likely) == []


def test_unknown_where_nothing_reaches_its_threshold() -> None:
    detector = EventDetector(PLAIN)
    smoothed, _ = detector.push(window(1.0, 0.45))
    assert (smoothed.state, smoothed.label, smoothed.probability) == ("unknown", None, 0.45)
    assert detector.push(window(1.25, 0.55))[0].label == "dog"


def test_a_class_that_reaches_its_own_threshold_is_known_beside_a_likelier_one_that_does_not() -> None:
    detector = EventDetector(EventRules(enter_of={"dog": 0.8, "rain": 0.25}, smoothing_s=0))
    smoothed, _ = detector.push(window(1.0, 0.6))
    assert (smoothed.state, smoothed.label, smoothed.probability) == ("ok", "rain", 0.3)
    assert detector.push(window(1.25, 0.8))[0].label == "dog"


def test_silence_ends_an_event_and_a_gap_does_not() -> None:
    for state, events in (("no_signal", 1), ("gap", 0)):
        detector = EventDetector(PLAIN)
        detector.push(window(1.0, 0.9))
        quiet, ended = detector.push(unclassified(state, 0.25, 1.25))  # type: ignore[arg-type]
        assert quiet.state == state and quiet.label is None and len(ended) == events


def test_a_gap_ends_an_event_that_is_not_yet_reported() -> None:
    detector = EventDetector(EventRules(smoothing_s=0, min_duration_s=0.5))
    assert detector.push(window(1.0, 0.9))[1] == []
    detector.push(unclassified("gap", 0.25, 1.25))
    assert detector.push(window(3600.0, 0.9))[1] == []
    (onset,) = detector.push(window(3600.5, 0.9))[1]
    assert onset.start_s == 3599.0


def test_thresholds_come_from_the_model_and_can_be_overridden() -> None:
    spec = ModelSpec(("dog", "rain"), FrontEndSpec.preset("cp_mel"), thresholds={"dog": 0.95, "rain": 0.2})
    assert EventRules.of(spec).threshold("dog") == 0.95
    rules = EventRules.of(spec, {"dog": 0.8})
    assert (rules.threshold("dog"), rules.threshold("rain")) == (0.8, 0.2)
    with pytest.raises(ConfigError, match="no class cat"):
        EventRules.of(spec, {"cat": 0.5})


@pytest.mark.parametrize("wrong", [{"enter": 0.0}, {"enter": 1.2}, {"exit_ratio": 0}, {"cooldown_s": -1}])
def test_rules_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        EventRules(**wrong)  # type: ignore[arg-type]
