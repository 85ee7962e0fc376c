"""``python -m runtime listen``: microphones, pipes and files, live, until it is told to stop."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path

from runtime.classifier import load_model
from runtime.cli.classify import rules_of
from runtime.cli.formatting import Wording
from runtime.cli.live_view import choose_view
from runtime.devices.file_source import FileSource
from runtime.devices.microphone import Microphone
from runtime.devices.pcm import Pcm
from runtime.devices.source import Source
from runtime.entry_point import EXIT_OK
from runtime.errors import ConfigError
from runtime.live.live_loop import Heard, Listener
from runtime.live.recorder import Recorder
from runtime.live.service_notification import Watchdog, notify


def listen(arguments: Namespace) -> int:
    """Show what is heard; Ctrl-C, SIGTERM and a closed pipe end it (`runtime.entry_point`)."""
    model = load_model(arguments.model, arguments.temperature)
    rules = rules_of(arguments, model)
    sources = _open_all(arguments, model.spec.frontend.sample_rate)
    listener = Listener(model, sources, hop_s=arguments.hop, rules=rules, channel=arguments.channel)
    for source in sources:
        rates = f"{source.sample_rate} -> {model.spec.frontend.sample_rate} Hz"
        print(f"listening to {source.name} ({rates}), every {arguments.hop:g} s", file=sys.stderr)
    print(_privacy(arguments), file=sys.stderr, flush=True)
    watchdog = Watchdog()
    try:
        with choose_view(arguments, Wording(model.spec.task, rules), several=len(sources) > 1) as view:
            notify("READY=1")
            for item in listener:
                if isinstance(item, Heard) and item.raw.state != "gap":
                    watchdog.feed()
                view.show(item)
    finally:
        notify("STOPPING=1")
        listener.close()
    return EXIT_OK


def _open_all(arguments: Namespace, rate: int) -> list[Source]:
    names = [*arguments.inputs, *(arguments.input or [])]
    names += [arguments.device] if arguments.device or not names else []
    if names.count("-") > 1:
        raise ConfigError(
            "There is one stdin, so `-` can be given once: name files or microphones beside it."
        )
    sources: list[Source] = []
    try:
        for name in names:
            source = _open(name, arguments, rate)
            sources.append(source)
            if arguments.record:
                folder = Path(arguments.record) / str(len(sources) if len(names) > 1 else "")
                sources[-1] = Recorder(source, folder, arguments.record_limit * 1e6, arguments.channel)
    except BaseException:
        for source in sources:
            source.close()
        raise
    return sources


def _open(name: str | None, arguments: Namespace, rate: int) -> Source:
    """``-`` is stdin, the name of a file that file, and anything else a microphone."""
    if name == "-":
        if sys.stdin is None:
            raise ConfigError("stdin is closed: pipe raw samples into it, or leave `-` away.")
        return Pcm(
            sys.stdin.fileno(),
            rate if arguments.rate is None else arguments.rate,
            arguments.channels,
            arguments.format,
        )
    if name is not None and os.path.lexists(name):
        return FileSource(name)
    return Microphone(name, rate, arguments.channel)


def _privacy(arguments: Namespace) -> str:
    kept = f"kept in {arguments.record}" if arguments.record else "not kept"
    return f"the sound is {kept} and not sent anywhere; Ctrl-C ends"
