"""INT8 on sound that nothing was calibrated on: observers and weight ranges, on every split of a corpus.

    python -m benchmarks.int8_unseen NAME=MODEL.PT ... --root DIR [-o benchmarks/results/int8_unseen.json]

Each model.pt names its corpus and its augmentation; ``--root`` is the folder of that corpus. Calibration and
verification windows are chosen as the training does, from the training and the validation split. The test
split decides nothing. Files are run by ONNX Runtime as the runtime runs them. Models that the output file has
already are retained, unless they are measured again.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.result_files import write_result
from export.onnx_graph import to_onnx
from runtime.entry_point import EXIT_OK, run
from runtime.files import write_beside
from runtime.model.session import run_optimized
from train.augmentation.capture import Capture
from train.augmentation.config import Augmentation
from train.checkpoints.model_pt import Checkpoint, load
from train.data import ClipData
from train.data.corpus import SPLITS
from train.log_mel import LogMel
from train.quantization.calibration_windows import int8_windows
from train.quantization.choose_ranges import equalized_reference
from train.quantization.conversion import export_program
from train.quantization.observers import OBSERVERS
from train.quantization.ptq import calibrate
from train.quantization.quality import Share, logits_of
from train.quantization.quantizer import WEIGHT_RANGES, Scheme
from train.quantization.sensitivity import rank_values, sqnr_db
from train.quantization.verification_windows import split_windows

_MOST_WINDOWS = 500  # of a split, evenly spread
_BATCH = 50
_NOISIEST = 12

Split = tuple[Tensor, Tensor]  # log-mels [n, 1, n_mels, frames] and labels [n]


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.int8_unseen", description=__doc__)
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL.PT")
    parser.add_argument("--root", required=True, help="folder of the corpus that the models were trained on")
    parser.add_argument("--splits", nargs="+", default=list(SPLITS), choices=SPLITS)
    parser.add_argument("-o", "--output", type=Path, metavar="JSON", help="a table goes beside it as .md")
    options = parser.parse_args(arguments)
    before = options.output is not None and options.output.exists()
    models: dict[str, Any] = json.loads(options.output.read_text())["models"] if before else {}
    for given in options.models:
        name, _, path = given.partition("=")
        models[name] = measure(load(path), options.root, options.splits)
        if options.output:  # after each model: one takes minutes
            write_result(options.output, {"models": models})
            with write_beside(options.output.with_suffix(".md")) as partial:
                partial.write_text(table(models))
    print(table(models))
    return EXIT_OK


def measure(checkpoint: Checkpoint, root: str, splits: list[str]) -> dict[str, Any]:
    """All observers and weight ranges of one model, the split that decides among them, and the noise."""
    data = open_data(checkpoint, root)
    log_mel, augmentation = LogMel(checkpoint.frontend), augmentation_of(checkpoint)
    train, validation = data.datasets["train"], data.datasets["val"]
    fields = int8_windows(train, validation, log_mel, augmentation, checkpoint.task)
    checkpoint = replace(checkpoint, **fields, quantization={})
    reference = checkpoint.build()
    network = export_program(equalized_reference(checkpoint), checkpoint.input_shape)
    calibration = calibrate(network, checkpoint.calibration)
    parts = {split: features(data, split, log_mel) for split in splits}
    checkpoint, windows = split_windows(checkpoint)
    verified = windows.log_mels
    expected = logits_of(reference, verified)
    lines = []
    for weights, weight_range in WEIGHT_RANGES.items():
        for observer in OBSERVERS:
            print(f"{weights} {observer}", file=sys.stderr, flush=True)
            int8_model = calibration.int8_model(network, observer, Scheme(weight_range))
            file = to_onnx(int8_model, checkpoint.input_shape).SerializeToString()
            lines.append(
                {
                    "weights": weights,
                    "observer": observer,
                    "verification_sqnr_db": round(sqnr_db(expected, _run(file, verified)), 2),
                    **{split: compare(reference, file, part) for split, part in parts.items()},
                }
            )
    ranges = calibration.ranges(chosen(lines, "portable")["observer"])
    noisiest = rank_values(network, verified, ranges, Scheme())[:_NOISIEST]
    return {
        "corpus": data.corpus.describe(),
        "windows": {name: len(windows) for name, (windows, _) in parts.items()},
        "calibration": len(checkpoint.calibration),
        "verification": len(verified),
        "lines": lines,
        "noise": {one.name: round(one.sqnr_db, 1) for one in noisiest},
    }


def chosen(lines: list[dict[str, Any]], weights: str) -> dict[str, Any]:
    """The choice by the exporter's rule, the least error of the logits, on all verification windows."""
    return max(
        (line for line in lines if line["weights"] == weights), key=lambda line: line["verification_sqnr_db"]
    )


def open_data(checkpoint: Checkpoint, root: str) -> ClipData:
    """The data module of a model's own recipe, without its negatives."""
    recipe = checkpoint.provenance["recipe"]["data"]["corpus"]
    recipe = recipe["init_args"].get("corpus", recipe)
    module, _, name = recipe["class_path"].rpartition(".")
    corpus = getattr(import_module(module), name)(**{**recipe["init_args"], "root": root})
    data = ClipData(corpus, sample_rate=checkpoint.frontend.sample_rate, clip_s=checkpoint.clip_s)
    data.setup()
    return data


def augmentation_of(checkpoint: Checkpoint) -> Augmentation | None:
    """The augmentation of a model's own recipe."""
    values = checkpoint.provenance["recipe"]["model"]["augmentation"]
    if not values:
        return None
    given = values.get("capture") or {}  # JSON has lists for tuples
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    capture = Capture(**given) if given else None
    return Augmentation(**{**values, "impulse_dir": None, "scene": None, "capture": capture})


def features(data: ClipData, split: str, log_mel: LogMel) -> Split:
    """Windows of a split as they are, at most `_MOST_WINDOWS` of them."""
    dataset = data.datasets[split]  # type: ignore[index]
    places = np.linspace(0, len(dataset) - 1, min(len(dataset), _MOST_WINDOWS)).astype(int)
    batches = [dataset.at_rest(part.tolist()) for part in np.array_split(places, -(-len(places) // _BATCH))]
    with torch.no_grad():
        log_mels = [log_mel(batch.waveform) for batch in batches]
    return torch.cat(log_mels), torch.cat([batch.target.argmax(dim=1) for batch in batches])


def compare(reference: torch.nn.Module, file: bytes, part: Split) -> dict[str, Any]:
    """An INT8 file against the float reference on the windows of a split."""
    windows, labels = part
    expected, actual = logits_of(reference, windows), _run(file, windows)
    agreement = Share(int((expected.argmax(1) == actual.argmax(1)).sum()), len(labels))
    return {
        "agreement": round(agreement.value, 4),
        "interval": [round(limit, 4) for limit in agreement.interval],
        "accuracy_float": round(float((expected.argmax(1) == labels).double().mean()), 4),
        "accuracy_int8": round(float((actual.argmax(1) == labels).double().mean()), 4),
        "sqnr_db": round(sqnr_db(expected, actual), 2),
    }


def table(models: dict[str, Any]) -> str:
    """Markdown."""
    text = ["# INT8 against its float reference on sound that nothing was calibrated on", ""]
    text += [
        "Labels that agree / accuracy of INT8 (of float) / SQNR of the logits. **Bold** is what the exporter"
    ]
    text += ["chooses by the verification windows; the test split decides nothing.", ""]
    for name, model in models.items():
        splits = list(model["windows"])
        text += [
            f"## {name}",
            "",
            "| weights | observer | verification |" + "".join(f" {s} |" for s in splits),
        ]
        text += ["|---" * (3 + len(splits)) + "|"]
        for line in model["lines"]:
            mark = "**" if line is chosen(model["lines"], line["weights"]) else ""
            cells = [f"{mark}{line['observer']}{mark}", f"{line['verification_sqnr_db']:.1f} dB"]
            cells += [_cell(line[split]) for split in splits]
            text.append(f"| {line['weights']} | " + " | ".join(cells) + " |")
        noise = ", ".join(f"{value} {db:.1f} dB" for value, db in model["noise"].items())
        text += ["", f"Values that carry most noise, each quantized alone: {noise}.", ""]
    return "\n".join(text)


def _cell(split: dict[str, Any]) -> str:
    low, high = split["interval"]
    return (
        f"{split['agreement']:.1%} ({low:.1%} to {high:.1%}) / {split['accuracy_int8']:.1%} "
        f"({split['accuracy_float']:.1%}) / {split['sqnr_db']:.1f} dB"
    )


def _run(file: bytes, windows: Tensor) -> Tensor:
    parts = torch.split(windows.float(), _BATCH)
    return torch.cat([torch.from_numpy(run_optimized(file, part.numpy())[0]) for part in parts])


if __name__ == "__main__":
    run(main)
