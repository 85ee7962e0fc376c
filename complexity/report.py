"""One frozen report; table, Markdown, JSON and exit code only read it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from complexity.budget import UNITS, Budget, Limited

SCHEMA = 1  # of the JSON; documented in `Report.to_dict`


@dataclass(frozen=True)
class Layer:
    """One row: a module of a network or a node of a graph.

    Attributes:
        name: path of the module, or name of the node.
        kind: class of the module, or operator of the node.
        output_shape: at batch 1.
        params: by the rule; None where the rule was applied before and only its totals are known.
        macs: by the rule; None likewise.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    params: int | None
    macs: int | None


@dataclass(frozen=True)
class Report:
    """What a model costs. A quantity is None where the input cannot tell it.

    Attributes:
        model: name of the file or class.
        budget: the rules it is held against.
        stored_dtype: data type that most of the parameters are stored in.
        params: parameters by the rule.
        param_bytes: their bytes in the stored data types, by the rule.
        macs: multiply-accumulates by the rule, for one clip.
        macs_deployed: of convolutions, matrix products and recurrences that are executed.
        param_bytes_deployed: of weights and biases in the graph that ships.
        peak_activation_bytes: the most that live at the same time.
        front_end_macs: waveform to log-mel, for one clip; outside every rule.
        file_bytes: of the file.
        uncounted: work that the rule reads as zero.
        layers: the rows.
    """

    model: str
    budget: Budget
    stored_dtype: str
    params: int
    param_bytes: int
    macs: int
    macs_deployed: int | None
    param_bytes_deployed: int | None
    peak_activation_bytes: int | None
    front_end_macs: int | None
    file_bytes: int | None
    uncounted: tuple[Any, ...]
    layers: tuple[Layer, ...]

    @property
    def headroom(self) -> dict[Limited, int]:
        """What each limit leaves; negative where it is exceeded."""
        return {name: limit - getattr(self, name) for name, limit in self.budget.limits.items()}

    @property
    def within(self) -> bool:
        """Whether every limit holds."""
        return all(left >= 0 for left in self.headroom.values())

    def excess(self) -> str:
        """One sentence that says by how much each limit is exceeded; empty where all hold."""
        parts = [
            f"{getattr(self, name):,} {UNITS[name]} are {-left:,} ({-left / max(limit, 1):.1%}) over the "
            f"limit of {limit:,}"
            for (name, left), limit in zip(self.headroom.items(), self.budget.limits.values(), strict=True)
            if left < 0
        ]
        return f"By {self.budget.name}, {' and '.join(parts)}." if parts else ""

    def totals(self) -> dict[str, Any]:
        """The figures that an exporter stamps into ``ModelSpec.complexity``."""
        names = ("params", "param_bytes", "macs", "macs_deployed", "param_bytes_deployed",
                 "peak_activation_bytes", "front_end_macs")  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        budget = self.budget
        return {
            "schema": SCHEMA,
            "model": self.model,
            "rules": {
                "name": budget.name,
                "rule": budget.rule,
                "source": budget.source,
                "limits": budget.limits,
            },
            "within": self.within,
            "headroom": self.headroom,
            "stored_dtype": self.stored_dtype,
            **self.totals(),
            "file_bytes": self.file_bytes,
            "uncounted": list(self.uncounted),
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
        }
