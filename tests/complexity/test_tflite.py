"""A .tflite file, written by hand with flatbuffers, against NeSsi's arithmetic."""

from __future__ import annotations

import pytest

tflite = pytest.importorskip("tflite")
flatbuffers = pytest.importorskip("flatbuffers")

from complexity.measurement import measure_tflite  # noqa: E402
from runtime.errors import ModelFileError  # noqa: E402

INT8, INT32 = tflite.TensorType.INT8, tflite.TensorType.INT32
OPS = tflite.BuiltinOperator


class Writer:
    """A TFLite model of one graph: tensors are (shape, type, is constant), operators read and write them."""

    def __init__(self):
        self.b = flatbuffers.Builder(1024)
        self.tensors, self.operators, self.codes = [], [], []

    def tensor(self, shape, kind=INT8, *, constant=False):
        self.tensors.append((shape, kind, constant))
        return len(self.tensors) - 1

    def operator(self, code, inputs, output, options=None):
        if code not in self.codes:
            self.codes.append(code)
        self.operators.append((self.codes.index(code), inputs, output, options))
        return output

    def save(self, path, inputs, outputs):
        b = self.b
        buffers = [self._buffer(0)] + [
            self._buffer(self._length(shape, kind) if constant else 0)
            for shape, kind, constant in self.tensors
        ]
        tensors = [
            self._tensor(index + 1, f"tensor{index}", shape, kind)
            for index, (shape, kind, _) in enumerate(self.tensors)
        ]
        operators = [self._operator(*operator) for operator in self.operators]
        codes = [self._code(code) for code in self.codes]
        vectors = {
            "tensors": self._offsets(tflite.SubGraphStartTensorsVector, tensors),
            "inputs": b.CreateNumpyVector(_int32(inputs)),
            "outputs": b.CreateNumpyVector(_int32(outputs)),
            "operators": self._offsets(tflite.SubGraphStartOperatorsVector, operators),
        }
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, vectors["tensors"])
        tflite.SubGraphAddInputs(b, vectors["inputs"])
        tflite.SubGraphAddOutputs(b, vectors["outputs"])
        tflite.SubGraphAddOperators(b, vectors["operators"])
        graphs = self._offsets(tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(b)])
        codes = self._offsets(tflite.ModelStartOperatorCodesVector, codes)
        buffers = self._offsets(tflite.ModelStartBuffersVector, buffers)
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, 3)
        tflite.ModelAddOperatorCodes(b, codes)
        tflite.ModelAddSubgraphs(b, graphs)
        tflite.ModelAddBuffers(b, buffers)
        b.Finish(tflite.ModelEnd(b), file_identifier=b"TFL3")
        path.write_bytes(bytes(b.Output()))
        return path

    def pool_options(self, height, width):
        tflite.Pool2DOptionsStart(self.b)
        tflite.Pool2DOptionsAddFilterHeight(self.b, height)
        tflite.Pool2DOptionsAddFilterWidth(self.b, width)
        return tflite.BuiltinOptions.Pool2DOptions, tflite.Pool2DOptionsEnd(self.b)

    def _offsets(self, start, offsets):
        start(self.b, len(offsets))
        for offset in reversed(offsets):
            self.b.PrependUOffsetTRelative(offset)
        return self.b.EndVector()

    @staticmethod
    def _length(shape, kind):
        length = 4 if kind == INT32 else 1
        for size in shape:
            length *= size
        return length

    def _buffer(self, length):
        data = self.b.CreateByteVector(bytes(length)) if length else None
        tflite.BufferStart(self.b)
        if data is not None:
            tflite.BufferAddData(self.b, data)
        return tflite.BufferEnd(self.b)

    def _tensor(self, buffer, name, shape, kind):
        name, shape = self.b.CreateString(name), self.b.CreateNumpyVector(_int32(shape))
        tflite.TensorStart(self.b)
        tflite.TensorAddShape(self.b, shape)
        tflite.TensorAddType(self.b, kind)
        tflite.TensorAddBuffer(self.b, buffer)
        tflite.TensorAddName(self.b, name)
        return tflite.TensorEnd(self.b)

    def _operator(self, code, inputs, output, options):
        inputs, outputs = self.b.CreateNumpyVector(_int32(inputs)), self.b.CreateNumpyVector(_int32([output]))
        tflite.OperatorStart(self.b)
        tflite.OperatorAddOpcodeIndex(self.b, code)
        tflite.OperatorAddInputs(self.b, inputs)
        tflite.OperatorAddOutputs(self.b, outputs)
        if options:
            tflite.OperatorAddBuiltinOptionsType(self.b, options[0])
            tflite.OperatorAddBuiltinOptions(self.b, options[1])
        return tflite.OperatorEnd(self.b)

    def _code(self, code):
        tflite.OperatorCodeStart(self.b)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(self.b, min(code, 127))
        tflite.OperatorCodeAddBuiltinCode(self.b, code)
        return tflite.OperatorCodeEnd(self.b)


def _int32(values):
    import numpy as np

    return np.asarray(values, np.int32)


def small_net(path, last=OPS.FULLY_CONNECTED, *, bias=True):
    """Convolution 1 -> 4, depthwise, average pool, sum with itself, mean, fully connected to 3."""
    w = Writer()
    x = w.tensor([1, 8, 6, 1])
    conv = w.operator(
        OPS.CONV_2D,
        [x, w.tensor([4, 3, 3, 1], constant=True), w.tensor([4], INT32, constant=True)],
        w.tensor([1, 8, 6, 4]),
    )
    deep = w.operator(
        OPS.DEPTHWISE_CONV_2D,
        [conv, w.tensor([1, 3, 3, 4], constant=True), w.tensor([4], INT32, constant=True)],
        w.tensor([1, 8, 6, 4]),
    )
    pool = w.operator(OPS.AVERAGE_POOL_2D, [deep], w.tensor([1, 4, 3, 4]), w.pool_options(2, 2))
    added = w.operator(OPS.ADD, [pool, pool], w.tensor([1, 4, 3, 4]))
    scaled = w.operator(OPS.MUL, [added, added], w.tensor([1, 4, 3, 4]))
    mean = w.operator(OPS.MEAN, [scaled, w.tensor([2], INT32, constant=True)], w.tensor([1, 4]))
    bias = w.tensor([3], INT32, constant=True) if bias else -1
    logits = w.operator(last, [mean, w.tensor([3, 4], constant=True), bias], w.tensor([1, 3]))
    return w.save(path, [x], [logits])


def test_counts_are_those_of_nessi(tmp_path):
    report = measure_tflite(small_net(tmp_path / "net.tflite"))
    # NeSsi's own tflite_tools print "Total MACs: 3,756", "Total weight size: 136" and a peak of 384 B
    assert (report.macs, report.param_bytes, report.peak_activation_bytes) == (3_756, 136, 384)
    assert report.params == 36 + 4 + 36 + 4 + 2 + 12 + 3
    assert report.param_bytes_by_dtype == {"int8": 36 + 36 + 12, "int32": 16 + 16 + 12}  # axes are none
    assert report.macs_deployed == 2 * 48 * 4 * 9 + 12
    assert [(item.kind, item.macs) for item in report.uncounted] == [("MUL", 48)]
    assert report.stored_dtype == "int8"


def test_a_layer_without_bias_is_read(tmp_path):  # which NeSsi's tools cannot read
    report = measure_tflite(small_net(tmp_path / "net.tflite", bias=False))
    assert (report.macs, report.param_bytes) == (3_756, 136 - 12)


def test_an_unknown_operator_is_named(tmp_path):
    with pytest.raises(ModelFileError, match="SVDF"):
        measure_tflite(small_net(tmp_path / "net.tflite", last=OPS.SVDF))


def test_damaged_files_are_refused(tmp_path):
    whole = small_net(tmp_path / "net.tflite").read_bytes()
    for length in (0, 6, 40, len(whole) // 2):
        path = tmp_path / "cut.tflite"
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            measure_tflite(path)
    with pytest.raises(ModelFileError, match=r"missing\.tflite"):
        measure_tflite(tmp_path / "missing.tflite")
