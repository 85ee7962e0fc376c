"""``python -m runtime classify``: audio files and folders of them, through the public API."""

from __future__ import annotations

import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from runtime.audio.decode import AudioFile
from runtime.classifier import Model, load_model
from runtime.cli.arguments import event_rules, file_hop_s
from runtime.cli.audio_paths import AudioPaths
from runtime.cli.formatting import (
    LabelFormatter,
    event_line,
    event_to_json,
    line,
    name_on_one_line,
    on_one_line,
    to_json,
)
from runtime.cli.progress import Progress
from runtime.entry_point import EXIT_OK, EXIT_UNUSABLE
from runtime.errors import AudioWarning, ConfigError, TinysceneError
from runtime.model.prediction import ClipMean, Prediction
from runtime.streaming.events import Event, EventDetector, EventRules

_WITH_OUTPUT = ("format", "jobs", "clips", "scores", "shard", "engine")  # options of `classify -o`


def classify(arguments: Namespace) -> int:
    """Classify files one after the other; a file that cannot be used does not stop the others.

    With ``-o`` they go into a table instead, see `runtime.cli.classify_archive`.

    Returns:
        `EXIT_UNUSABLE` where a named file, or every file of a named folder, could not be used.
    """
    if arguments.output is not None:
        from runtime.cli.classify_archive import classify_archive

        return classify_archive(arguments)
    if given := [name for name in _WITH_OUTPUT if getattr(arguments, name)]:
        raise ConfigError(f"--{given[0]} belongs to a table: name one with -o, such as -o table.csv.")
    model = load_model(arguments.model, arguments.temperature)
    job = _Job(model, event_rules(arguments, model.spec), file_hop_s(arguments, model), arguments)
    paths = AudioPaths.find(arguments.files)
    failed = set(_classify_all(job, paths))
    unusable = paths.problems or any(failed.issuperset(files) for files in paths.inputs)
    return EXIT_UNUSABLE if unusable else EXIT_OK


@dataclass(frozen=True)
class _Job:
    """What is the same for all files of a call."""

    model: Model
    rules: EventRules
    hop_s: float
    arguments: Namespace

    def windows(self, file: AudioFile) -> Iterator[Prediction]:
        """The predictions for a file, window after window."""
        return self.model.windows_of(file.blocks(), file.sample_rate, self.hop_s, self.arguments.channel)


def _classify_all(job: _Job, paths: AudioPaths) -> list[str]:
    """Classify every file; the names of those that could not be used."""
    failed: list[str] = []
    progress = Progress(paths.files, shown=not _is_terminal())
    for problem in paths.problems:
        progress.print(f"error: {on_one_line(problem)}")
    with _file_warnings(progress):
        for name in progress:
            try:
                _print_file(job, AudioFile(name))
            except TinysceneError as error:
                failed.append(name)
                progress.print(f"error: {on_one_line(str(error))}")
    if left_out := paths.left_out():
        progress.print(f"left out: {left_out}")
    if failed and len(paths.files) > 1:
        progress.print(f"{len(failed)} of {len(paths.files)} files could not be classified")
    return failed


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


@contextmanager
def _file_warnings(progress: Progress) -> Iterator[None]:
    """Print warnings about audio with the name of the file, for every file and not once for all."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        file = f"{name_on_one_line(progress.current)}: " if issubclass(category, AudioWarning) else ""
        progress.print(f"warning: {file}{message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", AudioWarning)
        warnings.showwarning = show
        yield


def _print_file(job: _Job, file: AudioFile) -> None:
    """Print what is in a file, as it is read, and the prediction for all of it."""
    mean, detector = ClipMean(), EventDetector(job.rules)
    show = _print_json if job.arguments.json else _print_text
    show(job, file, _smoothed(job.windows(file), mean, detector), detector)
    clip = mean.prediction()
    if job.arguments.json:
        print(to_json(clip, file=file.name, span="clip"), flush=True)
    else:
        print(
            f"  the clip: {LabelFormatter(job.model.spec.task, job.rules).describe(clip, top=3)}", flush=True
        )


_Step = tuple[Prediction, Prediction, list[Event]]  # a window, the same smoothed, what began or ended with it


def _smoothed(windows: Iterator[Prediction], mean: ClipMean, detector: EventDetector) -> Iterator[_Step]:
    for window in windows:
        mean.add(window)
        yield window, *detector.push(window)


def _print_json(job: _Job, file: AudioFile, steps: Iterator[_Step], detector: EventDetector) -> None:
    if job.arguments.events:
        for event in _events(steps, detector):
            print(event_to_json(event, file=file.name))
        return
    for window, smoothed, _ in steps:
        print(to_json(window, smoothed, file=file.name, span="window"))


def _print_text(job: _Job, file: AudioFile, steps: Iterator[_Step], detector: EventDetector) -> None:
    spec = job.model.spec
    rates = f"{file.sample_rate} -> {spec.frontend.sample_rate} Hz"
    print(f"{on_one_line(file.name)}  ({rates}, {file.channels} channel{'s' * (file.channels > 1)})")
    if job.arguments.events:
        for event in _events(steps, detector):
            print(event_line(event))
        return
    for run in LabelFormatter(spec.task, job.rules).runs(window for window, _, _ in steps):
        print(line(run))


def _events(steps: Iterator[_Step], detector: EventDetector) -> Iterator[Event]:
    for _, _, events in steps:
        yield from events
    yield from detector.flush()
