"""Teachers as files for the runtime: taggers of ten seconds, in float32 and with float16 weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch

from export.cli.main import main
from runtime import load_model
from runtime.errors import ConfigError
from runtime.model.session import Session
from runtime.spec import FrontEndSpec
from tests.train.teachers.tiny import TINY
from train import networks
from train.checkpoints import model_pt
from train.checkpoints.detect_student import front_end_of
from train.cli.main import main as train

SECONDS = {"ced": 10.0}  # of the others 1 s: the same path, less time


def _save(folder, name, **arguments) -> str:
    torch.manual_seed(0)
    arguments = {**TINY[name], "n_classes": 4, **arguments}
    network = networks.build(name, arguments)
    spec = FrontEndSpec.preset(front_end_of(name, arguments))
    clip_s = SECONDS.get(name, 1.0)
    model = model_pt.Checkpoint(
        name, arguments, spec, ("a", "b", "c", "d"), network.state_dict(), task="multi_label", clip_s=clip_s
    )
    model_pt.save(model, folder / "model.pt")
    return str(folder / "model.pt")


@pytest.mark.parametrize(("name", "scheme"), [*((name, "none") for name in TINY), ("mobilenet", "fp16")])
def test_a_teacher_becomes_a_verified_file(name, scheme, tmp_path, capsys):
    path = _save(tmp_path, name)
    assert main(["onnx", path, "--quantize", scheme]) == 0
    assert "PASS" in capsys.readouterr().out
    session = Session(tmp_path / "model.onnx")
    model = model_pt.load(path)
    assert session.spec.clip_s == SECONDS.get(name, 1.0) and session.spec.task == "multi_label"
    log_mel = torch.randn(model.input_shape)
    with torch.no_grad():
        expected = model.build()(log_mel).numpy()
    tolerance = 1e-4 if scheme == "none" else 0.05
    np.testing.assert_allclose(session.logits(log_mel.numpy()), expected, atol=tolerance)


def test_the_runtime_and_train_tag_agree_on_a_window(tmp_path, capsys):
    path = _save(tmp_path, "ced")
    noise = (0.1 * np.random.default_rng(0).standard_normal(160_000)).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", noise, 16_000, subtype="FLOAT")
    assert main(["onnx", path]) == 0
    capsys.readouterr()
    assert train(["tag", "--checkpoint", path, str(tmp_path / "noise.wav"), "--json"]) == 0
    tags = json.loads(capsys.readouterr().out)["tags"]
    prediction = load_model(tmp_path / "model.onnx").classify(noise, 16_000)
    assert prediction.scores.keys() == tags.keys()
    for label, probability in tags.items():
        assert prediction.scores[label] == pytest.approx(probability, abs=1e-4)


@pytest.mark.parametrize("name", ["ast", "beats", "ced", "passt"])
def test_transformers_are_not_quantized(name, tmp_path):
    path = _save(tmp_path, name)
    model = model_pt.load(path)
    windows = torch.zeros(2, *model.input_shape[1:]).half()
    held = {
        "calibration": windows, "calibration_ids": ("a", "b"), "calibration_targets": torch.zeros(2).long()
    }  # fmt: skip
    model_pt.save(model_pt.Checkpoint(**{**vars(model), **held}), path)
    for command in (["onnx", path, "--quantize", "ptq"], ["sensitivity", path]):
        with pytest.raises(ConfigError, match=f"A {name} cannot be quantized .* `--quantize fp16`"):
            main(command)
    recipe = ["--config", "train/recipes/synthetic_demo.yaml", "--checkpoint", path]
    with pytest.raises(ConfigError, match="cannot be quantized"):
        train(["qat", *recipe])


def test_a_fine_tuned_transformer_is_exported_in_float_by_default(tmp_path, capsys):
    path = _save(tmp_path, "ced")
    model = model_pt.load(path)
    windows = torch.randn(4, *model.input_shape[1:]).half()
    held = {
        "calibration": windows[:2], "calibration_ids": ("a", "b"),
        "calibration_targets": torch.tensor([0, 1]),
        "verification": windows[2:], "verification_ids": ("c", "d"),
        "verification_targets": torch.eye(4, dtype=torch.uint8)[:2],
    }  # fmt: skip
    model_pt.save(model_pt.Checkpoint(**{**vars(model), **held}), path)
    assert main(["onnx", path]) == 0
    printed = capsys.readouterr().out
    assert "'float32'" in printed and "quality on 2 windows" in printed


def test_attention_with_a_bias_and_several_heads_becomes_a_verified_file(tmp_path, capsys):
    """The miniatures have one head, of which torch's exporter can make a view."""
    assert main(["onnx", _save(tmp_path, "beats", dim=128), "--quantize", "none"]) == 0
    assert "PASS" in capsys.readouterr().out


def test_a_merging_network_that_is_not_verified_is_exported_without_merging(tmp_path, capsys):
    """Random weights make many pairs of tokens nearly equally similar, of which two runtimes merge others."""
    path = _save(tmp_path, "ced", merge_r=8)
    assert main(["onnx", path]) == 1 and not (tmp_path / "model.onnx").exists()
    printed = capsys.readouterr().out
    assert "merge_r=8" in printed and "--without-merging" in printed
    assert main(["onnx", path, "--without-merging"]) == 0
    model = model_pt.load(path)
    plain = networks.build("ced", {**model.arguments, "merge_r": 0}).eval()
    plain.load_state_dict(model.state_dict)
    log_mel = torch.randn(model.input_shape)
    with torch.no_grad():
        expected = plain(log_mel).numpy()
    np.testing.assert_allclose(Session(tmp_path / "model.onnx").logits(log_mel.numpy()), expected, atol=1e-4)
    assert main(["verify", str(tmp_path / "model.onnx"), "--against", path]) == 0
