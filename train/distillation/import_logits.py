"""``python -m train import-logits``: the .pt tensor of logits that others exchange becomes a store.

CP-JKU and those who follow publish a teacher's logits as one tensor [clips, classes] in the order of a list
of files. The list comes with it, and every answer is stored by its clip's id.
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from runtime import entry_point
from runtime.errors import DataError
from train.data.tables import read_table
from train.distillation import logit_store
from train.distillation.logit_store import AT_REST, Header, Rows


def main(arguments: list[str]) -> int:
    """Read, check and write; returns an exit code."""
    options = _parser().parse_args(arguments)
    labels = tuple(label.strip() for label in options.labels.split(","))
    logits = read_tensor(Path(options.logits), len(labels))
    delimiter = "," if options.files.endswith(".csv") and not options.tab else "\t"
    rows = read_table(
        Path(options.files), {options.column}, delimiter=delimiter,
        remedy=f"it has a header, the column '{options.column}' (--column) and a row for each of the tensor",
    )  # fmt: skip
    if len(rows) != len(logits):
        raise DataError(
            f"{options.logits} has {len(logits)} rows and {options.files} has {len(rows)}: give the list "
            "that the tensor was made for."
        )
    ids = [row[options.column] for row in rows]
    if len(set(ids)) < len(ids):
        raise DataError(f"{options.files} names a file twice: give the list that the tensor was made for.")
    header = Header(
        labels=labels,
        task=options.task,
        sample_rate=options.sample_rate,
        window=round(options.clip_s * options.sample_rate),
        provenance=[{"imported": Path(options.logits).name, "licence": options.licence}],
    )
    clips = np.arange(len(ids))
    answers = Rows.of(clips, np.zeros_like(clips), AT_REST, -1, logits, None, header.task)
    logit_store.write(options.output, header, ids, answers)
    print(f"wrote {options.output}: logits of {len(ids):,} clips for {len(labels)} labels")
    return entry_point.EXIT_OK


def read_tensor(path: Path, n_classes: int) -> Tensor:
    """Read a tensor of logits without running anything that is in the file: float32 [clips, classes].

    Raises:
        DataError: where the file is missing, or holds something else.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path}: name the tensor that a teacher's logits were saved to.")
    try:
        logits = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise DataError(f"{path} is damaged, or holds more than a tensor: save the logits alone.") from error
    if not isinstance(logits, Tensor) or logits.dim() != 2 or logits.shape[1] != n_classes:
        found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise DataError(
            f"{path} holds {found} where logits of shape [clips, {n_classes}] were expected: check --labels."
        )
    if not logits.float().isfinite().all():
        raise DataError(f"{path} holds numbers that are not finite: make the logits again.")
    return logits.float()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train import-logits", description=__doc__)
    parser.add_argument("logits", help="file of torch.save(tensor), [clips, classes]")
    parser.add_argument("--files", required=True, help="table of the clips in the order of the rows")
    parser.add_argument("--column", default="filename", help="of the table: the clips' ids in the corpus")
    parser.add_argument("--tab", action="store_true", help="a .csv is tab-separated, as DCASE's are")
    parser.add_argument("--labels", required=True, help="class names in the order of the columns: 'a,b,...'")
    parser.add_argument("--task", choices=("single_label", "multi_label"), default="single_label")
    parser.add_argument("--sample-rate", type=int, default=32_000, help="Hz, of the student's front end")
    parser.add_argument("--clip-s", type=float, default=1.0, help="seconds of a clip that was scored")
    parser.add_argument("--licence", default="unknown", help="of the teacher; travels with its students")
    parser.add_argument("-o", "--output", default="logits.h5", help="the store to write")
    return parser
