"""ESC-10, cross-validated: FP32 in torch against INT8 in the runtime alone, made from it by PTQ and by QAT.

    ESC10_DIR=... python -m benchmarks.esc10   # 2 x 4 trainings; benchmarks/results/esc10.json

Each of the folds 1 to 4 is tested once by a model that was trained on the other three; fold 5 is never read.
A run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.accuracy.plan import FOLDS, RECIPES, other_folds
from benchmarks.result_files import results_folder, write_result
from export.pipeline import default_method, export_model
from runtime import entry_point, load_model
from runtime.errors import TinysceneError
from train.checkpoints import model_pt
from train.checkpoints.resume import resume_options
from train.data import ESC50, ClipData
from train.log_mel import LogMel
from train.training.confidence import fit_confidence
from train.training.evaluation import evaluate
from train.training.report import SingleLabelEvaluation

RECIPE = RECIPES / "esc10_cp_mobile.yaml"


def main(arguments: list[str]) -> int:
    """Cross-validate; returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.esc10", description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/esc10"), help="folder of the trainings")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    return crossvalidate(options.runs, options.seed)


def crossvalidate(runs: Path, seed: int) -> int:
    """Train on every split, score FP32 and INT8, write the table."""
    rows, held_out = [], []
    for fold in FOLDS:
        run, others = runs / f"fold{fold}", other_folds(fold)
        float_model = fit(run, others, [fold], seed)
        model = model_pt.load(float_model)
        data = held_out_windows(model, fold)
        probabilities, clips = torch_probabilities(model, data)
        held_out.append((probabilities, data.datasets["test"].targets[clips]))
        row = {"fold": fold, **_accuracies("fp32", _evaluate(probabilities, clips, data))}
        trained = {"ptq": float_model, "qat": quantize_aware(float_model, others, [fold], seed)}
        for method, path in trained.items():
            row |= _named(method, _score(path, data, probabilities, clips))
        rows.append(row)
        _print_lines(f"fold {fold}", rows[-1])
    mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if key != "fold"}
    _print_lines("mean", mean)
    probabilities, target = (np.concatenate(parts) for parts in zip(*held_out, strict=True))
    confidence = fit_confidence(probabilities, target, model_pt.load(runs / "fold1" / "model.pt").labels)
    print(f"from the pooled held-out windows: {confidence}")
    result = {
        "data": "ESC-10, folds 1-4; each row is tested on one fold and trained on the other three",
        "recipe": RECIPE.name, "runs": len(rows), "folds": rows, "mean": mean, **confidence,
    }  # fmt: skip
    write_result(results_folder() / "esc10.json", result, {"training": seed})
    return entry_point.EXIT_OK


def fit(
    run: Path, train_folds: list[int], test_folds: list[int], seed: int, *changes: str, recipe: Path = RECIPE
) -> Path:
    """Run a recipe with some changes unless it has run; returns its model.pt."""
    if not (run / "model.pt").is_file():
        options = [*folds(train_folds, test_folds), *changes, f"--trainer.default_root_dir={run}"]
        run_recipe("fit", recipe, seed, *options, *resume_options(run))
    return run / "model.pt"


def quantize_aware(model: Path, train_folds: list[int], test_folds: list[int], seed: int) -> Path:
    """QAT of a model.pt unless it has run; returns the model.pt that it made."""
    run = model.parent.with_name(f"{model.parent.name}_qat")
    if not (run / "model.pt").is_file():
        options = [*folds(train_folds, test_folds), f"--checkpoint={model}"]
        run_recipe("qat", RECIPE, seed, *options, f"--trainer.default_root_dir={model.parent}")
    return run / "model.pt"


def folds(train_folds: list[int], test_folds: list[int]) -> list[str]:
    """The options that name the folds."""
    return [f"--data.corpus.train_folds={train_folds}", f"--data.corpus.test_folds={test_folds}"]


def run_recipe(verb: str, recipe: Path, seed: int, *options: str) -> None:
    """Run ``python -m train`` with a recipe; raises TinysceneError where it fails."""
    run_train(verb, "--config", str(recipe), f"--seed_everything={seed}", *options)


def run_train(verb: str, *options: str, log: Path | None = None) -> None:
    """Run ``python -m train``; raises TinysceneError where it fails.

    Args:
        verb: ``fit``, ``qat``, ``import`` or another.
        options: of the command.
        log: file of what it prints; None lets it print.
    """
    command = [sys.executable, "-m", "train", verb, *options]
    done = subprocess.run(command, capture_output=log is not None, text=True, check=False)
    message = "its message stands above."
    if log is not None:
        log.write_text(done.stdout + done.stderr)
        message = (done.stderr.strip().splitlines() or ["it printed no message."])[-1]
    if done.returncode:
        raise TinysceneError(f"`python -m train {verb}` failed: {message}")


def held_out_windows(model: model_pt.Checkpoint, fold: int) -> ClipData:
    """The windows of a fold. Raises TinysceneError where the model was trained on it."""
    train_folds = model.provenance["data"]["train"]
    if fold in train_folds:
        raise TinysceneError(
            f"The model was trained on fold {fold}, so it cannot be tested there: name another."
        )
    data = ClipData(ESC50(esc10=True, train_folds=train_folds, test_folds=[fold]))
    data.setup("test")
    return data


def _score(
    path: Path, data: ClipData, float_probabilities: np.ndarray, clips: np.ndarray
) -> dict[str, float]:
    """Accuracies of INT8 on a fold, and the share of its windows with the label of the float network."""
    model = model_pt.load(path)
    onnx = path.with_suffix(".onnx")
    exported = export_model(model, onnx, method=default_method(model))
    if not exported.verification.passed:
        raise TinysceneError(f"{onnx} was not verified:\n{exported.verification}")
    probabilities = _runtime_probabilities(onnx, data)
    agreement = float((float_probabilities.argmax(1) == probabilities.argmax(1)).mean())
    scores = _accuracies("int8", _evaluate(probabilities, clips, data))
    return {**scores, "agreement": agreement, "file_bytes": exported.file_bytes}


def _evaluate(probabilities: np.ndarray, clips: np.ndarray, data: ClipData) -> SingleLabelEvaluation:
    result = evaluate(probabilities, clips, data.datasets["test"].clips, data.labels)
    assert isinstance(result, SingleLabelEvaluation)  # ESC-10 has one label a clip
    return result


def _named(method: str, row: dict[str, float]) -> dict[str, float]:
    return {f"{method}_{key}": value for key, value in row.items()}


def _accuracies(name: str, result: SingleLabelEvaluation) -> dict[str, float]:
    return {f"{name}_windows": result.window_accuracy, f"{name}_clips": result.clip_accuracy}


def torch_probabilities(model: model_pt.Checkpoint, data: ClipData) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [windows, classes] and clips [windows] of the test split."""
    network, log_mel = model.build(), LogMel(model.frontend)
    probabilities, clips = [], []
    with torch.inference_mode():
        for batch in data.test_dataloader():
            probabilities.append(network(log_mel(batch.waveform)).softmax(1).numpy())
            clips.append(batch.clip.numpy())
    return np.concatenate(probabilities), np.concatenate(clips)


def _runtime_probabilities(onnx: Path, data: ClipData) -> np.ndarray:
    """The same windows, classified by the runtime: no torch, its own front end."""
    model = load_model(onnx)
    dataset = data.datasets["test"]
    predictions = [
        model.classify(dataset.at_rest([i]).waveform[0].numpy(), data.sample_rate)
        for i in range(len(dataset))
    ]
    scores = [[prediction.scores[label] for label in model.labels] for prediction in predictions]
    return np.array(scores)


def _print_lines(name: str, row: dict[str, Any]) -> None:
    for kind in ("fp32", "ptq_int8", "qat_int8"):
        clips, windows = row[f"{kind}_clips"], row[f"{kind}_windows"]
        same = row.get(f"{kind.removesuffix('_int8')}_agreement")
        note = "" if same is None else f", {same:.1%} of labels as in FP32"
        print(f"{name:7} {kind:8} {clips:6.1%} of clips {windows:6.1%} of windows{note}")


if __name__ == "__main__":
    entry_point.run(main)
