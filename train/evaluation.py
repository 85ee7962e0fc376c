"""What a model gets right: one frozen result that the log, the text, the JSON and the plot read from."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
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
        ece: expected calibration error over windows: by how much confidence and accuracy differ.
        per_class: clip accuracy of each label that occurs.
        per_device: clip accuracy of each device that the corpus names.
        per_device_group: clip accuracy over the devices of each group that the corpus names.
        per_city: clip accuracy of each city that the corpus names.
        confusion: clips by true label (rows) and answered label (columns).
    """

    labels: tuple[str, ...]
    windows: int
    clips: int
    window_accuracy: float
    clip_accuracy: float
    macro_accuracy: float
    log_loss: float
    ece: float
    per_class: dict[str, float]
    per_device: dict[str, float]
    per_device_group: dict[str, float]
    per_city: dict[str, float]
    confusion: tuple[tuple[int, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON values, one per field."""
        return {**vars(self), "labels": list(self.labels), "confusion": [list(row) for row in self.confusion]}

    def to_text(self) -> str:
        """A table for people."""
        groups = [
            (name if kind == "class" else f"{kind} {name}", value) for kind, name, value in self._rows()
        ]
        width = max(len(name) for name, _ in groups)
        head = (
            f"{self.clip_accuracy:.1%} of {self.clips} clips, "
            f"{self.window_accuracy:.1%} of {self.windows} windows, log loss {self.log_loss:.3f}, "
            f"calibration error {self.ece:.3f}"
        )
        return "\n".join([head, *(f"  {name:{width}}  {value:6.1%}" for name, value in groups)])

    def to_csv(self, path: str | Path) -> None:
        """Write one row for each figure: ``kind,name,value``."""
        totals = ("window_accuracy", "clip_accuracy", "macro_accuracy", "log_loss", "ece")
        with write_beside(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("kind", "name", "value"))
            writer.writerows([("total", name, getattr(self, name)) for name in totals])
            writer.writerows(self._rows())

    def _rows(self) -> Iterator[tuple[str, str, float]]:
        """Kind, name and accuracy of every part of the split."""
        tables = {
            "class": self.per_class,
            "device": self.per_device,
            "devices": self.per_device_group,
            "city": self.per_city,
        }
        for kind, table in tables.items():
            yield from ((kind, name, value) for name, value in table.items())

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
    device_groups: Mapping[str, Sequence[str]] | None = None,
) -> Evaluation:
    """Score windows and, by the mean of their windows, clips.

    Args:
        probabilities: [windows, classes].
        clip_of_window: [windows], positions in ``clips``.
        clips: the split's clips; those without a window are left out.
        labels: class names.
        device_groups: name of a group to its devices.
    """
    heard, index, of_clips = clip_means(probabilities, clip_of_window)
    target = np.array([clips[clip].target for clip in heard])
    answer = of_clips.argmax(axis=1)
    right = answer == target
    confusion = np.zeros((len(labels), len(labels)), dtype=int)
    np.add.at(confusion, (target, answer), 1)
    per_class = {
        label: float(right[target == i].mean()) for i, label in enumerate(labels) if (target == i).any()
    }
    devices = [clips[clip].device for clip in heard]
    group_of = {device: name for name, members in (device_groups or {}).items() for device in members}
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
        ece=calibration_error(probabilities, window_target),
        per_class=per_class,
        per_device=_accuracy_by(devices, right),
        per_device_group=_accuracy_by([group_of.get(device, "") for device in devices], right),
        per_city=_accuracy_by([clips[clip].city for clip in heard], right),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
    )


def clip_means(
    probabilities: Array, clip_of_window: npt.NDArray[np.integer[Any]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Array]:
    """Put windows together to clips.

    Returns:
        The clips that have windows, the row of each window's clip among them, and their mean probabilities.
    """
    heard, index, count = np.unique(clip_of_window, return_inverse=True, return_counts=True)
    sums = np.zeros((len(heard), probabilities.shape[1]))
    np.add.at(sums, index, probabilities)
    return heard, index, sums / count[:, None]


def calibration_error(probabilities: Array, target: npt.NDArray[np.integer[Any]], bins: int = 15) -> float:
    """Expected calibration error of the likeliest label (Guo et al., ICML 2017).

    Args:
        probabilities: [windows, classes].
        target: [windows].
        bins: of equal width in confidence.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == target
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(target))


def write_output(
    path: str | Path, probabilities: Array, clips: Sequence[Clip], labels: Sequence[str]
) -> None:
    """Write answers in the form of DCASE Task 1's ``output.csv``: tab-separated, one row per clip.

    Args:
        path: the file.
        probabilities: [clips, classes].
        clips: of the rows.
        labels: class names.
    """
    with write_beside(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(("filename", "scene_label", *labels))
        for clip, row in zip(clips, probabilities, strict=True):
            name = clip.id.removeprefix("audio/")
            writer.writerow((name, labels[int(row.argmax())], *(f"{value:.6f}" for value in row)))


def _accuracy_by(names: Sequence[str], right: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Share of right clips under each name; "" is no name."""
    each = np.array(names)
    return {str(name): float(right[each == name].mean()) for name in np.unique(each) if name}
