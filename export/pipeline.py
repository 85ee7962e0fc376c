"""The whole way: model.pt in; a quantized, stamped, verified file out, or none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from export.metadata import describe_int8, float32, stamp
from export.onnx_graph import to_onnx
from export.verification import Verification, verify
from runtime.files import write_beside
from train.checkpoints.model_pt import Checkpoint
from train.quantization.choose_ranges import TOLERANCE, quantize, quantize_as_trained
from train.quantization.quantizer import PORTABLE, Scheme

Method = Literal["none", "ptq", "qat"]


@dataclass(frozen=True)
class Packed:
    """What became of an export.

    Attributes:
        verification: the checks; the file was written where they passed.
        file_bytes: of the file.
        quantization: as the file says it.
    """

    verification: Verification
    file_bytes: int
    quantization: dict[str, Any]


class _NotVerifiedError(Exception):
    """Leaves `write_beside` without a file."""


def default_method(checkpoint: Checkpoint) -> Method:
    """What a checkpoint was made for."""
    if checkpoint.quantization:
        return "qat"
    return "ptq" if len(checkpoint.calibration) else "none"


def pack(
    checkpoint: Checkpoint,
    output: Path,
    *,
    method: Method,
    scheme: Scheme = PORTABLE,
    tolerance: float = TOLERANCE,
) -> Packed:
    """Export a checkpoint; ``output`` appears only where the file is verified.

    Args:
        checkpoint: the trained student.
        output: the .onnx file to write.
        method: ``none`` keeps float32, ``ptq`` calibrates with the windows of the checkpoint, ``qat``
            takes what quantization-aware training learned.
        scheme: what varies in the INT8 scheme, for ``ptq``.
        tolerance: share of labels, or of their probability, that ``ptq`` may take, 0 to 1.

    Raises:
        ModelFileError: where the checkpoint cannot be built or lacks what the method needs.
        TinysceneError: where the file cannot be written.
    """
    network = checkpoint.build()
    twin: nn.Module | None = None
    if method == "none":
        model, quantization = to_onnx(network, checkpoint.input_shape), float32()
    else:
        quantized = (
            quantize(checkpoint, scheme, tolerance) if method == "ptq" else quantize_as_trained(checkpoint)
        )
        twin = quantized.network
        model = to_onnx(twin, checkpoint.input_shape)
        quantization = describe_int8(model, quantized.scheme, quantized.how)
    data = stamp(model, checkpoint, network, quantization)
    verification: Verification | None = None
    try:
        with write_beside(output) as partial:
            partial.write_bytes(data)
            verification = verify(partial, checkpoint, twin)
            if not verification.passed:
                raise _NotVerifiedError
    except _NotVerifiedError:
        pass
    assert verification is not None
    return Packed(verification, len(data), quantization)
