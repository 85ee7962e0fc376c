"""Runs the verification of an exported file: correctness, quality, and a report on hostile signals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from export.metadata import calibrated_on
from export.token_merging import as_exported
from export.verification.correctness import (
    Check,
    check_difference,
    check_graph,
    check_origin,
    check_rounding,
    check_self_test,
)
from export.verification.levels import QuietAccuracy, quiet_accuracy
from export.verification.noise import value_noise
from runtime.errors import ModelFileError
from runtime.model.session import Session, run_unoptimized
from runtime.spec import ModelSpec
from train.checkpoints.model_pt import Checkpoint
from train.quantization.choose_ranges import quantize_as_trained
from train.quantization.hostile_report import hostile_report
from train.quantization.hostile_signals import hostile_inputs
from train.quantization.quality import TOLERANCE, Quality, measure_quality
from train.quantization.sensitivity import Sensitivity
from train.quantization.verification_windows import VerificationWindows, split_windows

Array = npt.NDArray[np.float32]
# Of log-mels in a batch: 16 windows of a student, 2 of 10 s for an AST, whose attention takes the memory.
_BATCH_VALUES = 2**18


@dataclass(frozen=True)
class Verification:
    """What was found about a file.

    Attributes:
        checks: of correctness; every one is a gate.
        quality: against the float reference; None where there is no reference or no window.
        tolerance: the greatest loss of quality that passes.
        hostile: hostile signals whose label changes, a sentence each; reported, never a gate.
        noise: of every integer value against the float reference, where that was measured.
        quiet: accuracy on quieter sound, where that was measured; reported, never a gate.
    """

    checks: tuple[Check, ...]
    quality: Quality | None = None
    tolerance: float = TOLERANCE
    hostile: tuple[str, ...] = ()
    noise: tuple[Sensitivity, ...] = ()
    quiet: tuple[QuietAccuracy, ...] = ()

    @property
    def correct(self) -> bool:
        """Whether every check of correctness holds."""
        return all(check.passed for check in self.checks)

    @property
    def good(self) -> bool:
        """Whether the loss of quality is within the tolerance, as far as it was measured."""
        return self.quality is None or self.quality.within(self.tolerance)

    @property
    def passed(self) -> bool:
        """Whether the file is correct and good enough."""
        return self.correct and self.good

    def summary(self) -> str:
        """A line for every check, the quality, the hostile signals and the verdict."""
        lines = ["correctness:", *(f"  {check}" for check in self.checks)]
        lines.append(str(self.quality) if self.quality else "quality: not measured, for want of windows")
        lines += [str(accuracy) for accuracy in self.quiet]
        lines += [f"  {sentence}" for sentence in self.hostile]
        return "\n".join([*lines, self._verdict()])

    def _verdict(self) -> str:
        if not self.correct:
            return "FAIL: the file does not compute what the network computes"
        if self.quality is not None and not self.good:
            return (
                f"FAIL: {100 * self.quality.loss:.2f} % lost, {100 * self.tolerance:.2f} % tolerated: "
                f"--tolerance {self.quality.least_tolerance:.4f} accepts it"
            )
        return "PASS"

    def __str__(self) -> str:
        """The table of noise, where there is one, before the summary."""
        lines = [f"  {row.sqnr_db:5.1f} dB  {row.name}" for row in self.noise]
        lines = ["signal to quantization noise of every integer value:", *lines] if lines else []
        return "\n".join([*lines, self.summary()])


def verify(
    path: str | Path,
    checkpoint: Checkpoint | None = None,
    *,
    exported: nn.Module | None = None,
    windows: VerificationWindows | None = None,
    tolerance: float | None = None,
) -> Verification:
    """Verify an exported file.

    Args:
        path: the .onnx file; it runs as the runtime runs it, self-test vectors included.
        checkpoint: the model.pt that it was made from: the float reference. Without it quality is not
            measured.
        exported: the network whose graph the file holds, in torch: the INT8 model, or the float network.
            Where None it is made from the checkpoint; that of post-training quantization cannot be.
        windows: to measure quality on; those of the checkpoint where None. Of a source that the observer of
            the file was chosen on, the clips that chose it are left out.
        tolerance: the greatest loss of quality that passes; where None, the one that the file records, or
            else `TOLERANCE`.

    Raises:
        ModelFileError: where the runtime refuses the file.
    """
    session = Session(path)
    spec, data = session.spec, Path(path).read_bytes()
    if checkpoint is not None:
        checkpoint = as_exported(checkpoint, spec)
        _refuse_other_shape(checkpoint, spec, path)
        if windows is None:
            checkpoint, windows = split_windows(checkpoint)
        windows = _apart_from_choice(windows, spec)
        exported = _exported(checkpoint, spec) if exported is None else exported
    outputs = _run(session, data, checkpoint, exported, windows)
    checks = tuple(_check(session, data, checkpoint, outputs))
    if tolerance is None:
        tolerance = float(spec.provenance.get("quality", {}).get("tolerance", TOLERANCE))
    if checkpoint is None or outputs.reference is None or windows is None:
        return Verification(checks, tolerance=tolerance)
    run, reference = torch.from_numpy(outputs.run), torch.from_numpy(outputs.reference)
    count = outputs.hostile
    quality = measure_quality(run[count:], reference[count:], windows, spec.task)
    return Verification(
        checks,
        quality,
        tolerance,
        tuple(_hostile(reference[:count], run[:count], checkpoint)),
        tuple(_noise(data, checkpoint, windows, spec)),
        quiet_accuracy(
            lambda log_mels: torch.from_numpy(_batched(session.logits, log_mels)),
            windows,
            spec.frontend,
            spec.task,
            quality.accuracy if quality else None,
        ),
    )


def _apart_from_choice(windows: VerificationWindows, spec: ModelSpec) -> VerificationWindows:
    """The windows that chose no observer, where the file records that it was measured on such windows."""
    _, apart = windows.divide()
    return apart if spec.provenance.get("quality", {}).get("source") == apart.source else windows


def _noise(
    data: bytes, checkpoint: Checkpoint, windows: VerificationWindows, spec: ModelSpec
) -> list[Sensitivity]:
    """Noise of every value; none where the float values that it is measured against are not known.

    Equalization scales channels by what the calibration windows show, so these have to be the file's own.
    """
    equalized = bool(spec.quantization.get("equalized"))
    if spec.quantization["scheme"] != "int8" or (equalized and not calibrated_on(spec, checkpoint)):
        return []
    return value_noise(data, checkpoint, windows.log_mels, equalized=equalized)


def _refuse_other_shape(checkpoint: Checkpoint, spec: ModelSpec, path: str | Path) -> None:
    if (checkpoint.input_shape, len(checkpoint.labels)) != (spec.input_shape, len(spec.labels)):
        raise ModelFileError(
            f"{path} takes {list(spec.input_shape)} and has {len(spec.labels)} labels, the model.pt takes "
            f"{list(checkpoint.input_shape)} and has {len(checkpoint.labels)}: give the one it was made from."
        )


@dataclass(frozen=True)
class _Outputs:
    """Logits [n, classes] of hostile signals, and of verification windows after them.

    Attributes:
        hostile: number of hostile signals.
        run: of the file as the runtime runs it.
        written: of the graph as it is written, without optimizations.
        exported: of the exported network in torch.
        reference: of the float reference.
    """

    hostile: int
    run: Array
    written: Array
    exported: Array | None
    reference: Array | None


def _run(
    session: Session,
    data: bytes,
    checkpoint: Checkpoint | None,
    exported: nn.Module | None,
    windows: VerificationWindows | None,
) -> _Outputs:
    signals = torch.from_numpy(hostile_inputs(session.spec.frontend, session.spec.clip_samples))
    inputs = signals if windows is None else torch.cat([signals, windows.log_mels])
    return _Outputs(
        len(signals),
        _batched(session.logits, inputs),
        _batched(lambda batch: run_unoptimized(data, batch)[0], inputs),
        None if exported is None else _torch(exported, inputs),
        None if checkpoint is None else _torch(checkpoint.build(), inputs),
    )


def _check(
    session: Session, data: bytes, checkpoint: Checkpoint | None, outputs: _Outputs
) -> Iterator[Check]:
    spec = session.spec
    if checkpoint is not None:
        yield from check_origin(checkpoint, spec)
    yield from check_graph(data, spec)
    yield check_self_test(session)
    yield check_difference("as run against as written", outputs.run, outputs.written, spec)
    if spec.quantization["scheme"] == "fp16":
        if outputs.reference is not None:
            yield check_rounding(outputs.written, outputs.reference)
    elif outputs.exported is not None:
        yield check_difference("as written against torch", outputs.written, outputs.exported, spec)


def _exported(checkpoint: Checkpoint, spec: ModelSpec) -> nn.Module | None:
    """The network that a file holds, as far as it follows from the checkpoint alone."""
    if spec.quantization["scheme"] == "float32":
        return checkpoint.build()
    if spec.quantization.get("method") == "qat" and checkpoint.quantization:
        return quantize_as_trained(checkpoint).network
    return None


def _hostile(reference: Tensor, logits: Tensor, checkpoint: Checkpoint) -> list[str]:
    """A sentence for every hostile signal whose label changes while one of the two networks is sure of it."""
    report = hostile_report(reference, logits, checkpoint)
    unsure = [name for name in report.lost if name not in report.gained]
    return [
        *(f"hostile signal '{name}': this file is sure of another label" for name in report.gained),
        *(f"hostile signal '{name}': only the float reference is sure of its label" for name in unsure),
    ]


def _torch(network: nn.Module, inputs: Tensor) -> Array:
    def run(batch: Array) -> Array:
        with torch.no_grad():
            logits: Array = network(torch.from_numpy(batch)).numpy()
        return logits

    return _batched(run, inputs)


def _batched(run: Callable[[Array], Array], inputs: Tensor) -> Array:
    size = max(_BATCH_VALUES // inputs[0].numel(), 1)
    return np.concatenate([run(batch.numpy()) for batch in torch.split(inputs, size)])
