"""The evaluation of a model: one frozen result that the log, the text, the JSON and the plot read from."""

from __future__ import annotations

import csv
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from runtime.files import write_beside
from train.plots import pyplot, save_figure


@dataclass(frozen=True)
class Evaluation(ABC):
    """Scores of a model on one split. Clips without a label are left out.

    The score of a group (a class, a device) is the main metric of the task: accuracy, or average precision.

    Attributes:
        labels: class names.
        windows: number of windows.
        clips: number of clips.
        log_loss: mean negative log-probability of the true labels over windows, in nats.
        ece: expected calibration error over windows: the mean gap between confidence and accuracy.
        per_class: score of each label that occurs.
        per_device: score on each device that the corpus names.
        per_device_group: score on the devices of each group that the corpus names.
        per_city: score in each city that the corpus names.
    """

    labels: tuple[str, ...]
    windows: int
    clips: int
    log_loss: float
    ece: float
    per_class: dict[str, float]
    per_device: dict[str, float]
    per_device_group: dict[str, float]
    per_city: dict[str, float]

    totals: ClassVar[tuple[str, ...]]  # the metrics over the whole split, the main one first
    drawn: ClassVar[str]  # what `plot` draws, a part of its file name

    @property
    @abstractmethod
    def logged(self) -> dict[str, float]:
        """Metrics for the log, by their short names; that of `evaluation.MAIN_METRIC` among them."""

    @abstractmethod
    def headline(self) -> str:
        """The metrics over the whole split in one line."""

    @abstractmethod
    def plot(self, path: str | Path) -> None:
        """Draw the details that a table does not show into a PNG."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values, one per field; null for what cannot be computed, such as the AUC of a single clip."""
        fields = vars(self)
        first = ("labels", "windows", "clips", *self.totals)
        values = {name: fields[name] for name in (*first, *sorted(set(fields) - set(first)))}
        return {name: _json_value(value) for name, value in values.items()}

    def to_text(self) -> str:
        """A table to read."""
        groups = [
            (name if kind == "class" else f"{kind} {name}", value) for kind, name, value in self._scores()
        ]
        width = max((len(name) for name, _ in groups), default=0)
        return "\n".join([self.headline(), *(f"  {name:{width}}  {value:6.1%}" for name, value in groups)])

    def to_csv(self, path: str | Path) -> None:
        """Write one line for each score: ``kind,name,value``."""
        with write_beside(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("kind", "name", "value"))
            writer.writerows([("total", name, getattr(self, name)) for name in self.totals])
            writer.writerows(self._scores())

    @property
    def tables(self) -> dict[str, dict[str, float]]:
        """Kind of group to the group's name to its score."""
        return {
            "class": self.per_class,
            "device": self.per_device,
            "devices": self.per_device_group,
            "city": self.per_city,
        }

    def _scores(self) -> Iterator[tuple[str, str, float]]:
        """Kind, name and score of every group of the split."""
        for kind, table in self.tables.items():
            yield from ((kind, name, value) for name, value in table.items())


@dataclass(frozen=True)
class SingleLabelEvaluation(Evaluation):
    """Evaluation of clips with one label each.

    Attributes:
        clip_accuracy: share of clips whose mean over windows is largest for the true label.
        macro_accuracy: clip accuracy, mean over classes (DCASE's metric).
        window_accuracy: share of windows whose likeliest label is right.
        confusion: clips by true label (rows) and predicted label (columns).
    """

    clip_accuracy: float
    macro_accuracy: float
    window_accuracy: float
    confusion: tuple[tuple[int, ...], ...]

    drawn = "confusion"
    totals = ("clip_accuracy", "macro_accuracy", "window_accuracy", "log_loss", "ece")

    @property
    def logged(self) -> dict[str, float]:
        """Accuracies and loss."""
        return {
            "accuracy": self.clip_accuracy,
            "window_accuracy": self.window_accuracy,
            "loss": self.log_loss,
        }

    def headline(self) -> str:
        """Clips, windows, loss and calibration."""
        return (
            f"{self.clip_accuracy:.1%} of {self.clips} clips, "
            f"{self.window_accuracy:.1%} of {self.windows} windows, log loss {self.log_loss:.3f}, "
            f"calibration error {self.ece:.3f}"
        )

    def plot(self, path: str | Path) -> None:
        """Draw the confusion matrix into a PNG."""
        plt = pyplot()
        matrix = np.array(self.confusion)
        figure, axes = plt.subplots(figsize=(1.5 + 0.6 * len(self.labels),) * 2, layout="constrained")
        axes.imshow(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
        for row, column in zip(*np.nonzero(matrix), strict=True):
            shade = "white" if matrix[row, column] > matrix[row].sum() / 2 else "black"
            axes.text(column, row, matrix[row, column], ha="center", va="center", color=shade)
        ticks = range(len(self.labels))
        axes.set_xticks(ticks, self.labels, rotation=60, ha="right")
        axes.set_yticks(ticks, self.labels)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title(f"{self.clip_accuracy:.1%} of {self.clips} clips")
        save_figure(figure, path)


@dataclass(frozen=True)
class MultiLabelEvaluation(Evaluation):
    """Evaluation of clips with any number of labels, as AudioSet is scored (Gemmeke et al., ICASSP 2017).

    Clips are ranked by the mean probability of their windows, for each label separately.

    Attributes:
        mean_average_precision: average precision of a label, mean over the labels that occur (macro).
        auc: area under the ROC curve of a label, mean over the labels that some clips have and some lack.
        d_prime: sqrt(2) times the normal quantile of ``auc``.
        occurrence: share of clips that have each label that occurs: its average precision by chance.
    """

    mean_average_precision: float
    auc: float
    d_prime: float
    occurrence: dict[str, float]

    drawn = "precision"
    totals = ("mean_average_precision", "auc", "d_prime", "log_loss", "ece")

    @property
    def logged(self) -> dict[str, float]:
        """Ranking and loss."""
        return {
            "map": self.mean_average_precision,
            "auc": self.auc,
            "d_prime": self.d_prime,
            "loss": self.log_loss,
        }

    def headline(self) -> str:
        """Ranking, loss and calibration."""
        return (
            f"mAP {self.mean_average_precision:.3f}, AUC {self.auc:.3f}, d' {self.d_prime:.2f} over "
            f"{len(self.per_class)} of {len(self.labels)} labels in {self.clips} clips, "
            f"log loss {self.log_loss:.3f}, calibration error {self.ece:.3f}"
        )

    def plot(self, path: str | Path) -> None:
        """Draw the average precision of every label, beside that of chance, into a PNG."""
        plt = pyplot()
        names = sorted(self.per_class, key=lambda name: self.per_class[name])
        figure, axes = plt.subplots(figsize=(8, 1.5 + 0.22 * len(names)), layout="constrained")
        axes.barh(names, [self.per_class[name] for name in names], label="model")
        axes.plot([self.occurrence[name] for name in names], names, "k|", label="chance")
        axes.set_xlim(0, 1)
        axes.margins(y=0.01)
        axes.set_xlabel("average precision")
        axes.set_title(f"mAP {self.mean_average_precision:.3f}, {self.clips} clips")
        axes.legend(loc="lower right")
        save_figure(figure, path)


def _json_value(value: Any) -> Any:
    """A value, or those of a table, with None for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _json_value(item) for name, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
