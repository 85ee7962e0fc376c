"""Quality of INT8 or of an exported file: what it loses against its float reference, with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy.special import stdtrit
from torch import Tensor, nn

from runtime.spec import Task
from train.quantization.verification_windows import VerificationWindows

TOLERANCE = 0.01  # loss that passes where the user gives no other
_BATCH = 16  # windows that run at once
_Z = 1.959964  # of a two-sided 95 % interval


@dataclass(frozen=True)
class Share:
    """A share of counted decisions.

    Attributes:
        count: those that are counted.
        total: all of them, at least one.
        effective: number of independent decisions that show as much, for the interval; None is all of them.
    """

    count: int
    total: int
    effective: float | None = None

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval (Wilson, "Probable inference", JASA 1927), right near 0 and 1, too."""
        n, p = self.effective or self.total, self.value
        centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
        return max(0.0, centre - half), min(1.0, centre + half)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.1%} ({low:.1%} to {high:.1%}, {self.count} of {self.total})"

    def to_json(self) -> dict[str, Any]:
        """Value and interval, 0 to 1, and the number of decisions."""
        interval = [round(bound, 6) for bound in self.interval]
        return {"value": round(self.value, 6), "interval": interval, "count": self.total}


def share_of(counted: Tensor, clips: Sequence[Hashable]) -> Share:
    """The share of the decisions [n, k] of windows that are counted; `effective_count` takes ``clips``."""
    return Share(int(counted.sum()), counted.numel(), effective_count(counted, clips))


def effective_count(values: Tensor, clips: Sequence[Hashable]) -> float | None:
    """How many independent decisions have a mean as certain as that of these.

    Windows of a clip resemble each other, so that they show less than as many clips would. This is the
    effective sample size of a cluster sample, with the loss of certainty where clips are few (Korn and
    Graubard, Survey Methodology 24, 1998). Equal values show no variance: then windows of a clip are
    taken for one decision (Kish, "Survey Sampling", 1965).

    Args:
        values: of the decisions [n, k] of windows, bool or a number.
        clips: the clip of each window; empty where that is not known.

    Returns:
        1 to the number of decisions; None where the clips are not known, as if windows were independent.
    """
    if not clips:
        return None
    number = {clip: index for index, clip in enumerate(dict.fromkeys(clips))}
    index, total = torch.tensor([number[clip] for clip in clips]), values.numel()
    deviations = values.double() - values.double().mean()
    sums = torch.zeros(len(number), dtype=torch.float64).index_add(0, index, deviations.sum(dim=1))
    variance = float(deviations.square().mean())
    if variance == 0 or len(number) == 1:
        sizes = index.bincount().double() / len(index)
        return 1 / float(sizes.square().sum())
    of_mean = len(number) / (len(number) - 1) * float(sums.square().sum()) / total**2
    few = (_Z / float(stdtrit(len(number) - 1, 0.975))) ** 2
    return min(float(total), max(1.0, few * variance / max(of_mean, variance / total)))


@dataclass(frozen=True)
class Quality:
    """Labels of an exported file, or of an INT8 model, against those of its float reference.

    A decision is the label of a window; where a window may have several labels, it is one label, present or
    not.

    Attributes:
        windows: how many were compared.
        source: where they come from.
        clips: how many clips they are of; 0 where that is not known, and windows count as independent.
        agreement: decisions that are the float reference's.
        accuracy_float: decisions of the float reference that are right; None without labels.
        accuracy: decisions of the file that are right; None without labels.
        loss_interval: 95 % interval of `loss`.
    """

    windows: int
    source: str
    clips: int
    agreement: Share
    accuracy_float: Share | None
    accuracy: Share | None
    loss_interval: tuple[float, float]

    @property
    def loss(self) -> float:
        """What ``--tolerance`` limits: accuracy lost, or flipped labels where there are no labels."""
        if self.accuracy is None or self.accuracy_float is None:
            return 1 - self.agreement.value
        return (self.accuracy_float.count - self.accuracy.count) / self.accuracy.total

    @property
    def least_tolerance(self) -> float:
        """The least tolerance that accepts this loss, rounded up to four decimals."""
        return max(0.0, math.ceil(round(self.loss * 1e4, 6)) / 1e4)

    def within(self, tolerance: float) -> bool:
        """Whether the loss is at most the tolerance."""
        return self.loss <= tolerance + 1e-12

    def __str__(self) -> str:
        over = f"over {self.clips} clips" if self.clips else "as if windows were independent"
        lines = [
            f"quality on {self.windows} windows ({self.source}), with 95 % intervals {over}:",
            f"  labels as the float reference: {self.agreement}",
        ]
        if self.accuracy is not None:
            low, high = self.loss_interval
            lines += [
                f"  accuracy of the float reference: {self.accuracy_float}",
                f"  accuracy of this file: {self.accuracy}",
                f"  accuracy lost: {100 * self.loss:.2f} points ({100 * low:.2f} to {100 * high:.2f})",
            ]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """For the provenance of the file."""
        shares = {"agreement": self.agreement}
        if self.accuracy is not None and self.accuracy_float is not None:
            shares |= {"accuracy_float": self.accuracy_float, "accuracy": self.accuracy}
        values: dict[str, Any] = {name: share.to_json() for name, share in shares.items()}
        loss = {"loss": round(self.loss, 6), "loss_interval": [round(x, 6) for x in self.loss_interval]}
        return {"windows": self.windows, "clips": self.clips, "source": self.source, **values, **loss}


def measure_quality(
    logits: Tensor, reference: Tensor, windows: VerificationWindows, task: Task
) -> Quality | None:
    """Compare the logits of a file, or of an INT8 model, with those of its float reference.

    Args:
        logits: of the file, [n, classes].
        reference: of the float reference, [n, classes].
        windows: what both were computed from.
        task: one label a window, or any number.

    Returns:
        None where there are no windows.
    """
    if not len(windows):
        return None
    decisions, expected = decide(logits, task), decide(reference, task)
    agreement = share_of(decisions == expected, windows.clips)
    measured = len(windows), windows.source, len(set(windows.clips)), agreement
    if windows.targets is None:
        low, high = agreement.interval
        return Quality(*measured, None, None, (1 - high, 1 - low))
    right, right_float = (is_right(d, windows.targets, task) for d in (decisions, expected))
    return Quality(
        *measured,
        share_of(right_float, windows.clips),
        share_of(right, windows.clips),
        _paired_interval(right_float.int() - right.int(), windows.clips),
    )


def logits_of(network: nn.Module, log_mels: Tensor) -> Tensor:
    """Logits [n, classes] of log-mels [n, 1, n_mels, frames]."""
    with torch.no_grad():
        return torch.cat([network(batch.float()) for batch in torch.split(log_mels, _BATCH)])


def decide(logits: Tensor, task: Task) -> Tensor:
    """Decisions of logits [n, classes]: label index [n, 1], or bool [n, classes] for several labels."""
    return logits > 0 if task == "multi_label" else logits.argmax(1, keepdim=True)


def is_right(decisions: Tensor, targets: Tensor, task: Task) -> Tensor:
    """Which decisions are right by the targets, bool [n, classes]; of one label, any that a window has."""
    return decisions == targets if task == "multi_label" else targets.gather(1, decisions)


def _paired_interval(losses: Tensor, clips: Sequence[Hashable]) -> tuple[float, float]:
    """95 % interval of a difference of two shares over the same decisions (Agresti and Min, 2005).

    One half is added to each of the four cells of the table, so that no change at all is not taken for
    certainty.

    Args:
        losses: of each decision [n, k], 1 where it is right in the first share alone, -1 in the second, or 0.
        clips: the clip of each window, or empty.
    """
    count = effective_count(losses, clips) or losses.numel()
    lost, gained = (count * float((losses == sign).double().mean()) for sign in (1, -1))
    total = count + 2
    b, c = (lost + 0.5) / total, (gained + 0.5) / total
    half = _Z * math.sqrt(max(0.0, b + c - (b - c) ** 2) / total)
    return max(-1.0, b - c - half), min(1.0, b - c + half)
