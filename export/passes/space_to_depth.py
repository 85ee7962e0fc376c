"""The first convolution, written so that integer kernels are fast at it.

Such a kernel gathers what a filter sees position by position, all channels of a position in one copy. A
log-mel has one channel: the stem of CP-Mobile, 1 % of its multiplications, took a sixth of its time in ONNX
Runtime. Here blocks of frames become channels, and the positions within a block become output channels. The
sums are the same, of the same integers; the weight is zero where a filter does not reach.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from export.passes.graph_edges import Arrows

BLOCK = 4  # frames; eight gain little more, and CP-Mobile would execute more than 30 million MACs


class _Stem(NamedTuple):
    """A convolution of one channel and what it stands between.

    Attributes:
        read: dequantizes its input.
        conv: the convolution.
        weight: dequantizes its weight.
        bias: dequantizes its bias, if it has one.
        write: quantizes its output.
    """

    read: onnx.NodeProto
    conv: onnx.NodeProto
    weight: onnx.NodeProto
    bias: onnx.NodeProto | None
    write: onnx.NodeProto


def read_frames_in_blocks(model: onnx.ModelProto) -> None:
    """Rewrite a quantized convolution of one channel, in place; a model without one stays as it is.

    Args:
        model: with activations [batch, channels, mels, frames] between ``QuantizeLinear`` and
            ``DequantizeLinear``. The first convolution is rewritten where whole blocks of frames give whole
            blocks of its output.
    """
    graph, arrows = model.graph, Arrows(model)
    stem = _find(arrows)
    if stem is None:
        return
    _, _, mels, frames = arrows.shapes[stem.conv.input[0]]
    _, channels, mels_out, frames_out = arrows.shapes[stem.conv.output[0]]
    attributes: dict[str, Any] = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1]}
    attributes |= {entry.name: helper.get_attribute_value(entry) for entry in stem.conv.attribute}
    (down, along), (top, left, bottom, _) = attributes["strides"], attributes["pads"]
    if frames % BLOCK or BLOCK % along or frames_out * along != frames or attributes["dilations"] != [1, 1]:
        return
    positions = BLOCK // along
    weight, before = _in_blocks(arrows.constants[stem.weight.input[0]], along, left)
    for node in (stem.weight, stem.bias):
        for index, name in enumerate(node.input if node else ()):
            repeated = (
                weight if node is stem.weight and not index else np.tile(arrows.constants[name], positions)
            )
            node.input[index] = _add_constant(graph, f"{name}:blocks", repeated)
    _drop_unused(graph)
    height, width = weight.shape[2:]
    del stem.conv.attribute[:]
    for name, values in (
        ("kernel_shape", [height, width]),
        ("pads", [top, before, bottom, width - 1 - before]),
        ("strides", [down, 1]),
    ):
        stem.conv.attribute.append(helper.make_attribute(name, values))

    log_mel, result = stem.read.input[0], stem.write.output[0]
    stem.read.input[0], stem.write.output[0] = f"{log_mel}:blocks", f"{result}:blocks"
    # [batch, 1, mels, frames] is [batch, mels, blocks, frames of a block] in memory
    _insert(graph, stem.read, before=True, nodes=[
        _reshape(graph, log_mel, f"{log_mel}:rows", [mels, frames // BLOCK, BLOCK]),
        helper.make_node("Transpose", [f"{log_mel}:rows"], [f"{log_mel}:blocks"], perm=[0, 3, 1, 2]),
    ])  # fmt: skip
    _insert(graph, stem.write, before=False, nodes=[
        helper.make_node("Transpose", [f"{result}:blocks"], [f"{result}:last"], perm=[0, 2, 3, 1]),
        _reshape(graph, f"{result}:last", f"{result}:rows", [mels_out, frames_out, channels]),
        helper.make_node("Transpose", [f"{result}:rows"], [result], perm=[0, 3, 1, 2]),
    ])  # fmt: skip


def _find(arrows: Arrows) -> _Stem | None:
    """The first convolution, where it is integer and has one input channel."""
    conv = next((node for node in arrows.nodes if node.op_type == "Conv"), None)
    if conv is None:
        return None
    sources = [arrows.maker.get(name) for name in conv.input]
    if any(node is None or node.op_type != "DequantizeLinear" for node in sources):
        return None  # it stays float
    read, weight, *bias = (node for node in sources if node is not None)
    after = arrows.users[conv.output[0]]
    while [node.op_type for node in after] == ["Relu"]:
        after = arrows.users[after[0].output[0]]
    if [node.op_type for node in after] != ["QuantizeLinear"] or len(arrows.users[read.output[0]]) > 1:
        return None
    if arrows.constants[weight.input[0]].shape[1] != 1 or arrows.shapes[conv.input[0]][1] != 1:
        return None
    return _Stem(read, conv, weight, bias[0] if bias else None, after[0])


def _in_blocks(weight: npt.NDArray[np.int8], stride: int, padding: int) -> tuple[npt.NDArray[np.int8], int]:
    """A weight along frames as one along blocks of frames.

    Args:
        weight: [out_channels, 1, height, width].
        stride: along frames; it divides `BLOCK`.
        padding: frames before the first one.

    Returns:
        The weight [positions in a block * out_channels, BLOCK, height, blocks], and how many of its blocks
        lie before the one that it writes.
    """
    channels, _, height, width = weight.shape
    positions = BLOCK // stride
    # which frame a tap reads, counted from the first frame of its block: [positions, width]
    frames = stride * np.arange(positions)[:, None] + np.arange(width) - padding
    before = -(int(frames.min()) // BLOCK)
    block, frame = frames // BLOCK + before, frames % BLOCK
    result = np.zeros((positions, channels, BLOCK, height, int(block.max()) + 1), np.int8)
    for position, tap in np.ndindex(positions, width):
        result[position, :, frame[position, tap], :, block[position, tap]] = weight[:, 0, :, tap]
    return result.reshape(positions * channels, *result.shape[2:]), before


def _reshape(graph: onnx.GraphProto, source: str, target: str, shape: list[int]) -> onnx.NodeProto:
    """A node that gives what follows the batch another shape."""
    whole = np.array([0, *shape], np.int64)  # 0 leaves the batch as it is
    return helper.make_node("Reshape", [source, _add_constant(graph, f"{target}:shape", whole)], [target])


def _add_constant(graph: onnx.GraphProto, name: str, value: npt.NDArray[Any]) -> str:
    """Add an initializer, unless it is there already; returns its name."""
    if name not in {tensor.name for tensor in graph.initializer}:
        graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    graph.ClearField("initializer")
    graph.initializer.extend(kept)


def _insert(
    graph: onnx.GraphProto, node: onnx.NodeProto, *, before: bool, nodes: list[onnx.NodeProto]
) -> None:
    """Put nodes before or after one of the graph."""
    place = list(graph.node).index(node) + (not before)
    for offset, new in enumerate(nodes):
        graph.node.insert(place + offset, new)
