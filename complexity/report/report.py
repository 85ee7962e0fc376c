"""One frozen report; table, Markdown, JSON and exit code are made from it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from complexity.activation_memory import Peak
from complexity.budget import UNITS, Budget, Limited
from complexity.counters.uncounted_operations import Uncounted

SCHEMA = 1  # of the JSON; documented in `Report.to_dict`


@dataclass(frozen=True)
class Layer:
    """One layer: a module of a network or a node of a graph.

    Attributes:
        name: path of the module, or name of the node.
        kind: class of the module, or operator of the node.
        output_shape: at batch 1.
        params: by the rule; None where the rule was applied at export and only its totals are known.
        macs: by the rule; None likewise.
        macs_deployed: of the convolutions, matrix products and recurrences that it executes.
        elementwise_ops: its other arithmetic: elementwise, pooling, reduction, normalization.
        param_bytes_deployed: bytes of parameters that no layer above reads.
        live_bytes: bytes of the activations that live while it executes.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    params: int | None
    macs: int | None
    macs_deployed: int
    elementwise_ops: int
    param_bytes_deployed: int
    live_bytes: int


@dataclass(frozen=True)
class Report:
    """What a model costs for one clip at batch 1. A quantity is None where the input does not determine it.

    Attributes:
        model: name of the file or class.
        budget: the rules it is compared with.
        official: how the numbers by the rule were counted, one sentence.
        deployed: how the deployed numbers were counted, one sentence.
        stored_dtype: data type of most parameters.
        params: parameters by the rule.
        param_bytes: their bytes in the stored data types, by the rule.
        macs: multiply-accumulates by the rule.
        param_bytes_by_dtype: bytes of stored parameters by data type.
        quantization_bytes: scales and zero points, outside every rule.
        peak: the moment when most bytes of activations live.
        front_end_macs: waveform to log-mel; outside every rule.
        file_bytes: of the file.
        uncounted: work that the rule reads as zero.
        layers: modules or nodes, in order.
    """

    model: str
    budget: Budget
    official: str
    deployed: str
    stored_dtype: str
    params: int
    param_bytes: int
    macs: int
    param_bytes_by_dtype: dict[str, int]
    quantization_bytes: int
    peak: Peak
    front_end_macs: int | None
    file_bytes: int | None
    uncounted: tuple[Uncounted, ...]
    layers: tuple[Layer, ...]

    @property
    def macs_deployed(self) -> int:
        """Multiply-accumulates of the convolutions, matrix products and recurrences executed."""
        return sum(layer.macs_deployed for layer in self.layers)

    @property
    def elementwise_ops(self) -> int:
        """All other arithmetic operations executed."""
        return sum(layer.elementwise_ops for layer in self.layers)

    @property
    def param_bytes_deployed(self) -> int:
        """Bytes of parameters and running statistics as stored, scales and zero points apart."""
        return sum(layer.param_bytes_deployed for layer in self.layers)

    @property
    def peak_activation_bytes(self) -> int:
        """The most bytes of activations that live at the same time."""
        return self.peak.bytes

    @property
    def headroom(self) -> dict[Limited, int]:
        """What each limit leaves; negative where it is exceeded."""
        return self.budget.headroom(params=self.params, param_bytes=self.param_bytes, macs=self.macs)

    @property
    def within(self) -> bool:
        """Whether every limit holds."""
        return all(left >= 0 for left in self.headroom.values())

    def excess(self) -> str:
        """One sentence that says by how much each limit is exceeded; empty where all hold."""
        limits = self.budget.limits
        parts = [
            f"{limits[name] - left:,} {UNITS[name]} are {-left:,} ({-left / max(limits[name], 1):.1%}) over "
            f"the limit of {limits[name]:,}"
            for name, left in self.headroom.items()
            if left < 0
        ]
        return f"By {self.budget.name}, {' and '.join(parts)}." if parts else ""

    def verdict(self) -> str:
        """One sentence: within the limits, or by how much not."""
        limits = self.budget.limits
        used = [f"{1 - left / limits[name]:.1%} of the {UNITS[name]}" for name, left in self.headroom.items()
                if limits[name]]  # fmt: skip
        return self.excess() or f"Within {self.budget.name}, with {' and '.join(used) or 'no limits'} used."

    def totals(self) -> dict[str, Any]:
        """The totals that an exporter writes into ``ModelSpec.complexity``."""
        names = ("params", "param_bytes", "macs", "macs_deployed", "elementwise_ops", "param_bytes_deployed",
                 "peak_activation_bytes", "front_end_macs")  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values; what ``--json`` prints, one object a line.

        Keys:
            schema: version of this table, an integer; it rises when a key changes its meaning or goes.
            model: name of the file or class.
            rules: ``name``, ``rule``, ``source`` and ``limits`` (of ``params``, ``param_bytes``, ``macs``).
            within: whether every limit holds; the exit code 0 or 1.
            headroom: what each limit leaves, negative where it is exceeded.
            official: how the next numbers by the rule were counted.
            deployed: how the deployed numbers were counted.
            stored_dtype: data type of most parameters.
            params: parameters by the rule.
            param_bytes: bytes of parameters by the rule.
            macs: multiply-accumulates by the rule, for one clip.
            macs_deployed: of convolutions, matrix products and recurrences that are executed.
            elementwise_ops: other arithmetic executed: elementwise, pooling, reduction, normalization.
            param_bytes_deployed: bytes of parameters as stored.
            peak_activation_bytes: the most bytes of activations that live at the same time.
            front_end_macs: waveform to log-mel for one clip; null where no front end is known.
            param_bytes_by_dtype: ``param_bytes_deployed`` by data type.
            quantization_bytes: scales and zero points, outside every rule.
            peak: ``at`` (layer) and ``tensors`` (name and bytes of what lives there).
            file_bytes: of the file; null for a network in memory.
            uncounted: ``name``, ``kind`` and ``macs`` of what the rule reads as zero.
            layers: see `Layer`; their sums are the totals.
        """
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
            "official": self.official,
            "deployed": self.deployed,
            "stored_dtype": self.stored_dtype,
            **self.totals(),
            "param_bytes_by_dtype": self.param_bytes_by_dtype,
            "quantization_bytes": self.quantization_bytes,
            "peak": {"at": self.peak.node, "tensors": [list(tensor) for tensor in self.peak.tensors]},
            "file_bytes": self.file_bytes,
            "uncounted": [dataclasses.asdict(item) for item in self.uncounted],
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
        }
