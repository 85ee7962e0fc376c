"""``python -m runtime serve``: a page with live results, for a machine without a screen."""

from __future__ import annotations

import os
import socket
import sys
from argparse import Namespace
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.capture.capture_folder import CaptureFolder
from runtime.capture.capturing_source import CapturingSource
from runtime.capture.sorting import Sorting
from runtime.cli.arguments import event_rules
from runtime.cli.formatting import on_one_line
from runtime.devices.microphone import Microphone
from runtime.devices.source import Source
from runtime.entry_point import EXIT_OK, require
from runtime.errors import ConfigError
from runtime.live.recorder import Recorder
from runtime.spec import ModelSpec
from runtime.streaming.events import EventRules

if TYPE_CHECKING:
    from runtime.server.models import Models
    from runtime.server.mqtt import Publisher
    from runtime.server.own_input import OwnInput
    from runtime.server.service import Service

_TOKEN, _BROKER = "TINYSCENE_TOKEN", "TINYSCENE_MQTT"  # secrets on a command line can be read by others


def serve(arguments: Namespace) -> int:
    """Serve the page until Ctrl-C or SIGTERM (`runtime.entry_point`)."""
    for package in ("starlette", "uvicorn", "websockets"):
        require(package, extra="serve")
    from runtime.server.limits import Limits
    from runtime.server.log.event_log import EventLog
    from runtime.server.models import Models
    from runtime.server.service import Service
    from runtime.server.web import app
    from runtime.server.web.guard import Access

    token = arguments.token or os.environ.get(_TOKEN) or None
    app.check_access(arguments.host, token, arguments.insecure)
    address = app.Address(arguments.host, arguments.port, arguments.certificate, arguments.key)
    models = Models.find(arguments.model, arguments.temperature)
    spec = models.load(models.names[0]).spec
    event_rules(arguments, spec)  # a threshold that makes no sense is one error, before anything starts
    with closing(EventLog(arguments.log, arguments.log_limit * 1e6)) as log:
        service = Service(models, arguments.hop, _rules_of(arguments), log, Limits(clients=arguments.clients))
        own_input, captures = _own_input(arguments, spec, service)
        access = Access(arguments.host, token, frozenset(name.lower() for name in arguments.name or ()))
        publisher = _publisher(arguments, service, models) if own_input is not None else None
        print(_privacy(arguments), file=sys.stderr, flush=True)
        try:
            app.serve(service, own_input, access, address, publisher)
        finally:
            if captures is not None:
                captures.close()
    return EXIT_OK


def _own_input(
    arguments: Namespace, spec: ModelSpec, service: Service
) -> tuple[OwnInput | None, CaptureFolder | None]:
    """The server's own input, recorded and captured as asked for, and the folder that takes the captures."""
    from runtime.server.own_input import OwnInput

    source = _open_source(arguments, spec)
    if source is None:
        return None, None
    captures = capturing = sorting = None
    if arguments.capture:
        captures = CaptureFolder(arguments.capture, arguments.capture_mb * 1e6)
        sorting = Sorting(captures.path, arguments.sounds)
        rules = event_rules(arguments, spec)
        source = capturing = CapturingSource(source, captures, rules, spec.clip_s, arguments.channel)
    folder = None if arguments.record is None else Path(arguments.record)
    if folder is not None:
        limit, on_write = arguments.record_limit * 1e6, service.log.recorded
        source = Recorder(source, folder, limit, arguments.channel, on_write=on_write)
    return OwnInput(service, source, arguments.channel, folder, capturing, sorting), captures


def _open_source(arguments: Namespace, spec: ModelSpec) -> Source | None:
    """The server's own input: None for ``browser``, a microphone for ``mic`` or ``mic:NAME``, else a file."""
    kind, _, name = arguments.source.partition(":")
    if arguments.source == "browser":
        for option in ("record", "capture"):
            if getattr(arguments, option):
                raise ConfigError(f"--{option} stores the server's own input: give --source mic or a file.")
        return None
    if kind == "mic":
        return Microphone(name or None, spec.frontend.sample_rate, arguments.channel)
    from runtime.server.sources import PacedFile

    source = PacedFile(arguments.source)
    source.name = on_one_line(source.name)
    return source


def _rules_of(arguments: Namespace) -> Callable[[ModelSpec], EventRules]:
    """The rules of the command line for any model: of another one, only the thresholds that it has."""

    def rules(spec: ModelSpec) -> EventRules:
        given = Namespace(**vars(arguments))
        given.threshold = [
            text for text in arguments.threshold or ()
            if "=" not in text or text.rpartition("=")[0] in spec.labels
        ]  # fmt: skip
        return event_rules(given, spec)

    return rules


def _publisher(arguments: Namespace, service: Service, models: Models) -> Publisher | None:
    url = arguments.mqtt or os.environ.get(_BROKER)
    if not url:
        return None
    from runtime.server.mqtt import Broker, Publisher, Topics

    topics = Topics(arguments.mqtt_name or socket.gethostname(), models.load(models.names[0]).labels)
    return Publisher(Broker.parse(url), topics, service.metrics)


def _privacy(arguments: Namespace) -> str:
    recorded = f"recorded in {arguments.record}" if arguments.record else "not recorded"
    if arguments.capture:
        around = f"stored around events and close misses in {arguments.capture}"
        recorded = f"{recorded} and {around}" if arguments.record else around
    sent = "; events are sent by MQTT" if arguments.mqtt or os.environ.get(_BROKER) else ""
    return f"the sound is {recorded}; what browsers send is not stored{sent}; Ctrl-C ends"
