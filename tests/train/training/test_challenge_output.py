"""``output.csv``: format and file names by the year's rules, and predictions for an evaluation set."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.errors import DataError
from tests.train.conftest import TINY
from train.checkpoints import model_pt
from train.cli.main import main
from train.data.datasets.synthetic import SCENES, render
from train.data.datasets.tau2022 import SCENES as TAU_SCENES
from train.training.challenge_output import file_names, write_output


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_the_form_of_the_challenge(tmp_path):
    probabilities = np.array([[0.75, 0.25], [0.5, 0.5], [1 - 2e-9, 2e-9]])
    write_output(tmp_path / "output.csv", ["audio/1.wav", "2.wav", "3.wav"], probabilities, ["bus", "tram"])
    assert (tmp_path / "output.csv").read_text() == (
        "filename\tscene_label\tbus\ttram\naudio/1.wav\tbus\t0.75\t0.25\n"
        "2.wav\tbus\t0.5\t0.5\n3.wav\tbus\t0.999999998\t2e-09\n"
    )


def test_several_labels_are_given_from_their_thresholds_up(tmp_path):
    probabilities = np.array([[0.6, 0.5, 0.4], [0.1, 0.9, 0.31], [0.1, 0.1, 0.1]])
    names, labels = ["a", "b", "c"], ["rain", "dog", "owl"]
    output = tmp_path / "output.csv"
    write_output(output, names, probabilities, labels, "multi_label", {"rain": 0.7, "owl": 0.31})
    assert [row["labels"] for row in rows(output)] == ["dog;owl", "dog;owl", ""]
    write_output(output, names, probabilities, labels, "multi_label")
    assert [row["labels"] for row in rows(output)] == ["rain;dog", "dog", ""]


def test_names_are_those_of_the_list_or_without_folders():
    ids = ["audio/0.wav", "audio/1.wav"]
    assert file_names(ids, "listed") == ids
    assert file_names(ids, "bare") == ["0.wav", "1.wav"]
    with pytest.raises(DataError, match=r"several clips are called 0\.wav.*--file-names"):
        file_names(["a/0.wav", "b/0.wav"], "bare")


@pytest.fixture(scope="module")
def evaluation_set(tmp_path_factory) -> Path:
    """Twelve clips of three scenes in the layout of the TAU 2025 evaluation set, at its 44.1 kHz."""
    root = tmp_path_factory.mktemp("TAU-urban-acoustic-scenes-2025-mobile-evaluation")
    (root / "audio").mkdir()
    (root / "evaluation_setup").mkdir()
    listed = ["filename\tdevice_id"]
    for number in range(12):
        wave = render(list(SCENES)[number % 3], (9, number), 44_100, 1.0)
        soundfile.write(root / "audio" / f"{number}.wav", wave, 44_100, subtype="PCM_24")
        listed.append(f"audio/{number}.wav\t{('a', 's3', 'unknown')[number % 3]}")
    (root / "evaluation_setup" / "fold1_test.csv").write_text("\n".join(listed) + "\n")
    return root


@pytest.fixture(scope="module")
def scenes_run(tmp_path_factory, tiny_run) -> Path:
    """The folder of a run whose model has the challenge's ten labels; the weights are those of a tiny run."""
    root = tmp_path_factory.mktemp("run")
    model = model_pt.load(tiny_run / "model.pt")
    model = model_pt.Checkpoint(**{**vars(model), "labels": TAU_SCENES, "thresholds": {}})
    model_pt.save(model, root / "model.pt")
    return root


@pytest.fixture
def arguments(evaluation_set, scenes_run, monkeypatch) -> list[str]:
    """Run a command on the evaluation set."""
    monkeypatch.setenv("TAU_EVALUATION_DIR", str(evaluation_set))
    monkeypatch.setattr(sys, "argv", sys.argv)  # `main` sets it
    model = [argument for argument in TINY if "data.corpus" not in argument]
    return [*model, "--data.corpus=train.data.TAUEvaluation", f"--trainer.default_root_dir={scenes_run}"]


@pytest.mark.parametrize(
    ("listed_in", "form", "named"),
    [("evaluation_setup/fold1_test.csv", "listed", "audio/{}.wav"), ("meta.csv", "bare", "{}.wav")],
)
def test_an_evaluation_set_is_predicted(listed_in, form, named, evaluation_set, scenes_run, arguments):
    official = evaluation_set / "evaluation_setup" / "fold1_test.csv"
    official.rename(evaluation_set / listed_in)
    try:
        assert main(["predict", *arguments, f"--file-names={form}"]) == 0
    finally:
        (evaluation_set / listed_in).rename(official)
    predictions = rows(scenes_run / "output.csv")
    labels = model_pt.load(scenes_run / "model.pt").labels
    assert list(predictions[0]) == ["filename", "scene_label", *labels]
    assert [row["filename"] for row in predictions] == [named.format(number) for number in range(12)]
    for row in predictions:
        scores = [float(row[label]) for label in labels]
        assert row["scene_label"] == labels[int(np.argmax(scores))] and sum(scores) == pytest.approx(1)
    assert len({tuple(row.values()) for row in predictions}) == 12  # each clip has its own


def test_an_evaluation_set_has_nothing_to_test_by(arguments):
    with pytest.raises(DataError, match="train predict"):
        main(["test", *arguments])
