"""CED in the layout of sherpa-onnx: the package itself reads the file and gives torch's tags."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from export.cli.main import main
from export.sherpa import write
from runtime.errors import ConfigError
from runtime.model.session import run_optimized, run_unoptimized
from runtime.spec import FrontEndSpec
from train import networks
from train.checkpoints import model_pt
from train.tagging import Tagger

LABELS = (*(f"sound {index}" for index in range(18)), "Child speech, kid speaking", 'The "other" one')
CED = FrontEndSpec.preset("ced_mel")


def _ced(**fields) -> model_pt.Checkpoint:
    """A miniature with random weights, whose batch norm is that of decibels."""
    torch.manual_seed(0)
    arguments = {"dim": 64, "depth": 2, "n_classes": len(LABELS), **fields.pop("arguments", {})}
    network = networks.build("ced", arguments)
    network.init_bn[1].running_mean.normal_(-30, 3)
    network.init_bn[1].running_var.uniform_(200, 400)
    torch.nn.init.normal_(network.outputlayer[1].weight, std=0.2)
    fields = {"task": "multi_label", "clip_s": 10.0, "frontend": CED, **fields}
    return model_pt.Checkpoint("ced", arguments, labels=LABELS, state_dict=network.state_dict(), **fields)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The exported folder of `_ced`, by the command."""
    root = tmp_path_factory.mktemp("sherpa")
    model_pt.save(_ced(), root / "model.pt")
    assert main(["sherpa", str(root / "model.pt")]) == 0
    return root / "sherpa"


def _signals() -> dict[str, np.ndarray]:
    t, rng = np.arange(16_000 * 4) / 16_000, np.random.default_rng(0)
    return {
        "noise": 0.1 * rng.standard_normal(len(t)),
        "hum": 0.3 * np.sin(2 * np.pi * 110 * t) + 0.001 * rng.standard_normal(len(t)),
        "chirp": 0.5 * np.sin(2 * np.pi * (200 * t + 800 * t**2)) + 0.001 * rng.standard_normal(len(t)),
        "clicks": np.where(np.arange(len(t)) % 4000 < 40, 0.5, 0.001) * rng.standard_normal(len(t)),
    }


def test_sherpa_onnx_gives_the_tags_of_torch(folder):
    sherpa_onnx = pytest.importorskip("sherpa_onnx", reason="the package sherpa-onnx is not installed")
    config = sherpa_onnx.AudioTaggingConfig(
        model=sherpa_onnx.AudioTaggingModelConfig(ced=str(folder / "model.onnx"), num_threads=1),
        labels=str(folder / "class_labels_indices.csv"), top_k=len(LABELS),
    )  # fmt: skip
    assert config.validate()
    package, ours = sherpa_onnx.AudioTagging(config), Tagger(_ced())
    tops = set()
    for name, samples in _signals().items():
        samples = samples.astype(np.float32)
        stream = package.create_stream()
        stream.accept_waveform(16_000, samples)
        found = {event.name: event.prob for event in package.compute(stream)}
        (expected,) = ours.windows(samples)
        assert list(found)[:3] == list(expected.top(3)), name
        # the package's frames lie half a hop later, and its triangles are linear in mel
        for label, probability in expected.probabilities.items():
            assert found[label] == pytest.approx(probability, abs=0.1), (name, label)
        tops.add(next(iter(found)))
    assert len(tops) > 1  # the signals do not all give the same tag


@pytest.mark.parametrize(("clips", "frames"), [(1, 16), (3, 401), (2, 1012), (1, 1013), (2, 2500)])
def test_a_clip_of_any_length_gives_the_probabilities_of_torch(folder, clips, frames):
    data, network = (folder / "model.onnx").read_bytes(), _ced().build()
    decibels = 20 * torch.randn(clips, 64, frames) - 30
    with torch.no_grad():
        expected = network(decibels.unsqueeze(1)).sigmoid().numpy()
    for run in (run_unoptimized, lambda model, x, *names: _optimized(model, x)):
        found = run(data, decibels.numpy(), ("probs",), "feats")[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def _optimized(data: bytes, decibels: np.ndarray) -> list[np.ndarray]:
    model = onnx.load_from_string(data)  # `run_optimized` feeds log_mel
    for node in model.graph.node:
        node.input[:] = ["log_mel" if name == "feats" else name for name in node.input]
    model.graph.input[0].name = "log_mel"
    return run_optimized(model.SerializeToString(), decibels, ("probs",))


def test_the_file_has_the_layout_of_the_package_and_no_path_of_this_machine(folder):
    model = onnx.load(folder / "model.onnx")
    (x,), (y,) = model.graph.input, model.graph.output
    assert [d.dim_value or d.dim_param for d in x.type.tensor_type.shape.dim] == ["batch", 64, "frames"]
    assert [d.dim_value or d.dim_param for d in y.type.tensor_type.shape.dim] == ["batch", len(LABELS)]
    assert model.opset_import[0].version <= 18 and model.ir_version <= 9
    assert not any(node.metadata_props for node in model.graph.node)
    rows = (folder / "class_labels_indices.csv").read_text().splitlines()
    assert rows[0] == "index,mid,display_name" and len(rows) == 1 + len(LABELS)
    assert tuple(row.split(",", 2)[2][1:-1] for row in rows[1:]) == LABELS
    assert rows[19] == '18,,"Child speech, kid speaking"'


def test_a_network_of_one_label_a_clip_gives_a_softmax(tmp_path):
    checkpoint = _ced(task="single_label", temperature=2.0, arguments={"merge_r": 4, "target_frames": 64})
    written = write(checkpoint, tmp_path)
    assert written.check.passed
    decibels = 20 * torch.randn(1, 64, 60) - 30
    plain = networks.build("ced", {**checkpoint.arguments, "merge_r": 0}).eval()
    plain.load_state_dict(checkpoint.state_dict)
    with torch.no_grad():
        expected = (plain(decibels.unsqueeze(1)) / 2).softmax(1).numpy()
    found = run_unoptimized(written.model.read_bytes(), decibels.numpy(), ("probs",), "feats")[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_another_network_or_front_end_is_refused(tmp_path):
    torch.manual_seed(0)
    passt = networks.build("passt", {"dim": 64, "depth": 2, "n_classes": 3})
    other = model_pt.Checkpoint("passt", {}, FrontEndSpec.preset("passt_mel"), ("a",), passt.state_dict())
    for checkpoint in (other, _ced(frontend=FrontEndSpec.preset("ast_fbank"))):
        with pytest.raises(ConfigError, match=f"a {checkpoint.student} with a front end of 128 mels"):
            write(checkpoint, tmp_path)
