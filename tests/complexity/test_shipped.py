"""An exported INT8 file reports, by the rule, the counts of its float network."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

import torch
from torch import nn

import runtime
from complexity import measure
from complexity.measurement import measure_onnx
from runtime.errors import ConfigError
from runtime.spec import FrontEndSpec
from train.checkpoints.model_pt import Checkpoint, save
from train.students import CPMobile

INCLUDED = sorted((Path(runtime.__file__).parent / "models").glob("*.onnx"))


def export(folder, run_room, method, **arguments):
    """A student with random weights through ``python -m export onnx``, in INT8."""
    torch.manual_seed(0)
    arguments = {"n_classes": 10, **arguments}
    network = CPMobile(**arguments)
    windows = torch.randn(10, 1, 256, 64)
    quantization = {}
    if method == "qat":
        from train.quantization.qat.network import QatNetwork
        from train.quantization.quantizer import PORTABLE

        qat_network = QatNetwork(network, (1, 1, 256, 64), PORTABLE)
        qat_network.observe(windows)
        quantization = qat_network.learned()
    checkpoint = Checkpoint(
        student="cp_mobile",
        arguments=arguments,
        frontend=FrontEndSpec.preset("cp_mel"),
        labels=tuple(f"class {index}" for index in range(10)),
        state_dict=network.state_dict(),
        calibration=windows.half(),
        calibration_targets=torch.arange(10),
        calibration_ids=tuple(map(str, range(10))),
        quantization=quantization,
    )
    save(checkpoint, folder / "model.pt")
    # an untrained network has no preference between labels, so INT8 may change any of them
    tolerance = ["--tolerance", "1"] if method == "ptq" else []
    process = run_room("export", "onnx", "--quantize", method, *tolerance, cwd=folder)
    assert process.returncode == 0, process.stdout + process.stderr
    return measure(network, checkpoint.input_shape), measure_onnx(folder / "model.onnx")


def test_a_converted_network_is_no_false_pass():
    pt2e = pytest.importorskip("torchao.quantization.pt2e.quantize_pt2e")
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    network, x = (
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).eval(),
        torch.randn(1, 1, 8, 8),
    )
    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = pt2e.prepare_pt2e(torch.export.export(network, (x,)).module(), quantizer)
    prepared(x)
    with pytest.raises(ConfigError, match="INT8"):
        measure(pt2e.convert_pt2e(prepared), x.shape)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "arguments"), [("ptq", {}), ("qat", {}), ("ptq", {"base_channels": 16, "grn": False})]
)
def test_int8_reports_the_counts_of_its_float_network(tmp_path, run_room, method, arguments):
    float_network, shipped = export(tmp_path, run_room, method, **arguments)
    assert (shipped.params, shipped.macs) == (float_network.params, float_network.macs)
    assert shipped.param_bytes == float_network.params <= 128_000
    assert shipped.within
    assert shipped.stored_dtype == "int8"
    # the graph has biases in int32 where the network has batch norm, and nothing else that is larger
    assert shipped.param_bytes_by_dtype["int8"] <= float_network.params
    # the exporter writes the first convolution on blocks of the input, and a strided average as a convolution
    assert 0 <= shipped.macs_deployed - float_network.macs_deployed < 0.05 * float_network.macs


@pytest.mark.skipif(not INCLUDED, reason="this checkout includes no model")
@pytest.mark.parametrize("path", INCLUDED, ids=lambda path: path.name)
def test_the_included_model_is_within_the_limits(path):
    report = measure_onnx(path)
    assert report.within
    assert report.stored_dtype == "int8"
    assert report.macs_deployed < 30_000_000
    assert report.file_bytes <= 180_000
