"""Arguments that several commands share, and what they mean."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, _ArgumentGroup
from typing import TYPE_CHECKING

from runtime.errors import ConfigError

if TYPE_CHECKING:  # `--help` imports no numpy
    from runtime.classifier import Model
    from runtime.spec import ModelSpec
    from runtime.streaming.events import EventRules


def add_json(parser: ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def add_model(parser: ArgumentParser) -> None:
    """Add the model and what changes its predictions."""
    parser.add_argument("--model", metavar="M", help="an .onnx file; the packaged model by default")
    parser.add_argument(
        "--channel", type=int, metavar="C", help="classify this channel, from 0; else their mean"
    )
    parser.add_argument("--temperature", type=float, metavar="T", help="divide logits by it (the model's)")


def add_events(parser: ArgumentParser) -> None:
    """Add ``--events`` and the rules of events."""
    events = add_event_rules(parser)
    events.add_argument("--events", action="store_true", help="print onsets and offsets, not every window")


def add_event_rules(parser: ArgumentParser) -> _ArgumentGroup:
    """Add the rules of events, see `runtime.streaming.events.EventRules`."""
    events = parser.add_argument_group("events")
    events.add_argument(
        "--threshold", action="append", metavar="[LABEL=]P", help="onset from this probability (the model's)"
    )
    events.add_argument("--smooth", dest="smoothing_s", type=float, metavar="S", help="time constant (0.5)")
    events.add_argument(
        "--min-duration", dest="min_duration_s", type=float, metavar="S", help="shortest event (0.5)"
    )
    events.add_argument("--cooldown", dest="cooldown_s", type=float, metavar="S", help="pause after one (1)")
    return events


def event_rules(arguments: Namespace, spec: ModelSpec) -> EventRules:
    """The event rules of the model file, overridden by the command line.

    Raises:
        ConfigError: where a threshold is not ``0.6`` or ``label=0.6``.
    """
    from runtime.streaming.events import EventRules

    single: dict[str, float] = {}
    every: dict[str, float] = {}
    for text in arguments.threshold or ():
        label, _, value = text.rpartition("=")
        try:
            number = float(value)
        except ValueError as error:
            raise ConfigError(f"'{text}' is no threshold: write 0.6 or {spec.labels[0]}=0.6.") from error
        if label:
            single[label] = number
        else:
            every = dict.fromkeys(spec.labels, number)
    times = {name: getattr(arguments, name) for name in ("smoothing_s", "min_duration_s", "cooldown_s")}
    given = {name: seconds for name, seconds in times.items() if seconds is not None}
    return EventRules.of(spec, {**every, **single}, **given)


def file_hop_s(arguments: Namespace, model: Model) -> float:
    """Seconds between the windows of files: ``--hop``, or the length of a window.

    Raises:
        ConfigError: where it or ``--channel`` makes no sense, which is one error and not one a file.
    """
    hop_s: float = model.spec.clip_s if arguments.hop is None else arguments.hop
    model.stream(hop_s, channel=arguments.channel)
    return hop_s
