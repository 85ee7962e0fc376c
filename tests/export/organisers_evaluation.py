"""A stand-in for ``evaluate_submission.py`` of DCASE 2025 Task 1: same files read, same functions called.

    python organisers_evaluation.py SUBMISSION_NAME INDEX DEVELOPMENT_SET EVALUATION_SET

The original needs pandas and scikit-learn; this one reads its tables with the standard library.
"""

from __future__ import annotations

import csv
import importlib
import importlib.resources
import json
import sys
import warnings
from pathlib import Path

import torch
from torch.nn import functional as F

warnings.simplefilter("ignore", DeprecationWarning)


def read(path: str | Path) -> list[dict[str, str]]:
    """The rows of a tab-separated table."""
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def load_test_split(development_set: Path, resources: str) -> list[dict[str, str]]:
    """The rows of the set's meta.csv that resources/test.csv lists: an inner join on ``filename``."""
    with importlib.resources.path(resources, "test.csv") as path:
        test_csv = str(path)
    meta = {row["filename"]: row for row in read(development_set / "meta.csv")}
    return [meta[row["filename"]] for row in read(test_csv) if row["filename"] in meta]


def main(name: str, index: str, development_set: Path, evaluation_set: Path) -> None:
    """Score the test split, predict the evaluation set, save output, weights and accuracy."""
    api = importlib.import_module(f"{name}.{name}_{index}")
    test = load_test_split(development_set, f"{name}.resources")
    predictions, classes = api.predict(
        file_paths=[str(development_set / row["filename"]) for row in test],
        device_ids=[row["source_label"] for row in test],
        model_file_path=None,
        use_cuda=torch.cuda.is_available(),
    )
    index_of = {label: number for number, label in enumerate(classes)}
    true = [index_of[row["scene_label"]] for row in test]
    right = [logits.argmax().item() == label for logits, label in zip(predictions, true, strict=True)]

    rows = read(evaluation_set / "evaluation_setup" / "fold1_test.csv")
    logits, order = api.predict(
        file_paths=[str(evaluation_set / row["filename"]) for row in rows],
        device_ids=[row["device_id"] for row in rows],
        model_file_path=None,
        use_cuda=torch.cuda.is_available(),
    )
    assert order == classes, "class order differs between test and evaluation prediction"
    probabilities = F.softmax(torch.stack(logits), dim=1)

    output = Path("predictions") / f"{name}_{index}"
    output.mkdir(parents=True, exist_ok=True)
    with (output / "output.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["filename", "scene_label", *classes])
        for row, values in zip(rows, probabilities, strict=True):
            writer.writerow([row["filename"], classes[int(values.argmax())], *values.tolist()])

    model = api.load_model()
    torch.save(model.model.state_dict(), output / "model_state_dict.pt")
    inputs = api.load_inputs([str(evaluation_set / rows[0]["filename"])], ["a"], model)
    network = api.get_model_for_device(model, "a")
    size = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
    info = {"accuracy": 100 * sum(right) / len(right), "clips": len(right), "param_bytes": size}
    info["input_shape"] = list(inputs[0].shape)
    (output / "test_accuracy.json").write_text(json.dumps(info))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
