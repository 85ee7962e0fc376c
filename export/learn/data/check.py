"""Stops at what would spoil the result: the findings of `check-data` that no training mends."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from runtime.errors import DataError
from runtime.files import write_beside
from train.data.checks import examine
from train.data.corpus import Corpus
from train.data.corpus_report import CorpusReport

# Of `train.data.checks`, and what to do
SPOILING = {
    "unreadable": "replace the file or remove it",
    "empty": "record it again or remove it",
    "class without a training clip": "record more of it",
    "leak: recording in two splits": "put all of its clips into one split",
    "leak: same samples in two splits": "remove one of the two files",
    "leak: same sound in two splits": "remove one of the two files",
    "silent": "record it again or remove it",
    "channels cancel": "invert one of its channels or remove it",
}
_COMPARED = 10_000  # clips; all pairs of 100,000 took more than a quarter of an hour


@dataclass(frozen=True)
class Examined:
    """What the later steps need of the examination of a corpus.

    Attributes:
        windows: of one second in the training clips, estimated from their length and number.
        hours: of all clips.
        remarks: findings and notes that did not stop the run, a line each.
    """

    windows: int
    hours: float
    remarks: tuple[str, ...]


def check(corpus: Corpus, sample_rate: int, stored: Path, *, go_on: bool) -> Examined:
    """Examine a corpus, or read what an earlier try stored.

    Args:
        corpus: the sounds, split.
        sample_rate: Hz, of the front end.
        stored: JSON file for the result.
        go_on: whether to go on despite findings.

    Raises:
        DataError: for the first finding that would spoil the result, in one sentence.
    """
    if stored.is_file():
        values = json.loads(stored.read_text(encoding="utf-8"))
        known = {field.name: values[field.name] for field in fields(Examined)}
        return Examined(**{**known, "remarks": tuple(known["remarks"])})
    report = examine(corpus, sample_rate, workers=os.cpu_count() or 1, compared=_COMPARED)
    for kind, remedy in SPOILING.items():
        members = report.findings.get(kind, [])
        if members and not go_on:
            first = members[0].rstrip(".")
            more = f" (and {len(members) - 1} more)" if len(members) > 1 else ""
            raise DataError(
                f"The sounds have the fault '{kind}': {first}{more}: {remedy}, or go on all the same with "
                "--despite-findings."
            )
    found = _summary(report)
    with write_beside(stored) as partial:
        partial.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    return found


def _summary(report: CorpusReport) -> Examined:
    lengths = np.array(report.seconds or (0.0,))
    windows = round(report.hours["train"] * 3600 + report.clips["train"] * (lengths % 1 > 0).mean() / 2)
    return Examined(
        windows=max(windows, 1),
        hours=sum(report.hours.values()),
        remarks=tuple(
            f"{kind}: {members[0]}" + (f" and {len(members) - 1} more" if len(members) > 1 else "")
            for kind, members in {**report.notes, **report.findings}.items()
        ),
    )
