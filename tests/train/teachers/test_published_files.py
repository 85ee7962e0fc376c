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


def _of_transformers(state, release: int) -> dict[str, torch.Tensor]:
    """The keys of ASTForAudioClassification, of release 5 and of release 4."""
    new = release == 5
    names = {
        "norm1": "layernorm_before", "norm2": "layernorm_after",
        "attn.proj": "attention.o_proj" if new else "attention.output.dense",
        "mlp.fc1": "mlp.fc1" if new else "intermediate.dense",
        "mlp.fc2": "mlp.fc2" if new else "output.dense",
    }  # fmt: skip
    rest = {
        "v.cls_token": "embeddings.cls_token", "v.dist_token": "embeddings.distillation_token",
        "v.pos_embed": "embeddings.position_embeddings", "v.norm": "layernorm",
        "v.patch_embed.proj": "embeddings.patch_embeddings.projection",
    }  # fmt: skip
    model, found = "audio_spectrogram_transformer.", {}
    for key, value in state.items():
        stem, _, part = key.rpartition(".")
        if key.startswith("mlp_head"):
            found[
                key.replace("mlp_head.0", "classifier.layernorm").replace("mlp_head.1", "classifier.dense")
            ] = value
        elif key.startswith("v.blocks."):
            _, _, block, name = stem.split(".", 3)
            layer = f"{model}layers.{block}." if new else f"{model}encoder.layer.{block}."
            if name == "attn.qkv":
                ours = ("q_proj", "k_proj", "v_proj") if new else ("query", "key", "value")
                inner = "attention." if new else "attention.attention."
                found |= {f"{layer}{inner}{n}.{part}": v for n, v in zip(ours, value.chunk(3), strict=True)}
            else:
                found[f"{layer}{names[name]}.{part}"] = value
        else:
            found[model + (rest[key] if key in rest else f"{rest[stem]}.{part}")] = value
    return found


@pytest.mark.parametrize("release", [4, 5])
def test_an_ast_of_transformers_is_known_by_its_keys(tmp_path, release):
    network = _network("ast")
    theirs = _of_transformers(network.state_dict(), release)
    expected = {  # facts of the two layouts
        4: "audio_spectrogram_transformer.encoder.layer.1.attention.attention.query.weight",
        5: "audio_spectrogram_transformer.layers.1.attention.q_proj.weight",
    }
    assert theirs[expected[release]].shape == (64, 64) and theirs["classifier.dense.weight"].shape == (3, 64)
    torch.save(theirs, tmp_path / "pytorch_model.bin")
    ((_, model),) = import_weights(tmp_path / "pytorch_model.bin", tmp_path / "model.pt", LABELS)
    assert model.student == "ast" and model.arguments["depth"] == 2
    x = torch.randn(model.input_shape)
    with torch.no_grad():
        assert torch.equal(model.build()(x), network(x))


def test_it_is_the_function_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the package transformers is not installed")
    try:
        transformers.ASTForAudioClassification  # noqa: B018, imported by its name only now
    except (ImportError, OSError, RuntimeError) as error:  # as where torchaudio does not load
        pytest.skip(f"transformers has no AST here: {error}")
    config = transformers.ASTConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=1, intermediate_size=256, num_labels=3
    )
    torch.manual_seed(0)
    theirs = transformers.ASTForAudioClassification(config).eval()
    embeddings = theirs.audio_spectrogram_transformer.embeddings
    for part in (embeddings.cls_token, embeddings.distillation_token, embeddings.position_embeddings):
        torch.nn.init.normal_(part)  # far above its epsilon, which is 1e-12 where the original has 1e-6
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    ((_, model),) = import_weights(tmp_path / "pytorch_model.bin", tmp_path / "model.pt", LABELS)
    x = torch.randn(1, 1, 128, 1024)
    with torch.no_grad():
        expected = theirs(x[:, 0].transpose(1, 2)).logits
        torch.testing.assert_close(model.build()(x), expected, rtol=1e-4, atol=1e-4)


def _beats_with_labels(path, identifiers):
    state = _network("beats", n_classes=len(identifiers)).state_dict()
    labels = dict(enumerate(identifiers))
    torch.save({"cfg": {"max_distance": 800}, "model": state, "label_dict": labels}, path)


def test_the_labels_of_a_beats_come_from_its_file(tmp_path):
    _beats_with_labels(tmp_path / "weights.pt", ["/m/2", "/m/0", "/m/1"])
    weights, output = str(tmp_path / "weights.pt"), str(tmp_path / "model.pt")
    assert main([weights, "-o", output]) == 0
    assert model_pt.load(output).labels == ("/m/2", "/m/0", "/m/1")
    table = tmp_path / "class_labels_indices.csv"
    table.write_text(
        'index,mid,display_name\n0,/m/0,"Speech"\n1,/m/1,"Child speech, kid speaking"\n2,/m/2,Bark\n'
    )
    assert main([weights, "--labels", str(table), "-o", output]) == 0
    assert model_pt.load(output).labels == ("Bark", "Speech", "Child speech, kid speaking")
    assert (
        main([weights, "--labels", "/m/0,/m/1,/m/2", "-o", output]) == 0
    )  # in whatever order: the file decides
    assert model_pt.load(output).labels == ("/m/2", "/m/0", "/m/1")
    assert main([weights, "--labels", "a,b,c", "-o", output]) == 0
    assert model_pt.load(output).labels == ("a", "b", "c")


def test_a_file_without_labels_asks_for_them(tmp_path):
    torch.save(_network("ced").state_dict(), tmp_path / "weights.pt")
    with pytest.raises(TinysceneError, match="does not list its labels"):
        main([str(tmp_path / "weights.pt"), "-o", str(tmp_path / "model.pt")])
