"""`python -m train import`: published layouts become a model.pt, and what cannot is named."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import resource

import pytest
import torch

from runtime.errors import ConfigError, TinysceneError
from runtime.spec import FrontEndSpec
from train import networks
from train.checkpoints import model_pt
from train.checkpoints.published import import_weights, main
from train.checkpoints.torch_file import read_tensors
from train.data.datasets.tau2022 import SCENES
from train.labels import choose_labels
from train.students import Baseline2024, CPMobile

SMALL = {"base_channels": 16, "channels_multiplier": 1.5, "expansion_rate": 2.0, "n_blocks": [2, 1]}
MEL = {"mel.0.kernel": torch.zeros(3), "mel.1.mel_scale.fb": torch.zeros(9, 9)}


@pytest.fixture(scope="module")
def network() -> CPMobile:
    torch.manual_seed(0)
    return CPMobile(n_classes=4, **SMALL).eval()


@pytest.fixture
def convert(tmp_path, capsys):
    """Save ``content``, import it, and return the model and what was printed."""

    def run(content, *options, labels="a,b,c,d", **how):
        torch.save(content, tmp_path / "weights.pt", **how)
        output = tmp_path / "model.pt"
        assert main([str(tmp_path / "weights.pt"), "--labels", labels, "-o", str(output), *options]) == 0
        printed = capsys.readouterr()
        return (model_pt.load(output) if output.exists() else None), printed.out + printed.err

    return run


def prefixed(state, prefix):
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize("prefix", ["", "model.", "module.", "net.", "backbone.", "model.module._orig_mod."])
@pytest.mark.parametrize("table", [None, "state_dict", "model_state_dict", "checkpoint.state_dict"])
def test_prefixes_and_tables_are_found(convert, network, prefix, table):
    content = prefixed(network.state_dict(), prefix)
    for name in reversed(table.split(".")) if table else ():
        content = {name: content, "epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}}
    model, _ = convert(content)
    x = torch.randn(2, 1, 256, 64)
    torch.testing.assert_close(model.build()(x), network(x), rtol=0, atol=0)
    assert model.labels == ("a", "b", "c", "d") and model.frontend == FrontEndSpec.preset("cp_mel")


def test_a_lightning_checkpoint_with_front_end_and_pickled_options(convert, network):
    content = {
        "state_dict": {**prefixed(network.state_dict(), "model."), **MEL, "loss.weight": torch.ones(4)},
        "pytorch-lightning_version": "1.9.4",
        "hyper_parameters": {"config": argparse.Namespace(lr=1)},
    }
    model, printed = convert(content)
    assert set(model.state_dict) == set(network.state_dict())
    for left_out in ("mel.0.kernel", "mel.1.mel_scale.fb", "loss.weight", "argparse.Namespace"):
        assert left_out in printed


def test_front_end_buffers_beside_bare_keys_are_left_out(convert, network):
    model, printed = convert({**network.state_dict(), **MEL})
    assert set(model.state_dict) == set(network.state_dict()) and "mel.0.kernel" in printed


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_types_become_float32(convert, network, dtype):
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in network.state_dict().items()}
    model, printed = convert(state)
    assert str(dtype).removeprefix("torch.") in printed
    assert model.state_dict["in_c.0.0.weight"].dtype == torch.float32
    assert model.build()(torch.randn(1, 1, 256, 64)).isfinite().all()


def test_legacy_files_and_whole_modules_are_read(convert, network):
    for content, how in ((network.state_dict(), {"_use_new_zipfile_serialization": False}), (network, {})):
        model, _ = convert(content, **how)
        assert torch.equal(model.state_dict["feed_forward.0.weight"], network.feed_forward[0].weight)


def test_parameters_and_checkpoints_without_batch_counters_are_read(convert, network):
    state = {
        key: torch.nn.Parameter(value) if value.is_floating_point() else value
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    model, _ = convert(state)
    assert model.build()(torch.randn(1, 1, 256, 64)).shape == (1, 4)


def test_the_layout_of_2025_becomes_a_model_a_device(convert, tmp_path):
    torch.manual_seed(0)
    trained = {name: Baseline2024(n_classes=10, base_channels=8) for name in ("base", "a", "s1")}
    places = {"base": "base_model", "a": "device_models.a", "s1": "device_models.s1"}
    state = {}
    for name, network in trained.items():
        state |= prefixed(network.state_dict(), f"multi_device_model.{places[name]}.")
    convert({"state_dict": {**state, **MEL}}, labels="tau")
    for name, network in trained.items():
        model = model_pt.load(tmp_path / f"model_{name}.pt")
        assert (model.student, model.labels) == ("baseline_2024", SCENES)
        assert model.provenance["device"] == name
        assert model.frontend == FrontEndSpec.preset("baseline_mel")
        assert torch.equal(model.state_dict["feed_forward.0.weight"], network.feed_forward[0].weight)


@pytest.mark.parametrize(
    ("student", "arguments", "frontend"),
    [
        ("tf_sepnet", {"base_channels": 8, "depth": 16}, "cp_mel_512"),
        ("bc_resnet", {"base_channels": 8}, "cp_mel"),
        ("baseline_2024", {"base_channels": 8, "expansion_rate": 1.5}, "baseline_mel"),
        ("narrow_resnet", {"base_channels": 8}, "cp_mel"),
    ],
)
def test_every_student_is_detected_with_its_front_end(convert, student, arguments, frontend):
    torch.manual_seed(0)
    network = networks.build(student, {**arguments, "n_classes": 4}).eval()
    model, _ = convert({"state_dict": prefixed(network.state_dict(), "backbone.")})
    assert model.student == student and model.frontend == FrontEndSpec.preset(frontend)
    x = torch.randn(model.input_shape)
    torch.testing.assert_close(model.build()(x), network(x), rtol=0, atol=0)


def test_several_networks_need_a_prefix(convert, network):
    torch.manual_seed(1)
    teacher = CPMobile(n_classes=4, **SMALL)
    content = prefixed(network.state_dict(), "student.") | prefixed(teacher.state_dict(), "teacher.")
    with pytest.raises(TinysceneError, match=r"'student\.', 'teacher\.'.*--prefix"):
        convert(content)
    model, printed = convert(content, "--prefix", "teacher.")
    assert torch.equal(model.state_dict["feed_forward.0.weight"], teacher.feed_forward[0].weight)
    assert "student.in_c.0.0.weight" in printed


def test_given_arguments_and_front_end_take_precedence(convert, network):
    strides = {"strides": {"b2": [1, 2]}}
    model, printed = convert(
        network.state_dict(), "--arguments", json.dumps(strides), "--frontend", "baseline_mel"
    )
    assert model.arguments["strides"] == strides["strides"] and model.arguments["n_blocks"] == [2, 1]
    assert model.frontend == FrontEndSpec.preset("baseline_mel")
    assert "strides," not in printed.replace('"strides":', "")


def _without(state, left_out):
    return {key: value for key, value in state.items() if key != left_out}


def _with(state, **changes):
    return {**state, **{key.replace("__", "."): value for key, value in changes.items()}}


@pytest.mark.parametrize(
    ("change", "options", "facts"),
    [
        (lambda s: s, {"labels": "a,b"}, ["4 outputs", "2"]),
        (lambda s: s, {"labels": "a,,c,d"}, ["label 2 of 4"]),
        (lambda s: s, {"labels": "a,b,c,b"}, ["'b'", "2 and 4"]),
        (lambda s: _with(s, extra__weight=torch.ones(3, 2)), {}, ["'extra.weight'", "[3, 2]"]),
        (lambda s: _without(s, "in_c.0.1.bias"), {}, ["'in_c.0.1.bias'", "[4]", "missing"]),
        (lambda s: _with(s, in_c__0__1__bias=torch.ones(7)), {}, ["in_c.0.1.bias", "[7]", "[4]"]),
        (lambda s: _with(s, in_c__0__1__running_mean=torch.tensor([float("nan")] + [0.0] * 3)), {},
         ["'in_c.0.1.running_mean'", "1 of 4"]),
        (lambda s: {"encoder.weight": torch.ones(5, 3), "epoch": 3}, {}, ["'encoder.weight'", "[5, 3]"]),
        (lambda s: {"epoch": 3}, {}, ["no named tensors"]),
        (lambda s: [1, 2], {}, ["no named tensors"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_by_key_and_shape(convert, network, tmp_path, change, options, facts):
    with pytest.raises(TinysceneError) as caught:
        convert(change(network.state_dict()), **options)
    assert all(fact in str(caught.value) for fact in facts), caught.value
    assert "\n" not in str(caught.value) and not (tmp_path / "model.pt").exists()


@pytest.mark.parametrize("arguments", ["{", "[1]", '{"base_channels": "x"}', '{"base_chanels": 8}'])
def test_arguments_that_build_nothing_are_refused(convert, network, arguments):
    with pytest.raises(ConfigError):
        convert(network.state_dict(), "--arguments", arguments)


class Bomb:
    def __reduce__(self):
        return os.mkdir, (os.environ["BOMB"],)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_objects_are_never_run(convert, network, tmp_path, monkeypatch, zipped):
    monkeypatch.setenv("BOMB", str(tmp_path / "went-off"))
    content = {"state_dict": network.state_dict(), "hyper_parameters": {"bomb": Bomb()}}
    model, printed = convert(content, _use_new_zipfile_serialization=zipped)
    assert model.student == "cp_mobile" and "mkdir" in printed
    assert not (tmp_path / "went-off").exists()


def test_files_of_another_kind_are_named(tmp_path):
    scripted = torch.jit.script(torch.nn.Linear(2, 2))
    torch.jit.save(scripted, tmp_path / "scripted.pt")
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),)), tmp_path / "net.pt2")
    (tmp_path / "page.pt").write_text("<!doctype html>")
    (tmp_path / "pointer.pt").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "tensors.safetensors").write_bytes((10).to_bytes(8, "little") + b'{"a": {}}  ')
    names = {
        "scripted.pt": "TorchScript", "net.pt2": r"\.pt2", "page.pt": "HTML", "pointer.pt": "git lfs pull",
        "empty.pt": "empty", "tensors.safetensors": "safetensors", "none.pt": "no file",
    }  # fmt: skip
    for name, message in names.items():
        for read in (model_pt.load, lambda path: main([str(path), "--labels", "a,b"])):
            with pytest.raises(TinysceneError, match=message):
                read(tmp_path / name)


def test_a_missing_file_of_weights_is_not_sent_to_fit(tmp_path):
    with pytest.raises(TinysceneError, match=r"There is no file .*: name the file of weights") as caught:
        import_weights(tmp_path / "missing.pt", tmp_path / "out.pt", ("a", "b"))
    assert "train fit" not in str(caught.value)
    with pytest.raises(TinysceneError, match="is a folder: give the file in it"):
        import_weights(tmp_path, tmp_path / "out.pt", ("a", "b"))


def test_a_file_that_is_cut_short_is_one_sentence(network, tmp_path):
    for zipped in (True, False):
        torch.save(network.state_dict(), tmp_path / "whole.pt", _use_new_zipfile_serialization=zipped)
        whole = (tmp_path / "whole.pt").read_bytes()
        for share in (0.02, 0.5, 0.98):
            (tmp_path / "cut.pt").write_bytes(whole[: int(len(whole) * share)])
            with pytest.raises(TinysceneError) as caught:
                main([str(tmp_path / "cut.pt"), "--labels", "a,b,c,d"])
            assert "cut.pt" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_changed_bytes_are_read_or_refused_in_one_sentence(network, tmp_path, zipped):
    content = {"state_dict": prefixed(network.state_dict(), "model."), "options": argparse.Namespace(lr=1)}
    torch.save(content, tmp_path / "whole.pt", _use_new_zipfile_serialization=zipped)
    whole, path = (tmp_path / "whole.pt").read_bytes(), tmp_path / "changed.pt"
    for seed in range(60):
        rng = random.Random(seed)
        changed = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(rng.choice([2_000, len(changed)]))
            changed[place : place + rng.choice([0, 1, 30])] = bytes([rng.randrange(256)])
        path.write_bytes(changed)
        for read in (
            lambda: import_weights(path, tmp_path / "model.pt", tuple("abcd")),
            lambda: model_pt.load(path),
        ):
            try:
                read()
            except TinysceneError as error:
                assert "\n" not in str(error), error


def test_a_huge_memo_index_takes_no_memory(network, tmp_path):
    content = {"state_dict": prefixed(network.state_dict(), "model."), "options": argparse.Namespace(lr=1)}
    path = tmp_path / "changed.pt"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    place = whole.index(b"}" + pickle.BINPUT) + 1  # a dictionary is put at a place of the memo
    path.write_bytes(whole[:place] + pickle.LONG_BINPUT + b"\x00\x00\x00\x08" + whole[place + 2 :])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        read_tensors(path)
    except TinysceneError as error:
        assert "changed.pt" in str(error)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kB


def test_a_model_pt_needs_no_import(network, tmp_path):
    model = model_pt.Checkpoint(
        "cp_mobile",
        {**SMALL, "n_classes": 4},
        FrontEndSpec.preset("cp_mel"),
        tuple("abcd"),
        network.state_dict(),
    )
    model_pt.save(model, tmp_path / "own.pt")
    with pytest.raises(TinysceneError, match="nothing to import"):
        main([str(tmp_path / "own.pt"), "--labels", "a,b,c,d"])


def test_the_command_prints_one_sentence_and_exits_with_2(run_room, network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "state.pt")
    done = run_room("train", "import", "state.pt", "--labels", "a,b", "-o", "wrong.pt", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "wrong.pt").exists()


@pytest.mark.parametrize("clip_s", ["-3", "0", "nan", "1e9"])
def test_a_window_without_a_length_is_refused(convert, network, clip_s):
    with pytest.raises(ConfigError, match="--clip_s is a number of seconds above 0 and up to 60"):
        convert(network.state_dict(), f"--clip_s={clip_s}")


def test_a_table_of_labels_that_is_not_utf_8_is_named(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_bytes("mid,display_name\n/m/1,Caf\xe9\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"labels\.csv is not a text file in UTF-8"):
        choose_labels(str(table), {0: "/m/1"})


def test_the_weights_are_not_replaced_by_the_model(network, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(network.state_dict(), path)
    with pytest.raises(TinysceneError, match="would replace"):
        main([str(path), "--labels", "a,b,c,d", "-o", str(path)])
    assert set(torch.load(path, weights_only=True)) == set(network.state_dict())
