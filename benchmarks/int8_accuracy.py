"""What INT8 costs in accuracy on ESC-10, split by split: the shipped file against the float student.

    ESC10_DIR=/path/to/ESC-50 python -m benchmarks.int8_accuracy FOLD1/model.pt FOLD2/model.pt ... [-o JSON]

Every model.pt is exported as `python -m export onnx` does it, and the file is run by `runtime.session`
on the 1-s windows of the folds that the model was not trained on. Give model.pt files of QAT too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export.pack import default_method, pack
from runtime.door import EXIT_OK, run
from runtime.errors import TinysceneError
from runtime.files import write_beside
from runtime.session import Session
from train.checkpoint import Checkpoint, load
from train.data import ESC50, ClipData
from train.frontend import LogMel

_BATCH = 32


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.int8_accuracy", description=__doc__)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.PT")
    parser.add_argument("-o", "--output", type=Path, metavar="JSON")
    options = parser.parse_args(arguments)
    rows = []
    for path in options.models:
        rows.append(measure(load(path)))
        print(json.dumps(rows[-1]), flush=True)
    for method in sorted({row["method"] for row in rows}):
        print(method, json.dumps(mean([row for row in rows if row["method"] == method])))
    if options.output:
        with write_beside(options.output) as partial:
            partial.write_text(json.dumps({"rows": rows}, indent=2) + "\n")
    return EXIT_OK


def measure(checkpoint: Checkpoint) -> dict[str, Any]:
    """Accuracies in percent of one model on its test folds."""
    log_mels, targets = test_windows(checkpoint)
    network, method = checkpoint.build(), default_method(checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        packed = pack(checkpoint, path, method=method)
        if not packed.verification.passed:
            raise TinysceneError(f"A {method} file could not be verified: {packed.verification}")
        session = Session(path)
    with torch.no_grad():
        wanted = torch.cat([network(batch) for batch in log_mels.split(_BATCH)]).numpy()
    got = np.concatenate([session.logits(batch.numpy()) for batch in log_mels.split(_BATCH)])
    fp32 = 100 * float((wanted.argmax(1) == targets).mean())
    int8 = 100 * float((got.argmax(1) == targets).mean())
    return {
        "method": method,
        "test_folds": checkpoint.provenance["data"]["test"],
        "seed": checkpoint.provenance["seed"],
        "windows": len(targets),
        "fp32": fp32,
        "int8": int8,
        "loss": fp32 - int8,
        "agreement": 100 * float((wanted.argmax(1) == got.argmax(1)).mean()),
        "file_bytes": packed.file_bytes,
        "optimization": session.optimization,
    }


def test_windows(checkpoint: Checkpoint) -> tuple[torch.Tensor, np.ndarray]:
    """Log-mels [n, 1, n_mels, frames] and label indices of the folds that a model was not trained on."""
    corpus = ESC50(esc10=True, train_folds=[], val_folds=[], test_folds=checkpoint.provenance["data"]["test"])
    data = ClipData(corpus, sample_rate=checkpoint.frontend.sample_rate, clip_s=checkpoint.clip_s)
    data.setup("test")
    dataset, log_mel = data.datasets["test"], LogMel(checkpoint.frontend)
    batch = dataset.at_rest(list(range(len(dataset))))
    with torch.no_grad():
        log_mels = torch.cat([log_mel(part) for part in batch.waveform.split(_BATCH)])
    return log_mels, batch.target.argmax(dim=1).numpy()


def mean(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The mean over splits of every figure."""
    return {key: float(np.mean([row[key] for row in rows])) for key in ("fp32", "int8", "loss", "agreement")}


if __name__ == "__main__":
    run(main)
