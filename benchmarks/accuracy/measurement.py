"""One cell: trained by ``python -m train``, exported, compiled, and scored by the runtime alone."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.accuracy.plan import CORPORA, Cell, Schedule
from benchmarks.esc10 import run_train
from benchmarks.result_files import provenance, write_json
from export.c.install import compile_library
from export.pipeline import Method, export_model
from export.verification.window_scores import has_signal, scores_of, windows_of
from runtime import load_model
from runtime.errors import TinysceneError
from runtime.files import lock, make_folder
from train.checkpoints import model_pt
from train.checkpoints.resume import last_checkpoint, resume_options
from train.data import ClipData
from train.data.corpus import Corpus
from train.training.evaluation import evaluate
from train.training.report import SingleLabelEvaluation

_ANY_LOSS = 1.0  # a loss of accuracy is measured here, and refuses no export


def measure_cell(cell: Cell, schedule: Schedule, runs: Path) -> dict[str, Any] | None:
    """Train and score a cell, unless it has been; a training that was interrupted goes on.

    Returns:
        None where another process measures this cell; otherwise
        what ``cell.json`` in the cell's folder has: the cell, steps, sizes, ``accuracy`` (form -> ``clips``
        and ``windows``, shares that are right), ``lacking`` (form -> why it could not be made), provenance.

    Raises:
        TinysceneError: where the training or an export fails.
    """
    folder = cell.folder(runs, schedule)
    result = folder / "cell.json"
    if result.is_file():
        found: dict[str, Any] = json.loads(result.read_text())
        return found
    make_folder(folder, "name another folder with --runs")
    with (folder / "lock").open("w") as held:
        if not lock(held):
            return None
        values = _measure(cell, schedule, folder)
        write_json(result, values)
    return values


def _measure(cell: Cell, schedule: Schedule, folder: Path) -> dict[str, Any]:
    recipe = cell.recipe(schedule, folder)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    trained = _train("fit", folder, folder / "fit")
    aware = _train(
        "qat", folder, folder / "fit_qat", f"--checkpoint={trained}", f"--epochs={schedule.qat_epochs}"
    )
    checkpoint = model_pt.load(trained)
    files = {
        "FP32": _export(checkpoint, folder / "fp32.onnx", "none"),
        "PTQ INT8": _export(checkpoint, folder / "ptq.onnx", "ptq"),
        "QAT INT8": _export(model_pt.load(aware), folder / "qat.onnx", "qat"),
    }
    lacking = {}
    try:
        files["C"] = compile_library(files["PTQ INT8"], folder / "c")
    except TinysceneError as error:
        lacking["C"] = str(error)
    data = _test_windows(recipe, checkpoint)
    totals = load_model(files["PTQ INT8"]).spec.complexity
    return {
        "corpus": cell.corpus, "student": cell.student, "split": cell.split, "seed": cell.seed,
        "steps": _steps_of(folder / "fit"), "qat_steps": _steps_of(folder / "fit_qat"),
        "params": totals["params"], "macs": totals["macs"],
        "int8_bytes": files["PTQ INT8"].stat().st_size,
        **_scores(files, data), "lacking": lacking,
        "provenance": _where_and_when(),
    }  # fmt: skip


def _train(verb: str, folder: Path, run: Path, *options: str) -> Path:
    """Run the cell's recipe unless it has run; returns its model.pt."""
    if not (run / "model.pt").is_file():
        recipe, log = f"--config={folder / 'recipe.yaml'}", folder / f"{verb}.log"
        run_train(verb, recipe, *options, *resume_options(run), log=log)
    return run / "model.pt"


def _export(checkpoint: model_pt.Checkpoint, path: Path, method: Method) -> Path:
    """Export unless it has been: a file has its name once it is verified."""
    if path.is_file():
        return path
    verification = export_model(checkpoint, path, method=method, tolerance=_ANY_LOSS).verification
    if not verification.passed:
        raise TinysceneError(f"{path} was not verified:\n{verification.summary()}")
    return path


def _test_windows(recipe: dict[str, Any], checkpoint: model_pt.Checkpoint) -> ClipData:
    """The test split of the cell's recipe, in the windows of its model."""
    named = recipe["data"]["corpus"]
    module, _, name = named["class_path"].rpartition(".")
    corpus: Corpus = getattr(import_module(module), name)(**named["init_args"])
    data = ClipData(corpus, sample_rate=checkpoint.frontend.sample_rate, clip_s=checkpoint.clip_s)
    data.setup("test")
    return data


def _scores(files: dict[str, Path], data: ClipData) -> dict[str, Any]:
    """Shares of clips and windows that each file labels right, of the windows that the runtime answers."""
    dataset = data.datasets["test"]
    waveform = windows_of(data)[0].numpy()
    answered = has_signal(waveform)
    clip_of_window = np.array([window.clip for window in dataset.windows])[answered]
    accuracy, labels = {}, {}
    for name, path in files.items():
        scores = scores_of(load_model(path), waveform[answered])
        found = evaluate(scores, clip_of_window, dataset.clips, data.labels)
        assert isinstance(found, SingleLabelEvaluation)  # these corpora have one label a clip
        accuracy[name] = {
            "clips": round(found.clip_accuracy, 4), "windows": round(found.window_accuracy, 4),
        }  # fmt: skip
        labels[name] = scores.argmax(axis=1)
    same = {name: round(float((row == labels["FP32"]).mean()), 4) for name, row in labels.items()}
    return {
        "clips": len(np.unique(clip_of_window)), "windows": len(clip_of_window), "accuracy": accuracy,
        "windows_with_the_label_of_fp32": {name: share for name, share in same.items() if name != "FP32"},
    }  # fmt: skip


def _steps_of(run: Path) -> int:
    """The optimizer's steps of a training that has ended."""
    checkpoint = torch.load(last_checkpoint(run), map_location="cpu", weights_only=True)
    return int(checkpoint["global_step"])


def _where_and_when() -> dict[str, Any]:
    found = provenance()
    return {
        "measured": found["measured"], "commit": found["commit"],
        "cpu": found["machine"]["cpu"], "load": found["machine"]["load"],
        "torch": found["versions"]["torch"], "onnxruntime": found["machine"]["onnxruntime"],
    }  # fmt: skip


def read_cells(runs: Path) -> list[dict[str, Any]]:
    """The finished cells of a folder, of any schedule."""
    found = [json.loads(path.read_text()) for path in sorted(runs.glob("*/*/*/cell.json"))]
    return [cell for cell in found if cell["corpus"] in CORPORA]
