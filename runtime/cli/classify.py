"""What the commands of ``python -m runtime`` do; `runtime.__main__` reads their arguments."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator

from runtime.classifier import Model, load_model
from runtime.cli.formatting import Wording, event_line, event_to_json, line, to_json
from runtime.devices.file_source import FileSource
from runtime.entry_point import EXIT_OK, EXIT_UNUSABLE
from runtime.errors import ConfigError, TinysceneError
from runtime.live.live_loop import Ended, Heard, Listener
from runtime.model.prediction import ClipMean
from runtime.streaming.events import EventRules


def classify(arguments: Namespace) -> int:
    """Classify files one after the other; a file that cannot be used does not stop the others."""
    model = load_model(arguments.model, arguments.temperature)
    code = EXIT_OK
    for path in arguments.files:
        try:
            _classify_file(model, FileSource(path), arguments)
        except TinysceneError as error:
            print(f"error: {error}", file=sys.stderr)
            code = EXIT_UNUSABLE
    return code


def _classify_file(model: Model, file: FileSource, arguments: Namespace) -> None:
    hop_s = model.spec.clip_s if arguments.hop is None else arguments.hop
    rules = rules_of(arguments, model)
    listener = Listener(model, [file], hop_s=hop_s, rules=rules, channel=arguments.channel)
    mean = ClipMean()
    items = _counted(listener, mean)
    if arguments.json:
        _print_json(items, file.name, events_only=arguments.events)
        print(to_json(mean.prediction(), file=file.name, span="clip"), flush=True)
        return
    wording = Wording(model.spec.task, rules)
    rates = f"{file.sample_rate} -> {model.spec.frontend.sample_rate} Hz"
    print(f"{file.name}  ({rates}, {file.channels} channel{'s' * (file.channels > 1)})")
    if arguments.events:
        lines = (event_line(event) for item in items for event in item.events)
    else:
        lines = (line(run) for run in wording.runs(item.raw for item in items if isinstance(item, Heard)))
    for text in lines:
        print(text)
    print(f"  the clip: {wording.describe(mean.prediction(), top=3)}", flush=True)


def _counted(listener: Listener, mean: ClipMean) -> Iterator[Heard | Ended]:
    """What a file brings, its windows counted into ``mean`` on the way."""
    for item in listener:
        if isinstance(item, Heard):
            mean.add(item.raw)
        if isinstance(item, Heard | Ended):
            yield item


def _print_json(items: Iterator[Heard | Ended], name: str, *, events_only: bool) -> None:
    for item in items:
        if events_only:
            for event in item.events:
                print(event_to_json(event, file=name))
        elif isinstance(item, Heard):
            print(to_json(item.raw, item.smoothed, file=name, span="window"))


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
    times = {name: getattr(arguments, name) for name in ("smoothing_s", "min_duration_s", "cooldown_s")}
    given = {name: seconds for name, seconds in times.items() if seconds is not None}
    return EventRules.of(model.spec, {**spread, **single}, **given)
