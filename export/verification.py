"""Verification: the file that ships against the network it was made from, on hostile and real signals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from export.lint import lint
from runtime.model.session import FLOAT_TOLERANCE, Session, run_unoptimized
from runtime.spec import ModelSpec
from train.checkpoints.model_pt import Checkpoint
from train.quantization.conversion import prepare
from train.quantization.hostile_signals import hostile_inputs
from train.quantization.label_agreement import MAY_DIFFER, heard_otherwise, kept_labels
from train.quantization.quantizer import PORTABLE, Observer
from train.quantization.sensitivity import Sensitivity, sqnr_db

Array = npt.NDArray[np.float32]

_OUTPUT_STEPS = 2  # none is the rule, see `train.quantization.qparams`
# A layer that stays float gives numbers that lie anywhere, and near a tie two arithmetics round them apart.
_OUTPUT_STEPS_WITH_FLOAT = 8
_AGREEMENT = 0.97  # of labels on real windows; INT8 of this scheme gives 98.5 % and more
_BATCH = 16
_SQNR_WINDOWS = 8


@dataclass(frozen=True)
class Check:
    """One thing that was verified.

    Attributes:
        name: what was compared.
        measured: the number.
        passed: whether it is good enough.
        note: what the number counts, and what is asked of it.
    """

    name: str
    measured: float
    passed: bool
    note: str


@dataclass(frozen=True)
class Verification:
    """All checks of a file.

    Attributes:
        checks: each with its number.
        noise: of every integer value against its float twin, where that was measured.
    """

    checks: tuple[Check, ...]
    noise: tuple[Sensitivity, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every check holds."""
        return all(check.passed for check in self.checks)

    def checklist(self) -> str:
        """A line for every check, and the verdict."""
        lines = [
            f"  {'pass' if check.passed else 'FAIL'}  {check.name}: {check.measured:.4g} {check.note}"
            for check in self.checks
        ]
        return "\n".join([*lines, "PASS" if self.passed else "FAIL"])

    def __str__(self) -> str:
        """The table of noise, where there is one, before the checklist."""
        lines = [f"  {row.sqnr_db:5.1f} dB  {row.name}" for row in self.noise]
        lines = ["signal to quantization noise of every integer value:", *lines] if lines else []
        return "\n".join([*lines, self.checklist()])


def verify(
    path: str | Path, checkpoint: Checkpoint | None = None, twin: nn.Module | None = None
) -> Verification:
    """Verify an exported file.

    Args:
        path: the .onnx file; it is run as the runtime runs it, self-test included.
        checkpoint: the model.pt it was made from; its calibration windows are the real signals.
        twin: the INT8 graph in torch, where there is one.

    Raises:
        ModelFileError: where the runtime refuses the file.
    """
    session = Session(path)
    hostile = hostile_inputs(session.spec.frontend, session.spec.clip_samples)
    inputs = hostile if checkpoint is None else np.concatenate([hostile, _real(checkpoint)])
    data = Path(path).read_bytes()
    logits = _batched(session.logits, inputs)
    exact = _batched(lambda batch: run_unoptimized(data, batch)[0], inputs)
    checks = [
        *_lint(data, session.spec),
        *_difference("as run against as written", logits, exact, session.spec),
    ]
    if twin is not None:
        checks += _difference("as written against torch", exact, _torch(twin, inputs), session.spec)
    noise: list[Sensitivity] = []
    if checkpoint is not None:
        checks += _labels(logits, _torch(checkpoint.build(), inputs), len(hostile), checkpoint)
        if session.spec.quantization["scheme"] == "int8":
            noise = value_noise(data, checkpoint)
    return Verification(tuple(checks), tuple(noise))


def value_noise(data: bytes, checkpoint: Checkpoint) -> list[Sensitivity]:
    """How far every integer value of a file is from its float twin, in the order of the graph.

    Args:
        data: the INT8 file.
        checkpoint: the model.pt it was made from.
    """
    x = _real(checkpoint)[:: max(1, len(checkpoint.calibration) // _SQNR_WINDOWS)]
    network = checkpoint.build()
    prepared = prepare(network, checkpoint.input_shape, PORTABLE, _Recorder)
    with torch.no_grad():
        prepared(torch.from_numpy(x))
    wanted = {m.name: m.seen for m in prepared.modules() if isinstance(m, _Recorder) and m.seen is not None}
    model = onnx.load_from_string(data)
    readers = {n.input[0]: n for n in model.graph.node if n.op_type == "DequantizeLinear"}
    constants = dict(network.named_parameters())  # GRN's beta is a value too, but no signal
    names = [name for name in wanted if name in readers and name not in constants]
    for name in names:
        output = readers[name].output[0]
        model.graph.output.append(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
    got = run_unoptimized(model.SerializeToString(), x, [readers[name].output[0] for name in names])
    return [
        Sensitivity(name, sqnr_db(wanted[name], torch.from_numpy(value)))
        for name, value in zip(names, got, strict=True)
    ]


class _Recorder(Observer):
    """Keeps what passes through a value."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.seen: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.seen is None:  # others that share its range come later
            self.seen = x.detach()
        return x


def _real(checkpoint: Checkpoint) -> Array:
    return checkpoint.calibration.float().numpy().reshape(-1, *checkpoint.input_shape[1:])


def _torch(network: nn.Module, inputs: Array) -> Array:
    def run(batch: Array) -> Array:
        with torch.no_grad():
            logits: Array = network(torch.from_numpy(batch)).numpy()
        return logits

    return _batched(run, inputs)


def _batched(run: Callable[[Array], Array], inputs: Array) -> Array:
    starts = range(0, len(inputs), _BATCH)
    return np.concatenate([run(inputs[start : start + _BATCH]) for start in starts])


def _lint(data: bytes, spec: ModelSpec) -> list[Check]:
    scheme = spec.quantization
    if scheme["scheme"] != "int8":
        return []
    low, high = scheme["weight_range"]
    faults = lint(onnx.load_from_string(data), (low, high), tuple(scheme["keep_float"]))
    note = f"({'; '.join(faults)})" if faults else "against the scheme"
    return [Check("faults of the graph", len(faults), not faults, note)]


def _difference(name: str, logits: Array, wanted: Array, spec: ModelSpec) -> list[Check]:
    """Largest difference of logits, and how often there is one: in output steps where the file is INT8."""
    differences = np.abs(logits - wanted)
    if spec.quantization["scheme"] == "float32":
        worst = float(differences.max())
        return [Check(name, worst, worst <= FLOAT_TOLERANCE, f"in a logit, {FLOAT_TOLERANCE} allowed")]
    steps = np.rint(differences / spec.quantization["output_scale"])
    allowed = _OUTPUT_STEPS_WITH_FLOAT if spec.quantization["keep_float"] else _OUTPUT_STEPS
    note = f"output steps at most ({(steps > 0).mean():.1%} of logits differ), {allowed} allowed"
    return [Check(name, float(steps.max()), bool(steps.max() <= allowed), note)]


def _labels(logits: Array, wanted: Array, count: int, checkpoint: Checkpoint) -> list[Check]:
    """Agreement of labels with the float network: of ``count`` hostile signals, and of real ones after them.

    Hostile signals lie outside of what the ranges were chosen for: what counts is whether INT8 is sure of
    another label. Where it only lost one that float is sure of, the note says so.
    """
    float_logits, int8_logits = torch.from_numpy(wanted), torch.from_numpy(logits)
    wrong, changed = heard_otherwise(float_logits[:count], int8_logits[:count], checkpoint)
    note = f"of {count} hostile signals{': ' + ', '.join(wrong) if wrong else ''}, {MAY_DIFFER} allowed"
    if lost := [name for name in changed if name not in wrong]:
        note += f" (no longer sure: {', '.join(lost)})"
    checks = [Check("surely another label", len(wrong), len(wrong) <= MAY_DIFFER, note)]
    if len(logits) > count:
        kept = kept_labels(float_logits[count:], int8_logits[count:], checkpoint)
        share, error = float(kept.double().mean()), np.abs(logits - wanted).max()
        note = f"of {len(kept)} real windows, {_AGREEMENT} asked (a logit differs by {error:.2g})"
        checks.append(Check("labels as float torch gives them", share, share >= _AGREEMENT, note))
    return checks
