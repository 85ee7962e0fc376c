"""``train tag``: top labels over time, of any network; EfficientAT's real weights give the right ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from runtime.audio.read import read_recording
from runtime.errors import ConfigError
from runtime.spec import FrontEndSpec
from tests.train.teachers.tiny import TINY
from train import networks
from train.checkpoints import model_pt
from train.checkpoints.detect_student import front_end_of
from train.checkpoints.published import import_weights
from train.cli.main import main
from train.labels import parse_labels
from train.log_mel import LogMel
from train.tagging import Tagger

SMALL = {**TINY, "cp_mobile": {"base_channels": 8, "n_blocks": [1]}}


def _save(folder: Path, name: str, **fields) -> model_pt.Checkpoint:
    torch.manual_seed(0)
    arguments = {**SMALL[name], "n_classes": 3}
    spec = FrontEndSpec.preset(front_end_of(name, arguments))
    state = networks.build(name, arguments).state_dict()
    model = model_pt.Checkpoint(name, arguments, spec, ("low", "high", "other"), state, **fields)
    model_pt.save(model, folder / "model.pt")
    return model


def _noise(path: Path, seconds: float) -> Path:
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(round(seconds * 16_000)), 16_000)
    return path


def _lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_every_network_tags_windows_of_its_length(name, task, tmp_path, capsys):
    model = _save(tmp_path, name, task=task, clip_s=2.0, temperature=2.0)
    audio = _noise(tmp_path / "noise.wav", 5.0)
    assert main(["tag", "--checkpoint", str(tmp_path / "model.pt"), str(audio), "--json", "--top", "9"]) == 0
    lines = _lines(capsys)
    assert [(line["start_s"], line["end_s"]) for line in lines] == [(0, 2), (2, 4), (3, 5)]
    samples = torch.from_numpy(read_recording(audio, model.frontend.sample_rate).samples)
    rate = model.frontend.sample_rate
    with torch.no_grad():
        logits = model.build()(LogMel(model.frontend)(samples[None, 3 * rate : 5 * rate]))[0] / 2
    expected = logits.sigmoid() if task == "multi_label" else logits.softmax(0)
    tags = lines[-1]["tags"]
    assert list(tags.values()) == sorted(tags.values(), reverse=True) and set(tags) == set(model.labels)
    np.testing.assert_allclose([tags[label] for label in model.labels], expected, atol=2e-6)


def test_a_short_recording_is_tagged_at_its_own_length(tmp_path):
    model = _save(tmp_path, "ced", clip_s=10.0)
    samples = np.random.default_rng(0).standard_normal(16_000 * 3).astype(np.float32)
    (window,) = Tagger(model).windows(samples)
    assert (window.start_s, window.end_s) == (0, 3)
    (least,) = Tagger(model).windows(samples[:8000])  # filled to a second
    (filled,) = Tagger(model).windows(np.pad(samples[:8000], (0, 8000)))
    assert (least.end_s, filled.end_s) == (0.5, 1.0) and least.probabilities == filled.probabilities


def test_lines_for_people_have_times_and_the_top_labels(tmp_path, capsys):
    _save(tmp_path, "ced")
    folder = tmp_path / "audio"
    folder.mkdir()
    for name in ("a.wav", "b.wav"):
        _noise(folder / name, 2.0)
    command = ["tag", "--checkpoint", str(tmp_path / "model.pt"), str(folder), "--hop", "0.5", "--top", "1"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith(".wav")] == [str(folder / n) for n in ("a.wav", "b.wav")]
    assert len(lines) == 2 + 2 * 3
    assert lines[2].split()[:3] == ["0.50", "-", "1.50"] and lines[2].split()[-2] in ("low", "high", "other")


def test_a_file_that_cannot_be_read_does_not_stop_the_others(tmp_path, capsys):
    _save(tmp_path, "ced")
    missing, audio = str(tmp_path / "missing.wav"), str(_noise(tmp_path / "noise.wav", 1.0))
    assert main(["tag", "--checkpoint", str(tmp_path / "model.pt"), missing, audio, "--json"]) == 2
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1 and f"error: There is no audio file {missing}" in printed.err


@pytest.mark.parametrize(
    ("option", "value"), [("--window", "0.2"), ("--hop", "0"), ("--top", "0"), ("--window", "nan")]
)
def test_numbers_that_make_no_sense(tmp_path, option, value):
    _save(tmp_path, "ced")
    with pytest.raises(ConfigError, match=option):
        main(["tag", "--checkpoint", str(tmp_path / "model.pt"), "x.wav", option, value])


# Recordings that mn04 is sure of, and what it calls them; every other one of the class is only compared.
RIGHT = {
    "dog": ("1-100032-A-0.ogg", "Bark"),
    "crying_baby": ("1-22694-A-20.ogg", "Crying, sobbing"),
    "rooster": ("1-26806-A-1.ogg", "Crowing, cock-a-doodle-doo"),
    "sneezing": ("2-119102-A-21.ogg", "Sneeze"),
}


@pytest.fixture(scope="module")
def mn04(teachers_dir, tmp_path_factory) -> model_pt.Checkpoint:
    """EfficientAT's mn04 with its weights of AudioSet."""
    folder = teachers_dir / "efficientat"
    labels = parse_labels(str(folder / "class_labels_indices.csv"))
    ((_, model),) = import_weights(folder / "mn04_as_mAP_432.pt", Path("mn04.pt"), labels, licence="MIT")
    return model


def test_mn04_tags_clips_of_esc10_right(mn04, esc10_dir, tmp_path, capsys):
    model_pt.save(mn04, tmp_path / "mn04.pt")
    files = [str(esc10_dir / "audio" / name) for name, _ in RIGHT.values()]
    assert main(["tag", "--checkpoint", str(tmp_path / "mn04.pt"), *files, "--json", "--top", "3"]) == 0
    for line, (_, expected) in zip(_lines(capsys), RIGHT.values(), strict=True):
        assert line["tags"][expected] > 0.5, line


def test_mn04_tells_four_classes_of_esc10_apart(mn04, esc10_dir):
    tagger, names = Tagger(mn04), {label: category for category, (_, label) in RIGHT.items()}
    names["Baby cry, infant cry"] = "crying_baby"
    with (esc10_dir / "meta" / "esc50.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["category"] in RIGHT]
    wrong = []
    for row in rows[::4]:
        samples = read_recording(esc10_dir / "audio" / row["filename"], 32_000).samples
        (window,) = tagger.windows(samples)
        found = names[max(names, key=window.probabilities.__getitem__)]
        wrong += [row["filename"]] * (found != row["category"])
    assert len(rows) >= 120 and not wrong
