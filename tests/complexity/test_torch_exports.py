"""What `measure` takes as a torch module it takes as the ONNX file that torch exports, and counts alike."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

from complexity import measure  # noqa: E402
from complexity.measurement import measure_onnx  # noqa: E402


class Function(nn.Module):
    """A network without modules."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def spectrum(x):
    return torch.stft(x, 64, 32, window=torch.hann_window(64), return_complex=True).abs()


def encoder():
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)


ACTIVATIONS = [
    nn.ReLU6(), nn.LeakyReLU(), nn.ELU(), nn.SELU(), nn.GELU(), nn.SiLU(), nn.Mish(), nn.Hardswish(),
    nn.Hardsigmoid(), nn.Sigmoid(), nn.Tanh(), nn.Softplus(), nn.Softsign(), nn.Hardtanh(), nn.LogSigmoid(),
    nn.PReLU(),
]  # fmt: skip
OLD, NEW = "TorchScript exporter", "torch.export exporter"

# networks whose operators both exporters keep as they are: all counts agree
SAME = {
    "convolutions": (nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU6()), (1, 1, 8, 8), OLD),
    "conv1d": (nn.Conv1d(3, 4, 3, stride=2), (1, 3, 16), OLD),
    "conv3d": (nn.Conv3d(2, 4, 3), (1, 2, 5, 6, 7), OLD),
    "transposed": (nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=1), (1, 3, 6, 7), OLD),
    "pools": (
        nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(2), nn.LPPool2d(2, 2), nn.AdaptiveAvgPool2d(1)),
        (1, 2, 16, 16),
        OLD,
    ),
    "pads": (nn.Sequential(nn.ReflectionPad2d(1), nn.ReplicationPad2d(1)), (1, 2, 8, 8), OLD),
    "nearest upsampling": (nn.Upsample(scale_factor=2), (1, 2, 8, 8), OLD),
    "linear upsampling": (nn.Upsample(scale_factor=2, mode="linear"), (1, 2, 8), OLD),
    "bilinear upsampling": (nn.Upsample(size=(11, 13), mode="bilinear"), (1, 2, 8, 8), NEW),
    "bicubic upsampling": (nn.Upsample(scale_factor=2, mode="bicubic"), (1, 2, 8, 8), OLD),
    "grid": (Function(lambda x: F.grid_sample(x, x[:, :2].permute(0, 2, 3, 1))), (1, 2, 8, 8), OLD),
    "moves": (Function(lambda x: torch.stack(x.roll(1, 1).flip(1).chunk(2, -1))), (1, 5, 8), OLD),
    "fft": (Function(lambda x: torch.fft.irfft(torch.fft.rfft(x))), (1, 64), NEW),
    "spectrum": (Function(spectrum), (1, 640), NEW),
}
# networks with operators that an exporter takes apart or puts together: products agree
SIMILAR = {
    "norms": (
        nn.Sequential(nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True), nn.LayerNorm(6)),
        (1, 4, 6, 6),
        OLD,
    ),
    "activations": (nn.Sequential(*ACTIVATIONS), (1, 4, 8), NEW),
    "lstm": (nn.LSTM(6, 4, batch_first=True, bidirectional=True), (1, 5, 6), OLD),
    "gru": (nn.GRU(6, 4, num_layers=2, batch_first=True), (1, 5, 6), OLD),
    "attention, opset 17": (nn.Sequential(encoder()), (1, 5, 8), OLD),
    "attention": (encoder(), (1, 5, 8), NEW),
    "embedding": (nn.Embedding(10, 4), (1, 5), OLD),
    "einsum": (Function(lambda x: torch.einsum("bti,bsi->bts", x, x)), (1, 5, 8), OLD),
    "reductions": (Function(lambda x: x.std(1) + x.logsumexp(1) + x.amax(1) * x.prod(1)), (1, 5, 8), OLD),
    "order": (Function(lambda x: x.gather(1, x.argsort(1)).topk(2)[0].cumsum(1)), (1, 5, 8), OLD),
    "one hot": (Function(lambda x: F.one_hot(x.argmax(-1), 8).float()), (1, 5, 8), OLD),
}


def export(network, shape, folder, exporter):
    dtype = torch.int64 if isinstance(network, nn.Embedding) else torch.float32
    options = {"dynamo": True} if exporter == NEW else {"dynamo": False, "opset_version": 17}
    path = folder / "net.onnx"
    torch.onnx.export(network.eval(), (torch.zeros(shape, dtype=dtype),), path, verbose=False, **options)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*SAME, *SIMILAR])
def test_the_export_of_a_network_counts_as_the_network(tmp_path, name):
    network, shape, exporter = {**SAME, **SIMILAR}[name]
    expected = measure(network, shape)
    report = measure_onnx(export(network, shape, tmp_path, exporter))
    assert report.macs_deployed == expected.macs_deployed
    if name in SAME:
        assert report.elementwise_ops == expected.elementwise_ops
