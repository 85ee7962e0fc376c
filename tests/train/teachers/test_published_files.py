"""`train import` of the teachers' files: random weights in the published layouts give the same function."""

from __future__ import annotations

import pytest
import torch

from runtime.errors import TinysceneError
from runtime.spec import FrontEndSpec
from tests.train.teachers.tiny import TINY
from train import networks
from train.checkpoints import model_pt
from train.checkpoints.published import import_weights, main

LABELS = ("a", "b", "c")


def _network(name: str, **arguments) -> torch.nn.Module:
    torch.manual_seed(0)
    return networks.build(name, {**TINY[name], "n_classes": 3, **arguments}).eval()


def _prefixed(state, prefix):
    return {prefix + key: value for key, value in state.items()}


def _cp_resnet(state):
    return state


def _passt(state):
    return {"model": {**state, "head_dist.weight": torch.ones(3, 64), "head_dist.bias": torch.ones(3)}}


def _ast(state):
    unused = {
        f"v.{head}.{part}": torch.ones(9) for head in ("head", "head_dist") for part in ("weight", "bias")
    }
    return _prefixed({**state, **unused}, "module.")


def _ced(state):
    buffers = {
        "front_end.0.spectrogram.window": torch.ones(512),
        "front_end.0.mel_scale.fb": torch.ones(257, 64),
    }
    return {"model": {**buffers, **state}}


def _microsoft(state):
    return {"cfg": {"max_distance": 800, "deep_norm": True, "encoder_layers": 2}, "model": state}


def _easy_dcase(state):
    head = {f"backbone.classifier.linear.{part}": state[f"predictor.{part}"] for part in ("weight", "bias")}
    encoder = {key: value for key, value in state.items() if not key.startswith("predictor")}
    return {"state_dict": {**_prefixed(encoder, "backbone.encoder."), **head}}


@pytest.mark.parametrize(
    ("name", "layout", "frontend", "facts"),
    [
        ("cp_resnet", _cp_resnet, "cp_mel_hop750", ["cpjku_dcase23"]),
        ("passt", _passt, "passt_mel", ["head_dist.weight", "u_patchout"]),
        ("ast", _ast, "ast_fbank", ["v.head.weight", "'module.'", "YuanGongND/ast"]),
        ("ced", _ced, "ced_mel", ["front_end.0.mel_scale.fb", "GPL-3.0"]),
        ("beats", _microsoft, "beats_fbank", ["microsoft/unilm", '"max_distance": 800']),
        ("beats", _easy_dcase, "beats_fbank", ["easy_dcase_task1", "assumed the default max_distance"]),
    ],
)
def test_published_layouts_are_known_by_their_keys(tmp_path, capsys, name, layout, frontend, facts):
    network = _network(name)
    torch.save(layout(network.state_dict()), tmp_path / "weights.pt")
    ((path, model),) = import_weights(tmp_path / "weights.pt", tmp_path / "model.pt", LABELS)
    model_pt.save(model, path)
    model = model_pt.load(path)
    assert model.student == name and model.frontend == FrontEndSpec.preset(frontend)
    x = torch.randn(model.input_shape)
    with torch.no_grad():
        torch.testing.assert_close(model.build()(x), network(x), rtol=0, atol=0)
    printed = capsys.readouterr().err
    assert all(fact in printed for fact in facts), printed


def test_taggers_of_audioset_are_multi_label_on_ten_seconds(tmp_path):
    labels = ",".join(f"label {index}" for index in range(527))
    torch.save(_network("ced", n_classes=527).state_dict(), tmp_path / "weights.pt")
    paths = [str(tmp_path / "weights.pt"), "-o", str(tmp_path / "model.pt")]
    assert main([*paths, "--labels", labels]) == 0
    model = model_pt.load(tmp_path / "model.pt")
    assert (model.task, model.clip_s, model.input_shape) == ("multi_label", 10.0, (1, 1, 64, 1001))
    assert main([*paths, "--labels", labels, "--task", "single_label", "--clip_s", "2"]) == 0
    model = model_pt.load(tmp_path / "model.pt")
    assert (model.task, model.clip_s) == ("single_label", 2.0)


def test_a_pre_trained_beats_is_given_a_head(tmp_path, capsys):
    state = {k: v for k, v in _network("beats").state_dict().items() if not k.startswith("predictor")}
    torch.save({"cfg": {"max_distance": 1280}, "model": state}, tmp_path / "weights.pt")
    ((_, model),) = import_weights(tmp_path / "weights.pt", tmp_path / "model.pt", LABELS)
    assert model.arguments["max_distance"] == 1280 and model.arguments["n_classes"] == 3
    assert model.build().predictor.weight.shape == (3, 64)
    assert "predictor.weight" in capsys.readouterr().err


def test_a_beats_of_another_build_is_refused(tmp_path):
    torch.save(
        {"cfg": {"deep_norm": False}, "model": _network("beats").state_dict()}, tmp_path / "weights.pt"
    )
    with pytest.raises(TinysceneError, match="deep_norm=False"):
        import_weights(tmp_path / "weights.pt", tmp_path / "model.pt", LABELS)


@pytest.mark.parametrize(("stride", "patches"), [(10, 12 * 50), (12, 10 * 85), (14, 9 * 73), (16, 8 * 64)])
def test_strides_of_ast_follow_from_the_number_of_patches(stride, patches):
    shapes = {
        "v.pos_embed": (1, 2 + patches, 64),
        "mlp_head.1.weight": (3, 64),
        "v.blocks.0.norm1.weight": (64,),
    }
    found = networks.NETWORKS["ast"].infer_arguments(shapes)
    assert found["stride"] == stride and found["depth"] == 1


def test_models_of_the_last_release_with_the_narrow_resnet_still_load(tmp_path):
    arguments = {"base_channels": 8, "n_classes": 3}
    network = networks.build("narrow_resnet", arguments).eval()
    spec = FrontEndSpec.preset("cp_mel")
    old = model_pt.Checkpoint("cp_resnet", arguments, spec, LABELS, network.state_dict())
    model_pt.save(old, tmp_path / "old.pt")
    model = model_pt.load(tmp_path / "old.pt")
    x = torch.randn(model.input_shape)
    assert model.student == "narrow_resnet" and torch.equal(model.build()(x), network(x))
    new = model_pt.Checkpoint("cp_resnet", {**TINY["cp_resnet"], "n_classes": 3}, spec, LABELS,
                              _network("cp_resnet").state_dict())  # fmt: skip
    model_pt.save(new, tmp_path / "new.pt")
    assert model_pt.load(tmp_path / "new.pt").student == "cp_resnet"
