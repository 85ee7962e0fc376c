"""Results of a batch in one file: a row of CSV or a JSON object for each clip."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TextIO

from runtime.errors import ConfigError
from runtime.files import printable, write_beside
from runtime.model.prediction import Prediction


class Results(Protocol):
    """A file of results that is being written."""

    def add(self, name: str, clip: Prediction) -> None:
        """Append the prediction for a clip."""


@contextmanager
def open_results(path: str, labels: tuple[str, ...]) -> Iterator[Results]:
    """Write a .csv or .jsonl file, which appears under its name once all of it is there.

    Each row has ``file`` (see `printable`), ``label``, ``probability``, ``state``, ``end_s`` and the
    scores: in CSV in columns named ``score_`` and the label, in JSON as ``scores``.

    Raises:
        ConfigError: where the suffix is another.
        TinysceneError: where the file cannot be written.
    """
    kinds: dict[str, type[CsvResults] | type[JsonResults]] = {".csv": CsvResults, ".jsonl": JsonResults}
    kind = kinds.get(Path(path).suffix.lower())
    if kind is None:
        raise ConfigError(
            f"'{path}' ends with neither .csv nor .jsonl: name a results file such as results.csv."
        )
    with write_beside(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        yield kind(file, labels)


class CsvResults:
    """Rows of comma-separated values, the names of the columns first.

    Args:
        file: opened with ``newline=""``.
        labels: of the model.

    Example:
        >>> import sys
        >>> silence = Prediction(None, None, {}, 0.0, 1.5, "no_signal")
        >>> CsvResults(sys.stdout, ("dog", "rain")).add("a.wav", silence)
        file,label,probability,state,end_s,score_dog,score_rain
        a.wav,,,no_signal,1.5,,
    """

    def __init__(self, file: TextIO, labels: tuple[str, ...]) -> None:
        self._labels = labels
        self._writer = csv.writer(file, lineterminator="\n")
        scores = [f"score_{label}" for label in labels]
        self._writer.writerow(["file", "label", "probability", "state", "end_s", *scores])

    def add(self, name: str, clip: Prediction) -> None:
        """Append a row; what was not computed is empty."""
        scores = [clip.scores.get(label, "") for label in self._labels]
        fields = ("" if value is None else value for value in (clip.label, clip.probability))
        self._writer.writerow([printable(name), *fields, clip.state, clip.end_s, *scores])


class JsonResults:
    """JSON objects, one a line.

    Args:
        file: to write to.
        labels: of the model, in whose order scores stand.

    Example:
        >>> import sys
        >>> silence = Prediction(None, None, {}, 0.0, 1.5, "no_signal")
        >>> JsonResults(sys.stdout, ()).add("a.wav", silence)  # doctest: +ELLIPSIS
        {"file": "a.wav", "label": null, "probability": null, "state": "no_signal", ...}
    """

    def __init__(self, file: TextIO, labels: tuple[str, ...]) -> None:
        self._file = file

    def add(self, name: str, clip: Prediction) -> None:
        """Append an object."""
        row = {
            "file": printable(name), "label": clip.label, "probability": clip.probability,
            "state": clip.state, "end_s": clip.end_s, "scores": clip.scores,
        }  # fmt: skip
        self._file.write(json.dumps(row, allow_nan=False) + "\n")
