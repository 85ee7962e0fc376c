"""Correctness of an exported file: checks that hold for every network, however well it was trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from export.float16 import lint_float16
from export.lint import lint
from export.metadata import WEIGHTS_CHECKSUM, weights_checksum
from runtime.model.self_test import allowed_steps, make_input
from runtime.model.session import FLOAT_TOLERANCE, Session
from runtime.spec import ModelSpec
from train.checkpoints.model_pt import Checkpoint

Array = npt.NDArray[np.float32]

# Weights rounded to 11 significant bits: 60 to 75 dB were measured on CP-Mobile and the 2024 baseline.
_FP16_SQNR_DB = 40.0


@dataclass(frozen=True)
class Check:
    """One correctness check.

    Attributes:
        name: what was compared.
        measured: the number.
        passed: whether the number is within its limit.
        note: unit and limit of the number.
    """

    name: str
    measured: float
    passed: bool
    note: str

    def __str__(self) -> str:
        return f"{'pass' if self.passed else 'FAIL'}  {self.name}: {self.measured:.4g} {self.note}"


def check_graph(data: bytes, spec: ModelSpec) -> list[Check]:
    """Lint of the graph against its quantization scheme; float32 has no rules."""
    scheme, model = spec.quantization, onnx.load_from_string(data)
    if scheme["scheme"] == "int8":
        low, high = scheme["weight_range"]
        faults = lint(model, (low, high), tuple(scheme["keep_float"]))
    elif scheme["scheme"] == "fp16":
        faults = lint_float16(model)
    else:
        return []
    note = f"({'; '.join(faults)})" if faults else "against the scheme"
    return [Check("faults of the graph", len(faults), not faults, note)]


def check_difference(name: str, logits: Array, expected: Array, spec: ModelSpec) -> Check:
    """The largest difference of a logit: in output steps for INT8, else in logits."""
    scheme, differences = spec.quantization, np.abs(logits - expected)
    if scheme["scheme"] != "int8":
        worst = float(differences.max(initial=0.0))
        return Check(name, worst, worst <= FLOAT_TOLERANCE, f"in a logit, {FLOAT_TOLERANCE} allowed")
    steps = np.rint(differences / scheme["output_scale"])
    allowed = allowed_steps(spec)  # integer graphs give 0, see `train.quantization.qparams`
    worst = float(steps.max(initial=0.0))
    note = f"output steps at most ({(steps > 0).mean():.1%} of logits differ), {allowed} allowed"
    # an untrained network may have steps that are smaller than the rounding of its float layers
    passed = worst <= allowed or (scheme["keep_float"] and differences.max() <= FLOAT_TOLERANCE)
    return Check(name, worst, bool(passed), note)


def check_rounding(logits: Array, expected: Array) -> Check:
    """Signal-to-noise ratio of the logits of an fp16 file against the float32 network, dB."""
    noise = float(np.square(logits.astype(np.float64) - expected).mean())
    signal = float(np.square(expected.astype(np.float64)).mean())
    ratio = 10 * np.log10(signal / noise) if noise and signal else np.inf
    note = f"dB signal to rounding noise of the logits, {_FP16_SQNR_DB:g} at least"
    return Check("as written against torch", ratio, bool(ratio >= _FP16_SQNR_DB), note)


def check_origin(checkpoint: Checkpoint, spec: ModelSpec) -> list[Check]:
    """Whether the file was made from a checkpoint; files of earlier releases do not record it."""
    recorded = spec.provenance.get(WEIGHTS_CHECKSUM)
    if recorded is None:
        return []
    same = recorded == weights_checksum(checkpoint)
    note = "of 1: the weights are those that it was made from" if same else "of 1: it is another model.pt"
    return [Check("origin", int(same), same, note)]


def check_self_test(session: Session) -> Check:
    """The largest difference from a self-test vector, in a session that the runtime has accepted."""
    spec = session.spec
    errors = [
        np.abs(session.logits(make_input(v.formula, v.seed, spec.input_shape))[0] - np.array(v.logits)).max()
        for v in spec.self_test_vectors
    ]
    note = f"in a logit of {len(errors)} vectors, as the runtime accepts it ({session.optimization})"
    return Check("self-test vectors", float(max(errors, default=0.0)), bool(errors), note)
