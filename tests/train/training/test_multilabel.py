"""Clips with several labels, from the table to model.pt, report, output.csv and ONNX."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import onnx
import pytest

from export.cli.main import main as export
from runtime.cli.main import main as classify
from runtime.spec import ModelSpec
from tests.train.conftest import TINY
from train.checkpoints import model_pt
from train.cli.main import main

NAMES = ("alarm", "rain", "siren")


@pytest.fixture(scope="module")
def run(tagged, tmp_path_factory) -> Path:
    """The folder of a finished ``fit``, ``test`` and ``predict``."""
    root = tmp_path_factory.mktemp("multilabel")
    corpus = [
        "--data.corpus=train.data.Tags",
        f"--data.corpus.path={tagged}",
        "--data.corpus.empty=unlabelled",
    ]
    tiny = [argument for argument in TINY if "data.corpus" not in argument]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", sys.argv)  # `main` sets it
        for verb in ("fit", "test", "predict"):
            assert main([verb, *tiny, *corpus, f"--trainer.default_root_dir={root}"]) == 0
    return root


def test_training_leaves_a_model_and_a_report_of_ranking(run):
    model = model_pt.load(run / "model.pt")
    assert (model.task, model.labels) == ("multi_label", NAMES)
    assert "best of val/map" in model.provenance["checkpoint"] and model.temperature != 1
    report = json.loads((run / "test_report.json").read_text())
    assert report["clips"] == 9 and set(report["per_class"]) == set(NAMES)
    assert 0.3 < report["mean_average_precision"] <= 1 and 0 <= report["auc"] <= 1
    assert (run / "test_precision.png").read_bytes().startswith(b"\x89PNG")
    assert "total,d_prime," in (run / "test_report.csv").read_text()
    metrics = next((run / "csv").rglob("metrics.csv")).read_text()
    assert "val/map" in metrics and "val/class/siren" in metrics
    output = [line.split("\t") for line in (run / "output.csv").read_text().splitlines()]
    assert output[0] == ["filename", "labels", *NAMES] and len(output) == 11  # the unlabelled one, too
    for _, prediction, *scores in output[1:]:
        given = [n for n, p in zip(NAMES, scores, strict=True) if float(p) >= model.thresholds.get(n, 0.5)]
        assert prediction == ";".join(given)


def test_the_exported_model_says_what_it_is_and_scores_labels_apart(run, tagged, tmp_path, capsys):
    path = tmp_path / "model.onnx"
    assert export(["onnx", str(run / "model.pt"), "-o", str(path)]) == 0
    spec = ModelSpec.from_json({p.key: p.value for p in onnx.load(path).metadata_props}["model_spec"])
    assert spec.task == "multi_label" and spec.thresholds == model_pt.load(run / "model.pt").thresholds
    capsys.readouterr()
    assert classify(["classify", str(tagged.parent / "0.wav"), "--model", str(path), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out.splitlines()[0])["scores"]
    assert list(scores) == list(NAMES) and all(0 < score < 1 for score in scores.values())
    assert abs(sum(scores.values()) - 1) > 1e-3  # sigmoids, which need not sum to 1
