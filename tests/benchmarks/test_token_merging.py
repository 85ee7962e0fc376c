"""The benchmark of token merging measures what it lists; the times are never judged here."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch

from benchmarks.token_merging import __main__ as token_merging
from runtime.errors import ConfigError
from runtime.spec import FrontEndSpec
from train import networks
from train.checkpoints import model_pt


@pytest.mark.parametrize("name", ["ced", "cp_resnet"])
def test_it_writes_a_row_for_every_r_and_a_plot(name, tmp_path, capsys):
    sizes = {"ced": {"dim": 64, "depth": 2}, "cp_resnet": {"base_channels": 4, "last_channels": 6}}
    arguments = {**sizes[name], "n_classes": 3}
    torch.manual_seed(0)
    state = networks.build(name, arguments).state_dict()
    model = model_pt.Checkpoint(name, arguments, FrontEndSpec.preset("ced_mel"), ("a", "b", "c"), state)
    model_pt.save(model, tmp_path / "model.pt")
    for index, seconds in enumerate((0.5, 1.5)):
        noise = 0.1 * np.random.default_rng(index).standard_normal(int(seconds * 22_050))
        soundfile.write(tmp_path / f"{index}.wav", noise, 22_050)
    files = [str(tmp_path / f"{index}.wav") for index in range(2)]
    output = tmp_path / "table.json"
    command = [str(tmp_path / "model.pt"), *files, "--r", "4", "40", "-o", str(output)]
    if name == "cp_resnet":
        with pytest.raises(ConfigError, match="CPResNet"):
            token_merging.main(command)
        return
    assert token_merging.main(command) == 0
    rows = json.loads(output.read_text())["rows"]
    assert [(row["r"], row["tokens"]) for row in rows] == [(0, 24), (4, 16), (40, 6)]
    assert rows[0]["same_top_label"] == 1 and rows[0]["probability_difference"] == 0
    assert rows[2]["probability_difference"] > 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
