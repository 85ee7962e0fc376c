"""What a model gets right: one frozen result that the log, the text, the JSON and the plot read from."""

from __future__ import annotations

import csv
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtri
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from runtime.door import require
from runtime.errors import DataError
from runtime.files import write_beside
from runtime.spec import Task
from train.data import Clip
from train.data.corpus import multi_hot

Array = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]

CHOSEN_BY: dict[Task, str] = {"single_label": "accuracy", "multi_label": "map"}  # the best epoch, by its log


@dataclass(frozen=True)
class Evaluation(ABC):
    """Scores of a model on one split. Clips that nobody labelled are left out.

    The score of a part (a class, a device) is the main one of the task: accuracy, or average precision.

    Attributes:
        labels: class names.
        windows: number of windows.
        clips: number of clips.
        log_loss: mean negative log-probability of what is right over windows, in nats.
        ece: expected calibration error over windows: by how much confidence and accuracy differ.
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

    totals: ClassVar[tuple[str, ...]]  # the figures over the whole split, the main one first
    drawn: ClassVar[str]  # what `plot` draws

    @property
    @abstractmethod
    def logged(self) -> dict[str, float]:
        """Figures for the log, by their short names; the one of `CHOSEN_BY` among them."""

    @abstractmethod
    def headline(self) -> str:
        """The figures over the whole split in one line."""

    @abstractmethod
    def plot(self, path: str | Path) -> None:
        """Draw what a table does not show into a PNG."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values, one per field; null for what cannot be computed, such as the AUC of a single clip."""
        fields = vars(self)
        first = ("labels", "windows", "clips", *self.totals)
        values = {name: fields[name] for name in (*first, *sorted(set(fields) - set(first)))}
        return {name: None if _is_nan(value) else value for name, value in values.items()}

    def to_text(self) -> str:
        """A table for people."""
        groups = [
            (name if kind == "class" else f"{kind} {name}", value) for kind, name, value in self._rows()
        ]
        width = max((len(name) for name, _ in groups), default=0)
        return "\n".join([self.headline(), *(f"  {name:{width}}  {value:6.1%}" for name, value in groups)])

    def to_csv(self, path: str | Path) -> None:
        """Write one row for each figure: ``kind,name,value``."""
        with write_beside(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("kind", "name", "value"))
            writer.writerows([("total", name, getattr(self, name)) for name in self.totals])
            writer.writerows(self._rows())

    @property
    def tables(self) -> dict[str, dict[str, float]]:
        """Kind of part to its name to its score."""
        return {
            "class": self.per_class,
            "device": self.per_device,
            "devices": self.per_device_group,
            "city": self.per_city,
        }

    def _rows(self) -> Iterator[tuple[str, str, float]]:
        """Kind, name and score of every part of the split."""
        for kind, table in self.tables.items():
            yield from ((kind, name, value) for name, value in table.items())


@dataclass(frozen=True)
class SingleLabelEvaluation(Evaluation):
    """Of clips with one label each.

    Attributes:
        clip_accuracy: share of clips whose mean over windows is right.
        macro_accuracy: clip accuracy, mean over classes (DCASE's figure).
        window_accuracy: share of windows whose likeliest label is right.
        confusion: clips by true label (rows) and answered label (columns).
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
        plt = _pyplot()
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
        _save(figure, path)


@dataclass(frozen=True)
class MultiLabelEvaluation(Evaluation):
    """Of clips with any number of labels, as AudioSet is scored (Gemmeke et al., ICASSP 2017).

    Clips are ranked by the mean probability of their windows, for each label by itself.

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
        """Draw the average precision of every label, beside what chance gives, into a PNG."""
        plt = _pyplot()
        names = sorted(self.per_class, key=lambda name: self.per_class[name])
        figure, axes = plt.subplots(figsize=(8, 1.5 + 0.22 * len(names)), layout="constrained")
        axes.barh(names, [self.per_class[name] for name in names], label="model")
        axes.plot([self.occurrence[name] for name in names], names, "k|", label="chance")
        axes.set_xlim(0, 1)
        axes.margins(y=0.01)
        axes.set_xlabel("average precision")
        axes.set_title(f"mAP {self.mean_average_precision:.3f}, {self.clips} clips")
        axes.legend(loc="lower right")
        _save(figure, path)


def evaluate(
    probabilities: Array,
    clip_of_window: Integers,
    clips: Sequence[Clip],
    labels: Sequence[str],
    device_groups: Mapping[str, Sequence[str]] | None = None,
    task: Task = "single_label",
) -> Evaluation:
    """Score windows and, by the mean of their windows, clips.

    Args:
        probabilities: [windows, classes].
        clip_of_window: [windows], positions in ``clips``.
        clips: the split's clips; those without a window or without a label are left out.
        labels: class names.
        device_groups: name of a group to its devices.
        task: of the corpus.

    Raises:
        DataError: where no clip is labelled.
    """
    known = np.array([clip.targets is not None for clip in clips])[clip_of_window]
    if not known.any():
        raise DataError(
            "None of the clips is labelled, so there is nothing to score: `python -m train predict` writes "
            "the answers."
        )
    probabilities, clip_of_window = probabilities[known], clip_of_window[known]
    heard, index, of_clips = clip_means(probabilities, clip_of_window)
    members = [clips[clip] for clip in heard]
    score = _of_one_label if task == "single_label" else _of_many_labels
    group_of = {device: name for name, devices in (device_groups or {}).items() for device in devices}
    parts = {
        "per_device": [clip.device for clip in members],
        "per_device_group": [group_of.get(clip.device, "") for clip in members],
        "per_city": [clip.city for clip in members],
    }
    return score(
        probabilities, index, of_clips, multi_hot(members, len(labels)), parts,
        labels=tuple(labels), windows=len(probabilities), clips=len(heard),
    )  # fmt: skip


Parts = Mapping[str, Sequence[str]]  # a field of `Evaluation` to the name of the part that each clip is of


def _of_one_label(
    probabilities: Array,
    index: Integers,
    of_clips: Array,
    truth: npt.NDArray[np.bool_],
    parts: Parts,
    **counts: Any,
) -> SingleLabelEvaluation:
    target, answer = truth.argmax(axis=1), of_clips.argmax(axis=1)
    right = answer == target
    confusion = np.zeros((truth.shape[1],) * 2, dtype=int)
    np.add.at(confusion, (target, answer), 1)
    labels = counts["labels"]
    per_class = {
        label: float(right[target == i].mean()) for i, label in enumerate(labels) if (target == i).any()
    }
    of_window = target[index]
    chosen = probabilities[np.arange(len(probabilities)), of_window]
    return SingleLabelEvaluation(
        **counts,
        log_loss=float(-np.log(np.maximum(chosen, 1e-12)).mean()),
        ece=calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == of_window),
        per_class=per_class,
        **_by_part(parts, lambda of_part: float(right[of_part].mean())),
        clip_accuracy=float(right.mean()),
        macro_accuracy=float(np.mean(list(per_class.values()))),
        window_accuracy=float((probabilities.argmax(axis=1) == of_window).mean()),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
    )


def _of_many_labels(
    probabilities: Array,
    index: Integers,
    of_clips: Array,
    truth: npt.NDArray[np.bool_],
    parts: Parts,
    **counts: Any,
) -> MultiLabelEvaluation:
    per_class = {counts["labels"][i]: value for i, value in _average_precisions(of_clips, truth).items()}
    mixed = [i for i, n in enumerate(truth.sum(axis=0)) if 0 < n < len(truth)]
    areas = [_measure(binary_auroc, of_clips[:, i], truth[:, i]) for i in mixed]
    auc = _mean(areas)
    present = truth[index]
    right = np.where(present, probabilities, 1 - probabilities)
    return MultiLabelEvaluation(
        **counts,
        log_loss=float(-np.log(np.maximum(right, 1e-12)).mean()),
        ece=calibration_error(probabilities.ravel(), present.ravel()),
        per_class=per_class,
        **_by_part(parts, lambda at: _mean(_average_precisions(of_clips[at], truth[at]).values())),
        mean_average_precision=_mean(per_class.values()),
        auc=auc,
        d_prime=float(math.sqrt(2) * ndtri(np.clip(auc, 1e-6, 1 - 1e-6))),  # finite where all is right
        occurrence={name: float(truth[:, counts["labels"].index(name)].mean()) for name in per_class},
    )


def _average_precisions(scores: Array, truth: npt.NDArray[np.bool_]) -> dict[int, float]:
    """Average precision of every label that occurs: its position to the figure."""
    occurring = np.flatnonzero(truth.any(axis=0)).tolist()
    return {i: _measure(binary_average_precision, scores[:, i], truth[:, i]) for i in occurring}


def _measure(metric: Callable[..., Any], scores: Array, truth: npt.NDArray[np.bool_]) -> float:
    """A metric of torchmetrics, exact (without binned thresholds)."""
    values = torch.from_numpy(np.ascontiguousarray(scores, np.float64)), torch.from_numpy(truth.astype(int))
    return float(metric(*values, validate_args=False))


def _by_part(parts: Parts, score: Callable[[npt.NDArray[np.bool_]], float]) -> dict[str, dict[str, float]]:
    """Score the clips of every name, for each kind of part; "" is no name."""
    found: dict[str, dict[str, float]] = {}
    for kind, names in parts.items():
        each = np.array(names)
        found[kind] = {str(name): score(each == name) for name in np.unique(each) if name}
    return found


def _mean(values: Sequence[float] | Any) -> float:
    """Mean, NaN of nothing."""
    each = list(values)
    return sum(each) / len(each) if each else math.nan


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _pyplot() -> Any:
    require("matplotlib", extra="train").use("Agg")
    return require("matplotlib.pyplot", extra="train")


def _save(figure: Any, path: str | Path) -> None:
    with write_beside(path) as partial:
        figure.savefig(partial, dpi=120, format="png")
    _pyplot().close(figure)


def clip_means(
    probabilities: Array, clip_of_window: Integers
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Array]:
    """Put windows together to clips.

    Returns:
        The clips that have windows, the row of each window's clip among them, and their mean probabilities.
    """
    heard, index, count = np.unique(clip_of_window, return_inverse=True, return_counts=True)
    sums = np.zeros((len(heard), probabilities.shape[1]))
    np.add.at(sums, index, probabilities)
    return heard, index, sums / count[:, None]


def calibration_error(confidence: Array, right: npt.NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error (Guo et al., ICML 2017): how far confidence and truth are apart.

    Args:
        confidence: [answers]: of the likeliest label of a window; with several labels, of every label.
        right: [answers], whether each of them is true.
        bins: of equal width in confidence.
    """
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))


def write_output(
    path: str | Path, probabilities: Array, clips: Sequence[Clip], labels: Sequence[str], task: Task
) -> None:
    """Write answers in the form of DCASE's ``output.csv``: tab-separated, one row per clip.

    The second column is the likeliest label (``scene_label``), or, where a clip may have several, all that
    are likelier than not, separated by semicolons (``labels``).

    Args:
        path: the file.
        probabilities: [clips, classes].
        clips: of the rows.
        labels: class names.
        task: of the corpus.
    """
    single = task == "single_label"
    with write_beside(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(("filename", "scene_label" if single else "labels", *labels))
        for clip, row in zip(clips, probabilities, strict=True):
            chosen = [int(row.argmax())] if single else np.flatnonzero(row > 0.5)
            name, answer = clip.id.removeprefix("audio/"), ";".join(labels[i] for i in chosen)
            writer.writerow((name, answer, *(f"{value:.6f}" for value in row)))
