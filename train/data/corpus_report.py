"""A corpus, examined: counts, notes and findings as JSON, text and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.audio.level import NO_SIGNAL_DBFS
from train.plots import pyplot, save_figure

_SHOWN = 5  # examples of each finding in the text; the JSON has all


@dataclass(frozen=True)
class CorpusReport:
    """A corpus, examined.

    Attributes:
        clips: of each split.
        hours: of each split.
        unlabelled: clips of each split that nobody labelled.
        classes: split to label to clips.
        devices: split to device to clips.
        cities: split to city to clips.
        sample_rates: of the files, Hz, to clips.
        notes: remarks that are no fault, by kind.
        findings: faults by kind, with the clips that they concern; a corpus without any is sound.
        seconds: length of every clip that can be read.
        levels_dbfs: level of every clip that can be read.
    """

    clips: dict[str, int]
    hours: dict[str, float]
    unlabelled: dict[str, int]
    classes: dict[str, dict[str, int]]
    devices: dict[str, dict[str, int]]
    cities: dict[str, dict[str, int]]
    sample_rates: dict[int, int]
    notes: dict[str, list[str]]
    findings: dict[str, list[str]]
    seconds: tuple[float, ...]
    levels_dbfs: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON values, without the lengths and levels of single clips."""
        return {k: v for k, v in asdict(self).items() if k not in ("seconds", "levels_dbfs")}

    def to_text(self) -> str:
        """Counts and findings as text."""
        lines = [
            f"{split}: {n} clips, {self.hours[split]:.2f} h"
            + (f", {self.unlabelled[split]} of them not labelled" if self.unlabelled[split] else "")
            for split, n in self.clips.items()
        ]
        for name, table in (("class", self.classes), ("device", self.devices), ("city", self.cities)):
            for value in sorted({value for counts in table.values() for value in counts}):
                counts = "  ".join(f"{split} {table[split].get(value, 0):6}" for split in table)
                lines.append(f"  {name} {value:20} {counts}")
        for kind, members in {**self.notes, **self.findings}.items():
            more = f" and {len(members) - _SHOWN} more" if len(members) > _SHOWN else ""
            lines.append(f"{kind}: {len(members)}\n    " + "\n    ".join(members[:_SHOWN]) + more)
        return "\n".join(lines if self.findings else [*lines, "nothing found"])

    def plot(self, path: Path) -> None:
        """Draw counts by class and device, lengths and levels into a PNG."""
        figure, axes = pyplot().subplots(2, 2, figsize=(12, 8), layout="constrained")
        _stack(axes[0][0], self.classes, "class")
        _stack(axes[0][1], self.devices, "device")
        axes[1][0].hist(self.seconds, bins=40)
        axes[1][0].set_xlabel("length (s)")
        axes[1][1].hist(np.maximum(self.levels_dbfs, -100), bins=40)
        axes[1][1].axvline(NO_SIGNAL_DBFS, linestyle="--", color="black")
        axes[1][1].set_xlabel("level (dBFS), silence left of the line")
        save_figure(figure, path)


def _stack(axis: Any, table: Mapping[str, Mapping[str, int]], name: str) -> None:
    """Bars of counts, one colour a split."""
    axis.set_title(f"clips by {name}" if any(table.values()) else f"no {name} is named")
    values = sorted({value for counts in table.values() for value in counts})
    base = np.zeros(len(values))
    for split, counts in table.items():
        heights = np.array([counts.get(value, 0) for value in values], float)
        axis.bar(values, heights, bottom=base, label=split)
        base += heights
    axis.tick_params(axis="x", rotation=60)
    axis.margins(y=0.2)  # space for the legend
    axis.legend(loc="upper center", ncols=len(table))
