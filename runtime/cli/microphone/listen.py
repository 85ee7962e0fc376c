"""``python -m runtime listen``: microphones, pipes and files, live, until a signal or their end stops it."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from runtime.capture.capture_folder import CaptureFolder
from runtime.capture.capturing_source import CapturingSource
from runtime.classifier import load_model
from runtime.cli.arguments import event_rules
from runtime.cli.formatting import LabelFormatter, name_on_one_line
from runtime.cli.microphone.live_view import choose_view
from runtime.cli.standard_output import is_one_log
from runtime.devices.file_source import FileSource
from runtime.devices.microphone import Microphone
from runtime.devices.source import Source
from runtime.devices.standard_input import PcmOptions, open_stdin
from runtime.entry_point import EXIT_OK
from runtime.errors import ConfigError
from runtime.live.live_loop import Ended, Item, Listener, LiveResult
from runtime.live.recorder import Recorder
from runtime.live.service_notification import Watchdog, notify
from runtime.spec import ModelSpec
from runtime.streaming.events import EventRules


def listen(arguments: Namespace) -> int:
    """Show predictions as they come; Ctrl-C, SIGTERM and a closed pipe end it (`runtime.entry_point`)."""
    model = load_model(arguments.model, arguments.temperature)
    rules = event_rules(arguments, model.spec)
    captures = CaptureFolder(arguments.capture, arguments.capture_mb * 1e6) if arguments.capture else None
    sources = _open_all(arguments, model.spec, rules, captures)
    listener = Listener(model, sources, hop_s=arguments.hop, rules=rules, channel=arguments.channel)
    if not (arguments.json and is_one_log()):
        for source in sources:
            rates = f"{source.sample_rate} -> {model.spec.frontend.sample_rate} Hz"
            print(f"listening to {source.name} ({rates}), every {arguments.hop:g} s", file=sys.stderr)
        print(_privacy(arguments), file=sys.stderr, flush=True)
    watchdog = Watchdog()
    formatter = LabelFormatter(model.spec.task, rules)
    try:
        with choose_view(arguments, formatter, several=len(sources) > 1) as view:
            notify("READY=1")
            for item in listener:
                if isinstance(item, LiveResult) and item.raw.state != "gap":
                    watchdog.ping()
                _hand_to_captures(item, sources)
                view.show(item)
    finally:
        notify("STOPPING=1")
        listener.close()
        if captures is not None:
            captures.close()
    return EXIT_OK


def _hand_to_captures(item: Item, sources: Sequence[Source]) -> None:
    for source in sources:
        is_from = isinstance(item, LiveResult | Ended) and item.source == source.name
        if is_from and isinstance(source, CapturingSource):
            source.handle(item)


def _open_all(
    arguments: Namespace, spec: ModelSpec, rules: EventRules, captures: CaptureFolder | None
) -> list[Source]:
    names = [*arguments.inputs, *(arguments.input or [])]
    names += [arguments.device] if arguments.device or not names else []
    if names.count("-") > 1:
        raise ConfigError(
            "There is one stdin, so `-` can be given once: name files or microphones beside it."
        )
    check_pcm_options(names, arguments)
    sources: dict[int, Source] = {}
    try:
        # stdin first: it waits for its first bytes, and a microphone that is open already would lose samples
        for index in sorted(range(len(names)), key=lambda index: names[index] != "-"):
            source = sources[index] = open_source(names[index], arguments, spec.frontend.sample_rate)
            live = not isinstance(source, FileSource)
            if arguments.record:
                folder = Path(arguments.record) / str(index + 1 if len(names) > 1 else "")
                source = Recorder(source, folder, arguments.record_limit * 1e6, arguments.channel)
            if captures is not None:
                source = CapturingSource(source, captures, rules, spec.clip_s, arguments.channel, live=live)
            sources[index] = source
    except BaseException:
        for source in sources.values():
            source.close()
        raise
    return [sources[index] for index in range(len(names))]


def check_pcm_options(names: Sequence[str | None], arguments: Namespace) -> None:
    """Compare the options of PCM on stdin with what is opened.

    Raises:
        ConfigError: where one is given for files, whose headers say the same, and nothing comes from stdin.
    """
    options = ("raw", "rate", "channels", "format")
    given = [name for name in options if getattr(arguments, name) not in (None, False)]
    if given and "-" not in names and not all(map(is_microphone, names)):
        raise ConfigError(
            f"--{given[0]} describes samples on stdin, and a file is read by its header: leave it out, or "
            "redirect the file (`- < FILE`)."
        )


def open_source(name: str | None, arguments: Namespace, rate: int) -> Source:
    """``-`` is stdin, the name of a file that file, and anything else a microphone.

    Args:
        name: the default microphone where None.
        arguments: with the channel, and the options of PCM on stdin.
        rate: of samples without a header, and tried first with a microphone, Hz.

    Raises:
        TinysceneError: where it cannot be opened.
    """
    if name == "-":
        if sys.stdin is None:
            raise ConfigError("stdin is closed: pipe audio into it, or leave `-` away.")
        options = PcmOptions(arguments.raw, arguments.rate, arguments.channels, arguments.format)
        return open_stdin(sys.stdin.fileno(), options, rate)
    if name is not None and not is_microphone(name):
        source = FileSource(name)
        source.name = name_on_one_line(name)  # it may hold bytes that are not UTF-8
        return source
    return Microphone(name, rate, arguments.channel)


def is_microphone(name: str | None) -> bool:
    """Whether `open_source` takes a name for that of a microphone."""
    return name is None or not (name == "-" or os.path.lexists(name) or _looks_like_file(name))


def _looks_like_file(name: str) -> bool:
    """Whether a name that does not exist was meant to be that of a file: no microphone has such a name."""
    if Path(name).is_absolute() or name.startswith(("./", "../")):
        return True
    suffix = Path(name).suffix.lower()
    if not suffix:
        return False
    from runtime.audio.decode import AUDIO_SUFFIXES  # only here: a microphone does without libsndfile

    return suffix in AUDIO_SUFFIXES


def _privacy(arguments: Namespace) -> str:
    recorded = f"recorded in {arguments.record}" if arguments.record else "not recorded"
    if arguments.capture:
        around = f"stored around events and close misses in {arguments.capture}"
        recorded = f"{recorded}, {around}," if arguments.record else around
    return f"the sound is {recorded} and not sent anywhere; Ctrl-C ends"
