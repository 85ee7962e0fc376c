"""`python -m train import-logits`: published tensors of logits become a store."""

from __future__ import annotations

import contextlib
import random

import numpy as np
import pytest
import torch

from runtime.errors import ConfigError, DataError
from train.distillation.import_logits import main as import_logits
from train.distillation.import_logits import read_logits
from train.distillation.logit_store import UNAUGMENTED, Store

LOGITS = torch.tensor([[2.0, -1.0], [0.5, 3.0], [-4.0, 0.25]])


@pytest.fixture
def convert(tmp_path):
    """Import a tensor of three clips and two labels; returns the logits in the store, [clips, classes]."""
    rows = ["filename\tscene_label", "audio/a.wav\tx", "audio/b.wav\ty", "audio/c.wav\tx"]
    (tmp_path / "train.csv").write_text("\n".join(rows) + "\n")

    def run(value, *options):
        torch.save(value, tmp_path / "ensemble.pt")
        given = ["--files", str(tmp_path / "train.csv"), "--tab", "--labels", "x,y"]
        output = tmp_path / "logits.h5"
        assert import_logits([str(tmp_path / "ensemble.pt"), *given, "-o", str(output), *options]) == 0
        store = Store(output)
        places = store.find(["audio/a.wav", "audio/b.wav", "audio/c.wav"])
        return store.lookup(places, np.array([0, 9, 7]), UNAUGMENTED, 32_000)

    return run


@pytest.mark.parametrize(
    "value",
    [LOGITS, LOGITS.clone().requires_grad_(), torch.nn.Parameter(LOGITS), LOGITS.half(), LOGITS.double()],
)
def test_logits_are_stored_by_clip_id(convert, value):
    torch.testing.assert_close(convert(value), LOGITS, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_probabilities_are_converted_or_refused(convert, task):
    values = LOGITS.softmax(dim=1) if task == "single_label" else LOGITS.sigmoid()
    with pytest.raises(DataError, match="--probabilities"):
        convert(values, "--task", task)
    found = convert(values, "--task", task, "--probabilities")
    again = found.softmax(dim=1) if task == "single_label" else found.sigmoid()
    torch.testing.assert_close(again, values, rtol=1e-2, atol=1e-3)
    with pytest.raises(DataError, match="no probabilities"):
        convert(LOGITS, "--task", task, "--probabilities")


def test_a_certain_teacher_has_finite_logits(convert):
    found = convert(torch.eye(2)[[0, 1, 1]], "--probabilities")
    assert found.isfinite().all() and found.argmax(dim=1).tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (LOGITS[:2], "2 rows and .* has 3"),
        ({"logits": LOGITS}, "holds a dict"),
        (LOGITS[:, :1], r"\[3, 1\] .*\[clips, 2\]"),
        (LOGITS.long(), "torch.int64"),
        (LOGITS * torch.tensor([1.0, float("nan")]), "row 0"),
    ],
)
def test_another_content_is_one_sentence(convert, value, message):
    with pytest.raises(DataError, match=message) as caught:
        convert(value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_tensors_are_told_apart(tmp_path):
    given = ["--files", "none.csv", "--labels", "x,y"]
    torch.save(LOGITS, tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[: len(content) // 2])
    torch.save({"logits": tmp_path}, tmp_path / "pickle.pt")
    for name, message in (("cut.pt", "cut short"), ("pickle.pt", "pickled"), ("none.pt", "no file")):
        with pytest.raises(DataError, match=message):
            import_logits([str(tmp_path / name), *given])


@pytest.mark.parametrize(
    "options", [["--clip-s=nan"], ["--clip-s=0"], ["--clip-s=-1", "--sample-rate=-5"], ["--clip-s=inf"]]
)
def test_windows_that_have_no_length_are_refused(convert, options):
    with pytest.raises(ConfigError, match="--clip-s is a number of seconds and --sample-rate one of Hz"):
        convert(LOGITS, *options)


def test_a_legacy_file_with_changed_bytes_is_read_or_refused_in_one_sentence(tmp_path):
    path, changes = tmp_path / "legacy.pt", random.Random(0)
    torch.save(torch.randn(20, 3), path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    for _ in range(300):
        changed = bytearray(content)
        for _ in range(changes.randint(1, 3)):
            changed[changes.randrange(min(len(changed), 600))] = changes.randrange(256)
        path.write_bytes(changed)
        with contextlib.suppress(DataError):
            read_logits(path, 3, "single_label")


@pytest.mark.parametrize("name", ["ensemble.pt", "train.csv"])
def test_what_a_store_is_made_from_is_not_replaced(convert, tmp_path, name):
    with pytest.raises(ConfigError, match="would replace"):
        convert(LOGITS, "-o", str(tmp_path / name))
    assert torch.equal(torch.load(tmp_path / "ensemble.pt", weights_only=True), LOGITS)
