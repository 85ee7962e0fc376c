"""Space-to-depth pass: rewrite a one-channel first convolution so that integer kernels run it fast.

An integer kernel gathers the input of a filter position by position, and copies all channels of a position at
once. A log-mel has one channel, so the first convolution of CP-Mobile, 1 % of its multiplications, took a
sixth of its time in ONNX Runtime. This pass turns blocks of frames into input channels, and the positions
within a block into output channels. The sums are the same sums of the same integers; the weight is zero where
a filter does not reach.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from export.passes.graph_edges import GraphEdges
from export.passes.graph_editing import add_constant, drop_unused, insert

BLOCK = 4  # frames; eight gain little more, and CP-Mobile would execute more than 30 million MACs


class _FirstConvolution(NamedTuple):
    """A convolution of one input channel and the nodes around it.

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


class _Geometry(NamedTuple):
    """Sizes, strides and padding of a convolution: height is mels, width is frames."""

    mels: int
    frames: int
    channels: int
    mels_out: int
    frames_out: int
    strides: tuple[int, int]
    top: int
    left: int
    bottom: int


def space_to_depth(model: onnx.ModelProto) -> None:
    """Rewrite a quantized convolution of one channel, in place; a model without one is left unchanged.

    Args:
        model: with activations [batch, channels, mels, frames] between ``QuantizeLinear`` and
            ``DequantizeLinear``. The first convolution is rewritten where frames and stride divide into whole
            blocks.
    """
    edges = GraphEdges(model)
    first = _find(edges)
    geometry = _geometry(first, edges) if first else None
    if first is None or geometry is None:
        return
    positions = BLOCK // geometry.strides[1]
    weight, before = _in_blocks(edges.constants[first.weight.input[0]], geometry.strides[1], geometry.left)
    for node in (first.weight, first.bias):
        if node is None:
            continue
        for index, name in enumerate(node.input):
            is_weight = node is first.weight and not index
            value = weight if is_weight else np.tile(edges.constants[name], positions)
            node.input[index] = add_constant(model.graph, f"{name}:blocks", value)
    drop_unused(model.graph)
    _set_attributes(first.conv, geometry, weight.shape[2:], before)
    _change_layout(model.graph, first, geometry)


def _geometry(first: _FirstConvolution, edges: GraphEdges) -> _Geometry | None:
    """The geometry of the convolution; None where its frames do not divide into whole blocks."""
    _, _, mels, frames = edges.shapes[first.conv.input[0]]
    _, channels, mels_out, frames_out = edges.shapes[first.conv.output[0]]
    attributes: dict[str, Any] = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1]}
    attributes |= {entry.name: helper.get_attribute_value(entry) for entry in first.conv.attribute}
    (down, along), (top, left, bottom, _) = attributes["strides"], attributes["pads"]
    if frames % BLOCK or BLOCK % along or frames_out * along != frames or attributes["dilations"] != [1, 1]:
        return None
    return _Geometry(mels, frames, channels, mels_out, frames_out, (down, along), top, left, bottom)


def _set_attributes(conv: onnx.NodeProto, geometry: _Geometry, kernel: tuple[int, ...], before: int) -> None:
    height, width = kernel
    del conv.attribute[:]
    for name, values in (
        ("kernel_shape", [height, width]),
        ("pads", [geometry.top, before, geometry.bottom, width - 1 - before]),
        ("strides", [geometry.strides[0], 1]),
    ):
        conv.attribute.append(helper.make_attribute(name, values))


def _change_layout(graph: onnx.GraphProto, first: _FirstConvolution, geometry: _Geometry) -> None:
    """Turn blocks into channels before the convolution, and channels into positions after it."""
    log_mel, result = first.read.input[0], first.write.output[0]
    first.read.input[0], first.write.output[0] = f"{log_mel}:blocks", f"{result}:blocks"
    # in memory, [batch, 1, mels, frames] is [batch, mels, blocks, frames of a block]
    insert(graph, first.read, before=True, nodes=[
        _reshape(graph, log_mel, f"{log_mel}:rows", [geometry.mels, geometry.frames // BLOCK, BLOCK]),
        helper.make_node("Transpose", [f"{log_mel}:rows"], [f"{log_mel}:blocks"], perm=[0, 3, 1, 2]),
    ])  # fmt: skip
    rows = [geometry.mels_out, geometry.frames_out, geometry.channels]
    insert(graph, first.write, before=False, nodes=[
        helper.make_node("Transpose", [f"{result}:blocks"], [f"{result}:last"], perm=[0, 2, 3, 1]),
        _reshape(graph, f"{result}:last", f"{result}:rows", rows),
        helper.make_node("Transpose", [f"{result}:rows"], [result], perm=[0, 3, 1, 2]),
    ])  # fmt: skip


def _find(edges: GraphEdges) -> _FirstConvolution | None:
    """The first convolution, where it is integer and has one input channel."""
    conv = next((node for node in edges.nodes if node.op_type == "Conv"), None)
    if conv is None:
        return None
    sources = [edges.producer.get(name) for name in conv.input]
    if any(node is None or node.op_type != "DequantizeLinear" for node in sources):
        return None  # a float layer
    read, weight, *bias = (node for node in sources if node is not None)
    after = edges.consumers[conv.output[0]]
    while [node.op_type for node in after] == ["Relu"]:
        after = edges.consumers[after[0].output[0]]
    if [node.op_type for node in after] != ["QuantizeLinear"] or len(edges.consumers[read.output[0]]) > 1:
        return None
    if edges.constants[weight.input[0]].shape[1] != 1 or edges.shapes[conv.input[0]][1] != 1:
        return None
    return _FirstConvolution(read, conv, weight, bias[0] if bias else None, after[0])


def _in_blocks(weight: npt.NDArray[np.int8], stride: int, padding: int) -> tuple[npt.NDArray[np.int8], int]:
    """A weight along frames as one along blocks of frames.

    Args:
        weight: [out_channels, 1, height, width].
        stride: along frames; it divides `BLOCK`.
        padding: frames before the first one.

    Returns:
        The weight [positions in a block * out_channels, BLOCK, height, blocks], and how many of its blocks
        precede the one that it writes.
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
    full_shape = np.array([0, *shape], np.int64)  # 0 copies the batch dimension
    name = add_constant(graph, f"{target}:shape", full_shape)
    return helper.make_node("Reshape", [source, name], [target])
