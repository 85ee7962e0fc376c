"""The folds pooled: accuracy, robustness, calibration, and how often a negative is reported as an event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.box_model.measurement import HALVES, Arrays
from benchmarks.box_model.thresholds import (
    EventCounts,
    after_calm,
    allowed_per_hour,
    events,
    quiet_thresholds,
)
from runtime.streaming.events import EventRules
from train.quantization.quality import Share
from train.training import evaluation
from train.training.confidence import at_temperature, fit_confidence

Floats = npt.NDArray[Any]

_QUIET = "level -20 dB"


def pooled(folds: Sequence[Arrays], name: str) -> Floats:
    """An array of all folds, one after the other."""
    return np.concatenate([fold[name] for fold in folds])


def expected(folds: Sequence[Arrays], condition: str) -> Floats:
    """The labels [answered windows] under a condition."""
    return pooled(folds, "target")[pooled(folds, f"{condition}/answered")]


def accuracy(folds: Sequence[Arrays], condition: str, kind: str) -> Share:
    """Windows labelled right of those that the runtime answers."""
    right = pooled(folds, f"{condition}/{kind}").argmax(1) == expected(folds, condition)
    return Share(int(right.sum()), len(right))


def agreement(folds: Sequence[Arrays], condition: str) -> Share:
    """Windows with the same label in INT8 and FP32."""
    same = pooled(folds, f"{condition}/int8").argmax(1) == pooled(folds, f"{condition}/fp32").argmax(1)
    return Share(int(same.sum()), len(same))


def clips_right(fold: Arrays, kind: str) -> npt.NDArray[np.bool_]:
    """Which clips of a fold are right by the mean of their windows' scores; [clips]."""
    clip = fold["clip"][fold["clean/answered"]]
    target = fold["target"][fold["clean/answered"]]
    scores = fold[f"clean/{kind}"]
    of_clip = [np.flatnonzero(clip == number) for number in np.unique(clip)]
    return np.array([scores[rows].mean(0).argmax() == target[rows[0]] for rows in of_clip])


def calibration_error(scores: Floats, target: Floats) -> float:
    """Expected calibration error of the most probable class (Guo et al., ICML 2017), 0 to 1."""
    return evaluation.calibration_error(scores.max(1), scores.argmax(1) == target)


def auroc(positive: Floats, negative: Floats) -> float:
    """Probability that a sound of a class has a greater score than a negative (Mann-Whitney), 0 to 1."""
    ranked = np.sort(negative)
    below = (np.searchsorted(ranked, positive, "left") + np.searchsorted(ranked, positive, "right")) / 2
    return float(below.mean() / len(ranked))


def temperature_and_least_thresholds(folds: Sequence[Arrays], labels: Sequence[str]) -> dict[str, Any]:
    """Temperature and least thresholds from windows that no fold's model was trained on.

    Returns:
        The fields ``temperature`` and ``thresholds`` of a model, before negatives raise these.
    """
    one_hot = np.eye(len(labels))[expected(folds, "clean")]
    fitted = fit_confidence(pooled(folds, "clean/int8"), one_hot, labels)
    lowest = {label: fitted["thresholds"].get(label, EventRules().enter) for label in labels}
    return {**fitted, "thresholds": lowest}


def event_counts(
    folds: Sequence[Arrays], labels: Sequence[str], temperature: float
) -> dict[str, EventCounts]:
    """Half of the negatives to the events that it gives, beside those of the clips."""
    clips = list(_clip_streams(folds, temperature))
    return {
        half: EventCounts.of(
            clips,
            {
                kind: [at_temperature(fold[f"negative/{kind}/{half}"], temperature) for fold in folds]
                for kind in kinds(folds[0])
            },
            labels,
        )
        for half in HALVES
    }


def _clip_streams(folds: Sequence[Arrays], temperature: float) -> Iterator[tuple[int, Floats]]:
    """The class and the scores [windows, classes] of every clip."""
    for fold in folds:
        for number, target in enumerate(fold["stream/target"]):
            yield int(target), at_temperature(fold[f"stream/{number}"], temperature)


def kinds(fold: Arrays) -> list[str]:
    """Names of the kinds of negatives that were measured."""
    return [name.split("/")[1] for name in fold if name.startswith("negative/") and name.endswith(HALVES[0])]


def answered(scores: Floats) -> Floats:
    """The rows [windows, classes] that have a signal."""
    return scores[~np.isnan(scores).any(axis=1)]


def summarise(folds: Mapping[int, Arrays], labels: Sequence[str]) -> dict[str, Any]:
    """Everything that the model card states, as JSON values.

    Args:
        folds: number of a fold to what was measured on it.
        labels: of the model.
    """
    arrays = list(folds.values())
    least = temperature_and_least_thresholds(arrays, labels)
    counts = event_counts(arrays, labels, least["temperature"])
    even, odd = counts.values()
    fitted = {**least, "thresholds": quiet_thresholds(even + odd, labels, least["thresholds"])}
    names = [name.removesuffix("/int8") for name in arrays[0] if name.endswith("/int8")]
    return {
        "folds": [_of_fold(number, fold) for number, fold in folds.items()],
        "clips": {kind: _clips(arrays, kind).to_json() for kind in ("int8", "fp32")},
        "per_class": _per_class(arrays, labels),
        "conditions": {
            name: {
                "int8": accuracy(arrays, name, "int8").to_json(),
                "fp32": accuracy(arrays, name, "fp32").to_json(),
                "agreement": agreement(arrays, name).to_json(),
            }
            for name in names
        },
        "calibration_error": {name: _calibration(arrays, name, labels) for name in ("clean", _QUIET)},
        **fitted,
        "negatives": _negatives(arrays, labels, counts, least, fitted["thresholds"]),
        "events_of_clips": _events_of_clips(arrays, labels, fitted),
    }


def _of_fold(number: int, fold: Arrays) -> dict[str, Any]:
    shares = {kind: clips_right(fold, kind).mean() for kind in ("int8", "fp32")}
    return {
        "fold": number,
        **{f"{kind}_clips": round(float(share), 4) for kind, share in shares.items()},
        **{f"{kind}_windows": round(accuracy([fold], "clean", kind).value, 4) for kind in shares},
        "agreement": round(agreement([fold], "clean").value, 4),
        "file_bytes": int(fold["bytes"]),
    }


def _clips(folds: Sequence[Arrays], kind: str) -> Share:
    right = np.concatenate([clips_right(fold, kind) for fold in folds])
    return Share(int(right.sum()), len(right))


def _per_class(folds: Sequence[Arrays], labels: Sequence[str]) -> dict[str, Any]:
    target, best = expected(folds, "clean"), pooled(folds, "clean/int8").argmax(1)
    found = {}
    for index, label in enumerate(labels):
        mistakes = best[(target == index) & (best != index)]
        counts = np.bincount(mistakes, minlength=len(labels))
        found[label] = {
            "windows": Share(
                int(((best == index) & (target == index)).sum()), int((target == index).sum())
            ).to_json(),
            "taken_for": {
                labels[other]: int(counts[other]) for other in np.argsort(-counts)[:2] if counts[other]
            },
        }
    return found


def _calibration(folds: Sequence[Arrays], condition: str, labels: Sequence[str]) -> float:
    """The error of each fold at the temperature that the other folds give, pooled."""
    parts = []
    for fold in folds:
        others = [other for other in folds if other is not fold] or [fold]
        one_hot = np.eye(len(labels))[expected(others, "clean")]
        temperature = fit_confidence(pooled(others, "clean/int8"), one_hot, labels)["temperature"]
        parts.append(at_temperature(fold[f"{condition}/int8"], temperature))
    return round(calibration_error(np.concatenate(parts), expected(folds, condition)), 4)


def _negatives(
    folds: Sequence[Arrays],
    labels: Sequence[str],
    counts: Mapping[str, EventCounts],
    least: Mapping[str, Any],
    shipped: Mapping[str, float],
) -> dict[str, Any]:
    """By kind: minutes, events, AUROC of the greatest score.

    The events of each half are those at the thresholds that the other half gives; beside them, the events an
    hour at the shipped thresholds, which both halves give.
    """
    even, odd = counts.values()
    fitted = (even + odd).at(shipped)
    tested = [
        test.at(quiet_thresholds(fit, labels, least["thresholds"]))
        for fit, test in ((even, odd), (odd, even))
    ]
    positive = at_temperature(pooled(folds, "clean/int8"), least["temperature"]).max(1)
    found = {}
    for kind in kinds(folds[0]):
        reported = sum((Counter(half[kind]) for half in tested), Counter[str]())
        hours = even.hours[kind] + odd.hours[kind]
        streams = [fold[f"negative/{kind}/{half}"] for fold in folds for half in HALVES]
        scores = at_temperature(answered(np.concatenate(streams)), least["temperature"])
        found[kind] = {
            "minutes": round(60 * hours / len(folds), 1),
            "models": len(folds),
            "allowed_per_hour": allowed_per_hour(kind),
            "events_per_hour": round(reported.total() / hours, 2),
            "fitted_events_per_hour": round(sum(fitted[kind].values()) / hours, 2),
            "events": {label: reported[label] for label in labels if reported[label]},
            "auroc": round(auroc(positive, scores.max(1)), 4),
        }
    return found


def _events_of_clips(
    folds: Sequence[Arrays], labels: Sequence[str], fitted: Mapping[str, Any]
) -> dict[str, Any]:
    """How many clips, after a calm room, give an event of their class, and how many one of another class."""
    rules, other = EventRules(enter_of=fitted["thresholds"]), 0
    own, total = Counter[str](), Counter[str]()
    for target, scores in _clip_streams(folds, fitted["temperature"]):
        label, found = labels[target], set(events(after_calm(scores), labels, rules))
        total[label] += 1
        own[label] += label in found
        other += bool(found - {label})
    return {
        "own_class": Share(own.total(), total.total()).to_json(),
        "another_class": Share(other, total.total()).to_json(),
        "by_class": {label: Share(own[label], total[label]).to_json() for label in labels},
    }
