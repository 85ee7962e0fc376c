"""Verification: the file that ships against the network it was made from, on hostile and real signals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from export.signals import hostile_inputs
from runtime.session import Session, run_unoptimized
from runtime.spec import ModelSpec
from train.checkpoint import Checkpoint

Array = npt.NDArray[np.float32]

_OUTPUT_STEPS = 2  # fused requantization rounds otherwise than the graph as it is written
_FLOAT_DIFFERENCE = 1e-3  # of a float logit, from sums in another order
_AGREEMENT = 0.97  # of labels on real windows; INT8 of this scheme gives 98.5 % and more
_BATCH = 16


@dataclass(frozen=True)
class Check:
    """One thing that was verified.

    Attributes:
        name: what was compared.
        measured: the number.
        limit: what it is held against.
        passed: whether it holds.
        note: what the number is, with its unit.
    """

    name: str
    measured: float
    limit: float
    passed: bool
    note: str


@dataclass(frozen=True)
class Verification:
    """All checks of a file."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check holds."""
        return all(check.passed for check in self.checks)

    def __str__(self) -> str:
        """A line for every check and the verdict."""
        lines = [
            f"  {'pass' if check.passed else 'FAIL'}  {check.name}: {check.measured:.4g} {check.note}"
            for check in self.checks
        ]
        return "\n".join([*lines, "PASS" if self.passed else "FAIL"])


def verify(
    path: str | Path, checkpoint: Checkpoint | None = None, twin: nn.Module | None = None
) -> Verification:
    """Verify an exported file.

    Args:
        path: the .onnx file; it is run as the runtime runs it, goldens and all.
        checkpoint: the model.pt it was made from; its calibration windows are the real signals.
        twin: the INT8 graph in torch, where the file holds one.

    Raises:
        ModelFileError: where the runtime refuses the file.
    """
    session = Session(path)
    names, hostile = hostile_inputs(session.spec.frontend, session.spec.clip_samples)
    inputs = hostile if checkpoint is None else np.concatenate([hostile, _real(checkpoint)])
    logits = _batched(session.logits, inputs)
    exact = _batched(lambda batch: run_unoptimized(Path(path).read_bytes(), batch)[0], inputs)
    checks = [_difference("as it runs against as it is written", logits, exact, session.spec)]
    if twin is not None:
        checks.append(
            _difference("as it is written against torch", exact, _torch(twin, inputs), session.spec)
        )
    if checkpoint is not None:
        wanted = _torch(checkpoint.build(), inputs)
        checks += _labels(logits, wanted, names)
    return Verification(tuple(checks))


def _real(checkpoint: Checkpoint) -> Array:
    return checkpoint.calibration.float().numpy().reshape(-1, *checkpoint.input_shape[1:])


def _torch(network: nn.Module, inputs: Array) -> Array:
    def run(batch: Array) -> Array:
        with torch.no_grad():
            logits: Array = network(torch.from_numpy(batch)).numpy()
        return logits

    return _batched(run, inputs)


def _batched(run, inputs: Array) -> Array:
    starts = range(0, len(inputs), _BATCH)
    return np.concatenate([run(inputs[start : start + _BATCH]) for start in starts])


def _difference(name: str, logits: Array, wanted: Array, spec: ModelSpec) -> Check:
    """Largest difference of logits: in output steps where the file is INT8."""
    difference = float(np.abs(logits - wanted).max())
    if spec.quantization["scheme"] == "float32":
        limit, note = _FLOAT_DIFFERENCE, "in a logit"
    else:
        difference /= spec.quantization["output_scale"]
        limit, note = _OUTPUT_STEPS, "output steps"
    return Check(name, difference, limit, difference <= limit + 0.01, f"{note} at most, {limit:g} allowed")


def _labels(logits: Array, wanted: Array, hostile: list[str]) -> list[Check]:
    """Agreement of labels with the float network.

    On hostile signals a float network may be undecided itself: there a label may only change where the
    two best logits are closer than the largest error.
    """
    agree = logits.argmax(1) == wanted.argmax(1)
    count = len(hostile)
    best = np.sort(wanted[:count], axis=1)
    undecided = best[:, -1] - best[:, -2] <= 2 * np.abs(logits - wanted)[:count].max(1)
    changed = int((~agree[:count] & ~undecided).sum())
    checks = [
        Check("labels changed on hostile signals", changed, 0, changed == 0, f"of {count}, none allowed")
    ]
    if len(agree) > count:
        share = float(agree[count:].mean())
        note = f"of {len(agree) - count} real windows, at least {_AGREEMENT:g} wanted"
        checks.append(Check("labels agree with float torch", share, _AGREEMENT, share >= _AGREEMENT, note))
        error = float(np.abs(logits - wanted)[count:].max())
        checks.append(
            Check("largest difference from float torch", error, np.inf, np.isfinite(error), "in a logit")
        )
    return checks
