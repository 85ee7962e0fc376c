"""The robustness benchmark measures any model on any labelled corpus."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch

from benchmarks.robustness import main
from export.verification.conditions import band, conditions, gain
from runtime import load_model
from runtime.errors import ConfigError
from tests.conftest import ROOT

RATE = 32_000
MODEL = str(ROOT / "runtime" / "models" / "esc10.onnx")


@pytest.fixture(scope="module")
def box_corpus(tmp_path_factory):
    """Noise in the class folders of the packaged model, at two levels; all of it is the test split."""
    folder, rng = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    for label in load_model().labels:
        (folder / label).mkdir()
        for number, level in enumerate((0.1, 0.003)):
            soundfile.write(folder / label / f"{number}.wav", level * rng.normal(size=RATE), RATE)
    corpus = {"root": folder, "no_groups": "true", "val_share": 0.0, "test_share": 1.0}
    return ["--data.corpus=train.data.Folder", *(f"--data.corpus.{k}={v}" for k, v in corpus.items())]


@pytest.fixture(scope="module")
def responses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("responses")
    soundfile.write(folder / "microphone.wav", np.array([0.0, 1.0, 0.5]), RATE)
    return folder


def test_it_writes_a_row_a_condition_and_a_plot(tmp_path, box_corpus, responses):
    output = tmp_path / "robustness.json"
    arguments = [MODEL, *box_corpus, "--responses", str(responses), "-o", str(output)]
    assert main(arguments) == 0
    rows = {row["condition"]: row for row in json.loads(output.read_text())["rows"]}
    assert set(rows) == set(conditions(str(responses), ()))
    assert all(0 <= row["int8"] <= 1 for row in rows.values() if row["windows"])
    assert rows["clean"]["windows"] > rows["level -40 dB"]["windows"]  # the runtime gives silence no label
    assert output.with_suffix(".png").stat().st_size > 1000


def test_other_labels_are_refused(tmp_path):
    corpus = ["--data.corpus=train.data.Synthetic", "--data.corpus.test_clips=10"]
    with pytest.raises(ConfigError, match="labels"):
        main([MODEL, *corpus, "-o", str(tmp_path / "x.json")])


def test_conditions_do_what_their_names_say():
    noise = 0.1 * torch.randn((2, RATE), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(gain(-20)(noise, RATE), noise / 10)
    assert float(gain(40)(noise, RATE).abs().max()) == 1.0
    spectrum = torch.fft.rfft(band(8_000)(noise, RATE)).abs()
    assert float(spectrum[:, 4_200:].mean()) < 0.01 * float(spectrum[:, :3_500].mean())
