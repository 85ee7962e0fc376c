"""``python -m train import-logits``: a published .pt tensor of a teacher's logits becomes a logit store.

CP-JKU and others publish the logits of a teacher as one tensor [clips, classes] in the order of a list of
files. With that list, every row is stored under its clip's id.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from torch import Tensor

from runtime import entry_point
from runtime.errors import ConfigError, DataError, ModelFileError
from runtime.files import refuse_to_replace
from runtime.spec import Task
from train.checkpoints.torch_file import read_plain
from train.data.tables import read_table
from train.distillation import logit_store
from train.distillation.logit_store import UNAUGMENTED, Header, Rows
from train.distillation.probabilities import looks_like_probabilities, to_logits
from train.labels import NAMED, parse_labels


def main(arguments: list[str]) -> int:
    """Read, check and write; returns an exit code."""
    options = _parser().parse_args(arguments)
    refuse_to_replace([options.logits, options.files], options.output)
    labels = parse_labels(options.labels)
    window = _window(options.clip_s, options.sample_rate)
    logits = read_logits(Path(options.logits), len(labels), options.task, options.probabilities)
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
        window=window,
        provenance=[{"imported": Path(options.logits).name, "licence": options.licence}],
    )
    clips = np.arange(len(ids))
    stored = Rows.of(clips, np.zeros_like(clips), UNAUGMENTED, -1, logits, None, header.task)
    logit_store.write(options.output, header, ids, stored)
    print(f"wrote {options.output}: logits of {len(ids):,} clips for {len(labels)} labels")
    return entry_point.EXIT_OK


def _window(clip_s: float, sample_rate: int) -> int:
    """Samples of a window."""
    if sample_rate < 1 or not 1 <= clip_s * sample_rate < math.inf:  # NaN fails too
        raise ConfigError(
            f"--clip-s is a number of seconds and --sample-rate one of Hz, both above 0, not {clip_s} and "
            f"{sample_rate}."
        )
    return round(clip_s * sample_rate)


def read_logits(path: Path, n_classes: int, task: Task, probabilities: bool = False) -> Tensor:
    """Read a tensor of logits without running any code of the file: float32 [clips, classes].

    Args:
        path: a file of ``torch.save``.
        n_classes: the expected number of columns.
        task: how logits become probabilities.
        probabilities: the file holds probabilities instead, whose logits are returned.

    Raises:
        DataError: where the file is missing, or holds something else.
    """
    values = _read_tensor(path)
    if values.dim() != 2 or values.shape[1] != n_classes or not values.is_floating_point():
        raise DataError(
            f"{path} holds {values.dtype} of shape {list(values.shape)} where floating-point logits of shape "
            f"[clips, {n_classes}] are expected: check --labels."
        )
    values = values.detach().float()
    if not values.isfinite().all():
        row = int((~values.isfinite()).any(dim=1).nonzero()[0])
        raise DataError(f"{path} holds NaN or infinity, first in row {row}: compute the logits again.")
    if looks_like_probabilities(values, task) != probabilities:
        found = "no probabilities" if probabilities else "probabilities and not logits"
        rule = "sums to 1" if task == "single_label" else "lies in [0, 1]"
        remedy = "leave out" if probabilities else "give the logits, or add"
        raise DataError(
            f"{path} holds {found} (each row of probabilities is >= 0 and {rule}): {remedy} --probabilities."
        )
    return to_logits(values, task) if probabilities else values


def _read_tensor(path: Path) -> Tensor:
    if not path.is_file():
        raise DataError(f"There is no file {path}: name the tensor that a teacher's logits were saved to.")
    try:
        values = read_plain(path, "save the tensor of logits alone")
    except ModelFileError as error:
        raise DataError(str(error)) from error
    if not isinstance(values, Tensor):
        raise DataError(f"{path} holds a {type(values).__name__}: save the tensor of logits alone.")
    return values


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{entry_point.program('train')} import-logits", description=__doc__
    )
    parser.add_argument("logits", help="file of torch.save(tensor), [clips, classes]")
    parser.add_argument("--files", required=True, help="table of the clips in the order of the rows")
    parser.add_argument("--column", default="filename", help="of the table: the clips' ids in the corpus")
    parser.add_argument("--tab", action="store_true", help="a .csv is tab-separated, as DCASE's are")
    parser.add_argument(
        "--labels",
        required=True,
        help=f"class names in the order of the columns, 'a,b,...', or one of {', '.join(NAMED)}",
    )
    parser.add_argument(
        "--probabilities", action="store_true", help="the tensor holds probabilities, not logits"
    )
    parser.add_argument("--task", choices=("single_label", "multi_label"), default="single_label")
    parser.add_argument("--sample-rate", type=int, default=32_000, help="Hz, of the student's front end")
    parser.add_argument("--clip-s", type=float, default=1.0, help="seconds of a clip that was scored")
    parser.add_argument(
        "--licence", default="unknown", help="of the teacher; recorded in its students' model files"
    )
    parser.add_argument("-o", "--output", default="logits.h5", help="the store to write")
    return parser
