"""model.pt: it comes back as it was, and no file of another kind gets through."""

from __future__ import annotations

import dataclasses
import errno
import os
import pickle

import pytest
import torch

from runtime.errors import ModelFileError
from runtime.spec import FrontEndSpec
from train import networks, students
from train.checkpoints import model_pt

SMALL = {"base_channels": 8, "n_blocks": [1], "n_classes": 3}


@pytest.fixture
def model() -> model_pt.Checkpoint:
    return model_pt.Checkpoint(
        student="cp_mobile",
        arguments=SMALL,
        frontend=FrontEndSpec.preset("cp_mel"),
        labels=("cat", "dog", "rain"),
        state_dict=networks.build("cp_mobile", SMALL).state_dict(),
        thresholds={"dog": 0.7},
        provenance={"seed": 3},
        calibration=torch.randn(4, 1, 256, 64).half(),
        calibration_ids=("a@0", "b@0", "c@0", "d@0"),
    )


def test_comes_back_as_it_was(model, tmp_path):
    model_pt.save(model, tmp_path / "model.pt")
    found = model_pt.load(tmp_path / "model.pt")
    x = torch.randn(2, 1, 256, 64)
    torch.testing.assert_close(found.build()(x), model.build()(x), rtol=0, atol=0)
    for field in ("frontend", "labels", "provenance", "arguments", "calibration_ids", "temperature",
                  "thresholds"):  # fmt: skip
        assert getattr(found, field) == getattr(model, field)
    assert torch.equal(found.calibration, model.calibration)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_an_earlier_model_stays_unless_it_is_the_same(model, tmp_path):
    path = tmp_path / "model.pt"
    assert model_pt.save_beside_earlier(model, path) is None
    assert model_pt.save_beside_earlier(model, path) is None
    for seed in (4, 5):
        earlier = model_pt.save_beside_earlier(dataclasses.replace(model, provenance={"seed": seed}), path)
        assert earlier == tmp_path / f"model-v{seed - 3}.pt"
    found = {each.name: model_pt.load(each).provenance["seed"] for each in tmp_path.iterdir()}
    assert found == {"model.pt": 5, "model-v1.pt": 3, "model-v2.pt": 4}


def test_an_earlier_model_stays_in_its_place_where_the_next_cannot_be_written(model, tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    model_pt.save(model, path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        model_pt.save_beside_earlier(dataclasses.replace(model, provenance={}), path)
    assert [each.name for each in tmp_path.iterdir()] == ["model.pt"]


class Bomb:
    def __reduce__(self):
        return os.mkdir, (os.environ["BOMB"],)


def test_a_pickle_bomb_does_not_go_off(tmp_path, monkeypatch):
    monkeypatch.setenv("BOMB", str(tmp_path / "went-off"))
    torch.save({"model": Bomb()}, tmp_path / "model.pt")
    with pytest.raises(ModelFileError, match="could run code"):
        model_pt.load(tmp_path / "model.pt")
    assert not (tmp_path / "went-off").exists()


def test_says_what_a_foreign_file_is(tmp_path):
    contents = {
        "empty": (b"", "empty"),
        "text": (b"hello", "no file of"),
        "pickle": (pickle.dumps({"a": 1}), "pickle"),
    }
    for name, (content, message) in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelFileError, match=message):
            model_pt.load(tmp_path / name)
    values = {
        "state.pt": (students.CPMobile().state_dict(), "train import"),
        "lightning.ckpt": ({"pytorch-lightning_version": "2", "state_dict": {}}, "train import"),
        "resume.ckpt": ({"pytorch-lightning_version": "2", "tinyscene": {}}, "ckpt_path"),
        "list.pt": ([1, 2], "no model.pt"),
    }
    for name, (value, message) in values.items():
        torch.save(value, tmp_path / name)
        with pytest.raises(ModelFileError, match=message):
            model_pt.load(tmp_path / name)
    with pytest.raises(ModelFileError, match=r"There is no file .* fit` makes a model\.pt"):
        model_pt.load(tmp_path / "nothing")
    with pytest.raises(ModelFileError, match=r"is a folder: give the file in it"):
        model_pt.load(tmp_path)


def test_a_truncated_file_is_one_sentence(model, tmp_path):
    model_pt.save(model, tmp_path / "model.pt")
    whole = (tmp_path / "model.pt").read_bytes()
    for share in (0.1, 0.5, 0.99):
        (tmp_path / "cut.pt").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ModelFileError):
            model_pt.load(tmp_path / "cut.pt")


def test_labels_and_outputs_must_agree(model, tmp_path):
    model_pt.save(dataclasses.replace(model, labels=("cat", "dog")), tmp_path / "model.pt")
    with pytest.raises(ModelFileError, match="3 outputs but 2 labels"):
        model_pt.load(tmp_path / "model.pt").build()


def test_a_newer_schema_is_refused(model, tmp_path):
    torch.save(model_pt.to_values(model) | {"schema": 99}, tmp_path / "model.pt")
    with pytest.raises(ModelFileError, match="schema 99"):
        model_pt.load(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"student": "cp_mobil"}, ["cp_mobil"]),
        ({"arguments": {**SMALL, "width": 3}}, ["width"]),
        ({"arguments": {**SMALL, "base_channels": "x"}}, ["base_channels"]),
        (
            {"arguments": {**SMALL, "base_channels": 16}},
            ["'in_c.0.0.weight'", "[2, 1, 3, 3]", "[4, 1, 3, 3]"],
        ),
    ],
)
def test_weights_and_arguments_must_agree(model, changes, facts):
    with pytest.raises(ModelFileError) as caught:
        dataclasses.replace(model, **changes).build()
    assert all(fact in str(caught.value) for fact in facts), caught.value
