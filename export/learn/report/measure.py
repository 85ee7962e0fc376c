"""How good a file is on held-out recordings, as the runtime runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from export.evenly_spread import evenly_spread
from export.learn.confidence import negative_windows
from export.learn.data.negatives import Negatives
from export.learn.report.events import Events, measure_events
from export.verification.conditions import RATES_HZ, conditions
from export.verification.window_scores import Array, has_signal, parts_of, scores_of, targets_of, under
from runtime import load_model
from runtime.classifier import Model
from runtime.streaming.events import EventRules
from train.data import ClipData
from train.quantization.quality import Share, share_of
from train.training.evaluation import clip_means

_CONDITIONS = (
    "level -20 dB", "level -30 dB", "white noise 20 dB", "white noise 10 dB", "16 kHz device",
    "8 kHz device", "reverberation 0.4 s", "other microphones",
)  # fmt: skip
_MOST_WINDOWS = 400  # that are measured under each condition


@dataclass(frozen=True)
class Wrong:
    """A held-out clip that gets another label.

    Attributes:
        clip: its id.
        true: its label.
        predicted: the label that it gets.
        probability: that its own label gets.
    """

    clip: str
    true: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class Measured:
    """A file on held-out recordings.

    Attributes:
        labels: class names.
        clips: clips whose mean over windows is greatest for their label.
        windows: windows that get their label.
        per_class: label to its clips.
        confusion: clips by true label (rows) and predicted label (columns).
        wrong: the clips that get another label, the worst first.
        conditions: name of a condition to the windows that get their label under it; ``clean`` is none.
        false_alarms: windows of negatives in which a class reaches its threshold.
        events: what `listen` reports.
    """

    labels: tuple[str, ...]
    clips: Share
    windows: Share
    per_class: dict[str, Share]
    confusion: npt.NDArray[np.int64]
    wrong: tuple[Wrong, ...]
    conditions: dict[str, Share]
    false_alarms: Share
    events: Events


def measure(
    path: Path, data: ClipData, negatives: Negatives, responses: str | None, learned: Sequence[str]
) -> Measured:
    """Measure a file.

    Args:
        path: the .onnx file.
        data: set up for validation: the held-out recordings.
        negatives: sounds of none of the classes, of which some are held out.
        responses: folder of the impulse responses of microphones.
        learned: those that the training used.
    """
    model = load_model(path)
    best = targets_of(data, "val").argmax(axis=1)
    expected = np.array([model.labels.index(label) for label in data.labels])[best]
    scores = _held_out_scores(model, data, "held-out windows")
    dataset = data.datasets["val"]
    clips = np.array([window.clip for window in dataset.windows])
    present, index, of_clips = clip_means(scores, clips)
    truth = np.zeros(len(present), int)
    truth[index] = expected
    predicted = of_clips.argmax(axis=1)
    confusion = np.zeros((len(model.labels),) * 2, np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    return Measured(
        labels=model.labels,
        clips=_share(predicted == truth),
        windows=_share(scores.argmax(axis=1) == expected, clips.tolist()),
        per_class={
            label: _share(predicted[truth == i] == i) for i, label in enumerate(model.labels) if i in truth
        },
        confusion=confusion,
        wrong=_wrong([dataset.clips[clip].id for clip in present], of_clips, truth, model.labels),
        conditions=_under_conditions(model, data, expected, responses, learned),
        false_alarms=_false_alarms(model, negatives),
        events=measure_events(model, data, negatives),
    )


def clips_right(path: Path, data: ClipData) -> dict[str, bool]:
    """Id of every held-out clip to whether a file labels it right; a class that the file lacks is wrong."""
    model = load_model(path)
    dataset = data.datasets["val"]
    scores = _held_out_scores(model, data, f"windows, {path.name}")
    present, _, of_clips = clip_means(scores, np.array([window.clip for window in dataset.windows]))
    clips = [dataset.clips[clip] for clip in present]
    return {
        clip.id: model.labels[best] == data.labels[clip.target]
        for clip, best in zip(clips, of_clips.argmax(axis=1), strict=True)
    }


def _held_out_scores(model: Model, data: ClipData, what: str) -> Array:
    """Scores [windows, classes], with a bar on a terminal."""
    bar = tqdm(total=len(data.datasets["val"]), desc=what, unit="window", disable=None, leave=False)
    found = []
    with bar:
        for part in parts_of(data, "val"):
            found.append(_scores(model, part))
            bar.update(len(part))
    return np.concatenate(found)


def _scores(model: Model, waveform: Array) -> Array:
    """Scores [windows, classes]; equal ones where a window has no signal."""
    scores = np.full((len(waveform), len(model.labels)), 1 / len(model.labels), np.float32)
    audible = has_signal(waveform)
    scores[audible] = scores_of(model, waveform[audible])
    return scores


def _share(right: npt.NDArray[np.bool_], clips: Sequence[int] = ()) -> Share:
    """The share that is right; of windows, with the clip of each where it is known."""
    return share_of(torch.from_numpy(right)[:, None], clips)


def _wrong(
    ids: Sequence[str], scores: npt.NDArray[np.floating], truth: npt.NDArray[np.int64], labels: Sequence[str]
) -> tuple[Wrong, ...]:
    rows = [
        Wrong(name, labels[true], labels[int(row.argmax())], float(row[true]))
        for name, row, true in zip(ids, scores, truth.tolist(), strict=True)
        if row.argmax() != true
    ]
    return tuple(sorted(rows, key=lambda wrong: wrong.probability))


def _under_conditions(
    model: Model,
    data: ClipData,
    expected: npt.NDArray[np.int64],
    responses: str | None,
    learned: Sequence[str],
) -> dict[str, Share]:
    """The clean windows and `_CONDITIONS`, on the windows that still have a signal."""
    chosen = evenly_spread(range(len(expected)), _MOST_WINDOWS)
    dataset = data.datasets["val"]
    waveform, expected = dataset.at_rest(chosen).waveform, expected[chosen]
    clips = np.array([dataset.windows[place].clip for place in chosen])
    rate = model.spec.frontend.sample_rate
    every = conditions(responses, tuple(learned))
    above = {f"{hz / 1000:g} kHz device" for hz in RATES_HZ if hz >= rate}  # they would lose nothing
    names = ["clean", *(name for name in _CONDITIONS if name in every and name not in above)]
    found = {}
    for name in tqdm(names, desc="conditions", disable=None, leave=False):
        changed = under(every[name], waveform, rate)
        audible = has_signal(changed)
        if audible.any():
            right = scores_of(model, changed[audible]).argmax(axis=1) == expected[audible]
            found[name] = _share(right, clips[audible].tolist())
    return found


def _false_alarms(model: Model, negatives: Negatives) -> Share:
    windows = negative_windows(negatives, model.spec.frontend.sample_rate, model.spec.clip_samples)
    rules = EventRules.of(model.spec)
    thresholds = np.array([rules.threshold(label) for label in model.labels])
    reached = (_scores(model, windows) >= thresholds).any(axis=1)
    return _share(np.asarray(reached))
