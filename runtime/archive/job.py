"""How recordings are classified: the same for all files of a run, on whatever machine."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runtime.archive.recording_time import recorded_at
from runtime.archive.result import FileResult, Identity, Row, pack_rows
from runtime.audio.decode import AudioFile
from runtime.classifier import Model, load_model
from runtime.errors import AudioWarning, ModelFileError, TinysceneError
from runtime.files import printable
from runtime.model.prediction import Prediction, clip_mean
from runtime.streaming.events import EventDetector, EventRules

RowKind = Literal["windows", "events", "clips"]


@dataclass(frozen=True)
class ArchiveJob:
    """What is the same for all files of a run. It can be pickled.

    Attributes:
        model: path of the .onnx file.
        checksum: SHA-256 of that file.
        rules: when events begin and end; of a model with several labels a clip, its thresholds count.
        rows: a row for every window, every event or every clip.
        hop_s: seconds from one window to the next; the length of a window where None.
        channel: which channel to take; the mean of all where None.
        temperature: in place of the one in the file.
        scores: whether rows carry the scores of all labels.

    Example:
        >>> job = ArchiveJob.of(load_model(model_path))
        >>> [row.state for row in FileClassifier(job)(wav_path).unpacked()]
        ['ok', 'ok']
    """

    model: Path
    checksum: str
    rules: EventRules
    rows: RowKind = "windows"
    hop_s: float | None = None
    channel: int | None = None
    temperature: float | None = None
    scores: bool = False

    @classmethod
    def of(cls, model: Model, rules: EventRules | None = None, **settings: Any) -> ArchiveJob:
        """The job that classifies with a model, and with its thresholds where there are no rules.

        Args:
            model: loaded from a file.
            rules: of events.
            settings: the other attributes.
        """
        path = model.session.path.resolve()  # a worker may run in another folder
        return cls(path, _checksum(path), rules or EventRules.of(model.spec), **settings)

    def settings(self) -> dict[str, Any]:
        """What decides the rows, for comparison with another run's, as JSON values."""
        settings = dataclasses.asdict(self)
        del settings["model"]
        rules = settings.pop("rules")
        thresholds = {f"threshold of {label}": value for label, value in rules.pop("enter_of").items()}
        return {**settings, **rules, **thresholds}


class FileClassifier:
    """A loaded model that takes one file after the other: the function that all engines map.

    Args:
        job: how to classify.

    Raises:
        ModelFileError: where the model file is missing, or another than the job's.

    Example:
        >>> classify = FileClassifier(ArchiveJob.of(load_model(model_path)))
        >>> classify("nowhere.wav").error
        'There is no audio file nowhere.wav: check its name.'
    """

    def __init__(self, job: ArchiveJob) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # who made the job has seen them
            self._model = load_model(job.model, job.temperature)
        if _checksum(job.model) != job.checksum:
            raise ModelFileError(f"{job.model} is another model here: copy the same file to all machines.")
        self._job = job

    def __call__(self, path: str | Path) -> FileResult:
        """Classify one file in constant memory, apart from its compressed rows.

        Whatever goes wrong is the result's ``error``: one file must not end a run of days.
        """
        identity = Identity.of(path)
        try:
            with _notes() as notes:
                result = self._classify(str(path), identity)
            return dataclasses.replace(result, notes=tuple(notes))
        except TinysceneError as error:
            return FileResult(str(path), identity, error=str(error))
        except Exception as error:  # not foreseen, so with its type
            text = f"{printable(path)} cannot be classified ({type(error).__name__}: {error}): leave it out."
            return FileResult(str(path), identity, error=text)

    def _classify(self, path: str, identity: Identity) -> FileResult:
        file = AudioFile(path)
        began = recorded_at(path, file.header_s)
        decoded = _Counted(file)
        windows = self._model.windows_of(decoded, file.sample_rate, self._job.hop_s, self._job.channel)
        rows = pack_rows(self._rows(windows))
        return FileResult(path, identity, decoded.samples / file.sample_rate, began, rows)

    def _rows(self, windows: Iterator[Prediction]) -> Iterable[Row]:
        if self._job.rows == "events":
            return _event_rows(windows, EventDetector(self._job.rules))
        if self._job.rows == "clips":
            windows = iter([clip_mean(windows)])
        return (row for window in windows for row in self._window_rows(window))

    def _window_rows(self, window: Prediction) -> Iterator[Row]:
        """One row; of a model with several labels a clip, one for each label that reaches its threshold."""
        scores = tuple(window.scores.values()) if self._job.scores else ()
        if self._model.spec.task == "single_label" or not window.scores:
            found = [(window.label, window.probability, window.state)]
        else:
            reached = self._job.rules.reached(window.scores)
            found = [(label, window.scores[label], window.state) for label in reached]
            found = found or [(None, window.probability, "unknown")]
        for label, probability, state in found:
            yield Row(window.start_s, window.end_s, label, probability, state, scores)


class _Counted:
    """The blocks of a file, and how many samples they had."""

    def __init__(self, file: AudioFile) -> None:
        self._file, self.samples = file, 0

    def __iter__(self) -> Iterator[Any]:
        for block in self._file.blocks():
            self.samples += len(block)
            yield block


def _event_rows(windows: Iterator[Prediction], detector: EventDetector) -> list[Row]:
    """One row an event, from its onset to its offset, in the order of onsets."""
    events = [event for window in windows for event in detector.push(window)[1]] + detector.flush()
    rows = [
        Row(event.start_s, event.end_s, event.label, event.probability, "ok")
        for event in events
        if event.end_s is not None  # an onset is reported again with its offset
    ]
    return sorted(rows, key=lambda row: (row.start_s, row.label or ""))


@contextmanager
def _notes() -> Iterator[list[str]]:
    """What is wrong with the audio and not refused."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", AudioWarning)
        yield notes
    notes += [str(warning.message) for warning in caught]


def _checksum(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelFileError(f"{path} cannot be opened ({error.strerror}): check its name.") from error
