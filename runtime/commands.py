"""What the commands of ``python -m runtime`` do; `runtime.__main__` reads their arguments."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator

from runtime.classifier import Model, load_model
from runtime.door import EXIT_OK, EXIT_UNUSABLE
from runtime.errors import ConfigError, TinysceneError
from runtime.events import Event, EventDetector, EventRules
from runtime.prediction import ClipMean, Prediction
from runtime.sources import AudioFile
from runtime.timeline import describe, event_line, event_to_json, line, runs, to_json


def classify(arguments: Namespace) -> int:
    """Classify files one after the other; a file that cannot be used does not stop the others."""
    model = load_model(arguments.model)
    code = EXIT_OK
    for path in arguments.files:
        try:
            _classify_file(model, AudioFile(path), arguments)
        except TinysceneError as error:
            print(f"error: {error}", file=sys.stderr)
            code = EXIT_UNUSABLE
    return code


def _classify_file(model: Model, file: AudioFile, arguments: Namespace) -> None:
    mean = ClipMean()
    windows = _windows(model, file, mean, arguments)
    if arguments.json:
        _print_json(windows, file, arguments, rules_of(arguments, model))
        print(to_json(mean.answer(), file=file.name, span="clip"), flush=True)
        return
    rates = f"{file.sample_rate} -> {model.spec.frontend.sample_rate} Hz"
    print(f"{file.name}  ({rates}, {file.channels} channel{'s' * (file.channels > 1)})")
    if arguments.events:
        for _, events in _detect(windows, rules_of(arguments, model)):
            print("".join(f"{event_line(event)}\n" for event in events), end="")
    else:
        for run in runs(windows):
            print(line(run))
    print(f"  the clip: {describe(mean.answer(), top=3)}", flush=True)


def _print_json(
    windows: Iterator[Prediction], file: AudioFile, arguments: Namespace, rules: EventRules
) -> None:
    for window, events in _detect(windows, rules):
        if arguments.events:
            for event in events:
                print(event_to_json(event, file=file.name))
        elif window is not None:
            print(to_json(window, file=file.name, span="window"))


def _detect(
    windows: Iterator[Prediction], rules: EventRules
) -> Iterator[tuple[Prediction | None, list[Event]]]:
    """Every window with the events it brings, and None with those that the end of the file brings."""
    detector = EventDetector(rules)
    for window in windows:
        yield window, detector.push(window)[1]
    yield None, detector.flush()


def _windows(model: Model, file: AudioFile, mean: ClipMean, arguments: Namespace) -> Iterator[Prediction]:
    """The predictions of a file's windows as it is decoded, counted into ``mean`` on the way."""
    hop_s = model.spec.clip_s if arguments.hop is None else arguments.hop
    stream = model.stream(hop_s, file.sample_rate, arguments.channel)
    for block in file.blocks():
        for prediction in stream.push(block):
            mean.add(prediction)
            yield prediction
    for prediction in stream.flush():
        mean.add(prediction)
        yield prediction


def rules_of(arguments: Namespace, model: Model) -> EventRules:
    """The event rules of the model file with what the command line says otherwise.

    Raises:
        ConfigError: where a threshold is not ``0.6`` or ``label=0.6``.
    """
    single: dict[str, float] = {}
    every: float | None = None
    for text in arguments.threshold or ():
        label, _, value = text.rpartition("=")
        try:
            number = float(value)
        except ValueError as error:
            raise ConfigError(f"'{text}' is no threshold: write 0.6 or {model.labels[0]}=0.6.") from error
        if label:
            single[label] = number
        else:
            every = number
    spread = {} if every is None else dict.fromkeys(model.labels, every)
    return EventRules.of(model.spec, {**spread, **single})
