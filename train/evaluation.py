"""What a model gets right: one frozen result that the log, the text, the JSON and the plot read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.door import require
from runtime.files import write_beside
from train.data import Clip

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on one split.

    Attributes:
        labels: class names.
        windows: number of windows.
        clips: number of clips.
        window_accuracy: share of windows whose likeliest label is right.
        clip_accuracy: share of clips whose mean over windows is right.
        macro_accuracy: clip accuracy, mean over classes (DCASE's figure).
        log_loss: mean negative log-probability of the right label over windows, in nats.
        per_class: clip accuracy of each label that occurs.
        per_device: clip accuracy of each device that the corpus names.
        confusion: clips by true label (rows) and answered label (columns).
    """

    labels: tuple[str, ...]
    windows: int
    clips: int
    window_accuracy: float
    clip_accuracy: float
    macro_accuracy: float
    log_loss: float
    per_class: dict[str, float]
    per_device: dict[str, float]
    confusion: tuple[tuple[int, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON values, one per field."""
        return {**vars(self), "labels": list(self.labels), "confusion": [list(row) for row in self.confusion]}

    def to_text(self) -> str:
        """A table for people."""
        groups = [
            *self.per_class.items(),
            *(("device " + name, value) for name, value in self.per_device.items()),
        ]
        width = max(len(name) for name, _ in groups)
        head = (
            f"{self.clip_accuracy:.1%} of {self.clips} clips, "
            f"{self.window_accuracy:.1%} of {self.windows} windows, log loss {self.log_loss:.3f}"
        )
        return "\n".join([head, *(f"  {name:{width}}  {value:6.1%}" for name, value in groups)])

    def plot(self, path: str | Path) -> None:
        """Draw the confusion matrix into a PNG."""
        require("matplotlib", extra="train").use("Agg")
        plt = require("matplotlib.pyplot", extra="train")
        matrix = np.array(self.confusion)
        figure, axes = plt.subplots(figsize=(1.5 + 0.6 * len(self.labels),) * 2, layout="constrained")
        axes.imshow(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
        for row, column in zip(*np.nonzero(matrix), strict=True):
            shade = "white" if matrix[row, column] > matrix[row].sum() / 2 else "black"
            axes.text(column, row, matrix[row, column], ha="center", va="center", color=shade)
        ticks = range(len(self.labels))
        axes.set_xticks(ticks, self.labels, rotation=60, ha="right")
        axes.set_yticks(ticks, self.labels)
        axes.set_xlabel("answered")
        axes.set_ylabel("true")
        axes.set_title(f"{self.clip_accuracy:.1%} of {self.clips} clips")
        with write_beside(path) as partial:
            figure.savefig(partial, dpi=120)
        plt.close(figure)


def evaluate(
    probabilities: Array,
    clip_of_window: npt.NDArray[np.integer[Any]],
    clips: Sequence[Clip],
    labels: Sequence[str],
) -> Evaluation:
    """Score windows and, by the mean of their windows, clips.

    Args:
        probabilities: [windows, classes].
        clip_of_window: [windows], positions in ``clips``.
        clips: the split's clips; those without a window are left out.
        labels: class names.
    """
    heard, index = np.unique(clip_of_window, return_inverse=True)
    of_clips = np.zeros((len(heard), len(labels)))
    np.add.at(of_clips, index, probabilities)
    target = np.array([clips[clip].target for clip in heard])
    answer = of_clips.argmax(axis=1)
    right = answer == target
    confusion = np.zeros((len(labels), len(labels)), dtype=int)
    np.add.at(confusion, (target, answer), 1)
    per_class = {
        label: float(right[target == i].mean()) for i, label in enumerate(labels) if (target == i).any()
    }
    devices = np.array([clips[clip].device for clip in heard])
    window_target = target[index]
    chosen = probabilities[np.arange(len(probabilities)), window_target]
    return Evaluation(
        labels=tuple(labels),
        windows=len(probabilities),
        clips=len(heard),
        window_accuracy=float((probabilities.argmax(axis=1) == window_target).mean()),
        clip_accuracy=float(right.mean()),
        macro_accuracy=float(np.mean(list(per_class.values()))),
        log_loss=float(-np.log(np.maximum(chosen, 1e-12)).mean()),
        per_class=per_class,
        per_device={str(d): float(right[devices == d].mean()) for d in np.unique(devices) if d},
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
    )
