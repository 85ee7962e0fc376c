"""The export pipeline: model.pt, quantization, ONNX graph, metadata, verification, and then the file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import onnx
from torch import nn

from export.float16 import store_as_float16
from export.metadata import attach_metadata, describe_calibration, describe_int8, make_spec
from export.onnx_graph import to_onnx
from export.verification import TOLERANCE, Check, Verification, verify
from runtime.errors import ModelFileError
from runtime.files import write_beside
from runtime.model.session import Session
from runtime.spec import ModelSpec
from train import networks
from train.checkpoints.model_pt import Checkpoint
from train.quantization.choose_ranges import choose_ranges, quantize_as_trained
from train.quantization.quantizer import PORTABLE, Scheme
from train.quantization.verification_windows import VerificationWindows, split_windows

Method = Literal["none", "fp16", "ptq", "qat"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class Exported:
    """The result of an export.

    Attributes:
        verification: the file was written where it passed.
        file_bytes: size of the file.
        quantization: ``ModelSpec.quantization`` of the file.
    """

    verification: Verification
    file_bytes: int
    quantization: dict[str, Any]


@dataclass(frozen=True)
class _Graph:
    """An exported graph, the torch network that it has to equal, and its quantization."""

    model: onnx.ModelProto
    network: nn.Module
    quantization: dict[str, Any]


class _NotVerifiedError(Exception):
    """Leaves `write_beside` without a file."""


def default_method(checkpoint: Checkpoint) -> Method:
    """What a checkpoint was made for: qat, else ptq where it holds calibration windows, else none.

    Transformers are exported in float.
    """
    if not networks.has_int8(checkpoint.student):
        return "none"
    if checkpoint.quantization:
        return "qat"
    return "ptq" if len(checkpoint.calibration) else "none"


def export_model(
    checkpoint: Checkpoint,
    output: Path,
    *,
    method: Method,
    scheme: Scheme = PORTABLE,
    tolerance: float = TOLERANCE,
    windows: VerificationWindows | None = None,
) -> Exported:
    """Export a checkpoint; ``output`` is written only where the file passes verification.

    Args:
        checkpoint: the trained student.
        output: the .onnx file to write.
        method: ``none`` keeps float32, ``fp16`` stores weights in half precision, ``ptq`` calibrates with
            the windows of the checkpoint, ``qat`` takes what quantization-aware training learned.
        scheme: weight range and float values, for ``ptq``.
        tolerance: greatest loss of accuracy that passes, 0 to 1; 1 always passes.
        windows: to choose among observers and, of other clips, to measure the loss on; those of the
            checkpoint where None.

    Raises:
        ModelFileError: where the checkpoint cannot be built or lacks what the method needs.
        ConfigError: where the network cannot be quantized.
        TinysceneError: where the file cannot be written.
    """
    network = checkpoint.build()
    if windows is None:
        checkpoint, windows = split_windows(checkpoint)
    choosing = windows
    if method == "ptq":
        choosing, windows = windows.divide()
    graph = _graph(checkpoint, network, method, scheme, choosing)
    provenance = describe_calibration(checkpoint) if method == "ptq" else {}
    spec = make_spec(graph.model.SerializeToString(), checkpoint, network, graph.quantization, provenance)
    verification = Verification(())
    size = 0
    try:
        with write_beside(output) as partial:
            partial.write_bytes(attach_metadata(graph.model, spec))
            verification = _verify(partial, checkpoint, graph, windows, tolerance)
            if not verification.passed:
                raise _NotVerifiedError
            partial.write_bytes(attach_metadata(graph.model, _with_quality(spec, verification)))
            Session(partial)  # the file as it ships loads in the runtime
            size = partial.stat().st_size
    except _NotVerifiedError:
        pass
    return Exported(verification, size, graph.quantization)


def _graph(
    checkpoint: Checkpoint, network: nn.Module, method: Method, scheme: Scheme, windows: VerificationWindows
) -> _Graph:
    if method in ("none", "fp16"):
        model = to_onnx(network, checkpoint.input_shape)
        if method == "fp16":
            store_as_float16(model)
        return _Graph(model, network, {"scheme": "fp16" if method == "fp16" else "float32"})
    ptq = method == "ptq"
    int8_model = choose_ranges(checkpoint, windows, scheme) if ptq else quantize_as_trained(checkpoint)
    model = to_onnx(int8_model.network, checkpoint.input_shape)
    return _Graph(model, int8_model.network, describe_int8(model, int8_model.scheme, int8_model.how))


def _verify(
    path: Path,
    checkpoint: Checkpoint,
    graph: _Graph,
    windows: VerificationWindows,
    tolerance: float,
) -> Verification:
    try:
        return verify(path, checkpoint, exported=graph.network, windows=windows, tolerance=tolerance)
    except ModelFileError as error:  # the runtime refuses the file, which is a failed check of the export
        return Verification((Check("loads in the runtime", 0, False, f"({error})"),))


def _with_quality(spec: ModelSpec, verification: Verification) -> ModelSpec:
    """The spec with the measured quality in its provenance."""
    if verification.quality is None:
        return spec
    quality = {**verification.quality.to_json(), "tolerance": verification.tolerance}
    if verification.quiet:
        quality["quiet"] = [accuracy.to_json() for accuracy in verification.quiet]
    return replace(spec, provenance={**spec.provenance, "quality": quality})
