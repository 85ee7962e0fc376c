"""A CED tagger in the layout that sherpa-onnx's audio tagging reads: features of any length to probabilities.

Source: github.com/k2-fsa/sherpa-onnx, ``csrc/offline-ced-model.cc`` and ``csrc/audio-tagging-label-file.cc``.
The input is float32 [batch, 64, frames], decibels of 64 mel bands that the package computes itself, and the
output is [batch, classes], probabilities. Labels are rows of ``class_labels_indices.csv``, in quotes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from export.onnx_graph import trace
from export.token_merging import without_merging
from export.verification.correctness import Check
from runtime.errors import ConfigError
from runtime.files import make_folder, write_beside
from runtime.model.session import run_unoptimized
from runtime.spec import FrontEndSpec
from train.checkpoints.model_pt import Checkpoint
from train.distillation.losses import soften
from train.teachers.ced import CED
from train.teachers.vit import PATCH

MODEL, LABELS = "model.onnx", "class_labels_indices.csv"
_INPUT, _OUTPUT, _PARTS, _OF_PARTS = "feats", "probs", "parts", "probs_of_parts"
_OPSET, _IR_VERSION = 18, 8  # the ONNX Runtime that older releases of the package contain is 1.17
_TOLERANCE = 1e-4  # in a probability


@dataclass(frozen=True)
class Written:
    """What `write` did.

    Attributes:
        model: the .onnx file; written where the check passed.
        labels: the table of labels beside it.
        check: of the file against torch.
    """

    model: Path
    labels: Path
    check: Check


class Tagger(nn.Module):
    """CED after its batch norm, which `to_sherpa` writes by hand: one part of a clip to probabilities."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.ced = cast("CED", checkpoint.build())
        self.temperature, self.task = checkpoint.temperature, checkpoint.task

    def forward(self, parts: Tensor) -> Tensor:
        """[parts, 64, frames] of at most ``target_frames`` -> probabilities [parts, classes]."""
        return soften(self.ced.logits_of_part(parts.unsqueeze(1)), self.temperature, self.task)

    def of_clips(self, features: Tensor) -> Tensor:
        """What the file computes, in torch: [batch, 64, frames] -> the mean over parts [batch, classes]."""
        x, length = self.ced.normalized(features.unsqueeze(1)).squeeze(1), self.ced.target_frames
        length = min(length, x.shape[2])
        parts = torch.split(F.pad(x, (0, -x.shape[2] % length)), length, dim=2)
        return torch.stack([self(part) for part in parts]).mean(dim=0)


def write(checkpoint: Checkpoint, folder: Path) -> Written:
    """Write ``model.onnx`` and ``class_labels_indices.csv``, which the package reads together.

    Args:
        checkpoint: a CED; where it merges tokens it is exported without merging.
        folder: made where there is none.

    Raises:
        ConfigError: for another network or front end, or where the folder cannot be made.
    """
    ced = FrontEndSpec.preset("ced_mel")
    if checkpoint.student != "ced" or checkpoint.frontend != ced:
        raise ConfigError(
            f"sherpa-onnx computes the features of CED, and this is a {checkpoint.student} with a front end "
            f"of {checkpoint.frontend.n_mels} mels: give a ced with ced_mel."
        )
    tagger = Tagger(without_merging(checkpoint)).eval()
    model = to_sherpa(tagger, len(checkpoint.labels))
    check = _check(model, tagger)
    written = Written(folder / MODEL, folder / LABELS, check)
    if check.passed:
        make_folder(folder)
        with write_beside(written.labels) as partial:
            partial.write_text(_label_table(checkpoint.labels), encoding="utf-8")
        with write_beside(written.model) as partial:
            partial.write_bytes(model.SerializeToString())
    return written


def to_sherpa(tagger: Tagger, classes: int) -> onnx.ModelProto:
    """The graph: batch norm, the cut into parts, the network, and the mean over parts.

    A clip of up to ``target_frames`` is one part of its own length; a longer one is filled with zeros to a
    multiple of it, as `train.teachers.ced.CED` does.
    """
    longest = tagger.ced.target_frames
    free = {0: torch.export.Dim("parts"), 2: torch.export.Dim("frames", min=PATCH, max=longest)}
    model = trace(
        tagger, torch.zeros(2, 64, min(100, longest)), free, (_PARTS, _OF_PARTS), _OPSET, _IR_VERSION
    )
    graph = model.graph
    constants, before, after = _cutting(tagger.ced, classes)
    network = list(graph.node)
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend([*before, *network, *after])
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    graph.input.append(helper.make_tensor_value_info(_INPUT, TensorProto.FLOAT, ["batch", 64, "frames"]))
    graph.output.append(helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, ["batch", classes]))
    onnx.checker.check_model(model, full_check=True)
    return model


def _cutting(
    ced: CED, classes: int
) -> tuple[dict[str, np.ndarray], list[onnx.NodeProto], list[onnx.NodeProto]]:
    """Constants, the nodes before the network and the nodes after it."""
    scale, shift = ced.normalization()
    constants = {
        "bn_scale": scale.reshape(1, 64, 1).numpy(), "bn_shift": shift.reshape(1, 64, 1).numpy(),
        "longest": np.array([ced.target_frames]), "one": np.array([1]), "bands": np.array([64]),
        "any": np.array([-1]), "no_padding": np.zeros(5, np.int64), "classes": np.array([classes]),
    }  # fmt: skip
    node = helper.make_node
    before = [
        node("Mul", [_INPUT, "bn_scale"], ["scaled"]),
        node("Add", ["scaled", "bn_shift"], ["normalized"]),
        node("Shape", ["normalized"], ["clips"], start=0, end=1),
        node("Shape", ["normalized"], ["time"], start=2, end=3),
        node("Min", ["time", "longest"], ["length"]),
        node("Sub", ["length", "one"], ["length_less_one"]),
        node("Add", ["time", "length_less_one"], ["time_rounded_up"]),
        node("Div", ["time_rounded_up", "length"], ["count"]),
        node("Mul", ["count", "length"], ["filled_time"]),
        node("Sub", ["filled_time", "time"], ["missing"]),
        node("Concat", ["no_padding", "missing"], ["padding"], axis=0),
        node("Pad", ["normalized", "padding"], ["filled"]),
        node("Concat", ["clips", "bands", "count", "length"], ["cut_shape"], axis=0),
        node("Reshape", ["filled", "cut_shape"], ["cut"]),
        node("Transpose", ["cut"], ["cut_of_clips"], perm=[0, 2, 1, 3]),
        node("Concat", ["any", "bands", "length"], ["parts_shape"], axis=0),
        node("Reshape", ["cut_of_clips", "parts_shape"], [_PARTS]),
    ]
    after = [
        node("Concat", ["clips", "count", "classes"], ["joined_shape"], axis=0),
        node("Reshape", [_OF_PARTS, "joined_shape"], ["joined"]),
        node("ReduceMean", ["joined", "one"], [_OUTPUT], keepdims=0),
    ]
    return constants, before, after


@torch.no_grad()
def _check(model: onnx.ModelProto, tagger: Tagger) -> Check:
    """The largest difference of a probability from torch, on clips of one part and of several."""
    generator, longest = torch.Generator().manual_seed(0), tagger.ced.target_frames
    data, worst = model.SerializeToString(), 0.0
    for clips, frames in ((2, 50), (1, longest), (1, 2 * longest + 7)):
        features = 20 * torch.randn(clips, 64, frames, generator=generator) - 30  # decibels
        found = run_unoptimized(data, features.numpy(), (_OUTPUT,), _INPUT)[0]
        worst = max(worst, float(np.abs(found - tagger.of_clips(features).numpy()).max()))
    note = f"in a probability, {_TOLERANCE:g} allowed"
    return Check("as written against torch", worst, worst <= _TOLERANCE, note)


def _label_table(labels: tuple[str, ...]) -> str:
    """Index, identifier (none is known) and name, by the package's own simple rules for quotation marks."""
    rows = [f'{index},,"{label}"' for index, label in enumerate(labels)]
    return "\n".join(["index,mid,display_name", *rows]) + "\n"
