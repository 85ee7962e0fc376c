"""``python -m runtime record``: fills a class folder with clips, from a microphone, a pipe or a file."""

from __future__ import annotations

import math
import sys
from argparse import Namespace

from runtime.cli.formatting import name_on_one_line, on_one_line
from runtime.cli.microphone.listen import check_pcm_options, is_microphone, open_source
from runtime.cli.microphone.live_view import level_bar
from runtime.devices.file_source import FileSource
from runtime.devices.microphone import find_device, inputs
from runtime.devices.source import Source
from runtime.entry_point import EXIT_NEGATIVE, EXIT_OK
from runtime.errors import AudioError, ConfigError
from runtime.live.takes import ClassFolder, InterruptionError, TakeReader, fault_of

_PAUSE_S = 2.0  # before each take, unless the source is a file
_MIN_S, _MAX_S = 0.1, 60.0  # of one take
_MAX_FAULTS = 10  # in a row, of a live source
_RAW_RATE = 48_000  # of samples on stdin, where nothing says it


def record(arguments: Namespace) -> int:
    """Record takes; Ctrl-C and SIGTERM end it (`runtime.entry_point`), and what is finished stays.

    The exit code is 1 where the source ends before all takes are recorded.
    """
    _check(arguments)
    check_pcm_options([arguments.source], arguments)
    source = open_source(arguments.source, arguments, _rate(arguments.source))
    try:
        folder = ClassFolder(arguments.into, arguments.label)
        where = name_on_one_line(folder.path)
        print(f"recording {source.name} ({source.sample_rate} Hz) into {where}; Ctrl-C ends", file=sys.stderr)
        try:
            _record_all(source, folder, arguments)
        finally:
            print(f"{folder.takes} of {arguments.count} takes are in {where}", file=sys.stderr, flush=True)
    finally:
        source.close()
    return EXIT_OK if folder.takes == arguments.count else EXIT_NEGATIVE


def _record_all(source: Source, folder: ClassFolder, arguments: Namespace) -> None:
    meter = _Meter()
    reader = TakeReader(source, arguments.channel, meter.show)
    is_file = isinstance(source, FileSource)
    pause_s = arguments.pause if arguments.pause is not None else 0.0 if is_file else _PAUSE_S
    faults = 0
    while folder.takes < arguments.count:
        number = f"{folder.takes + 1}/{arguments.count}"
        try:
            meter.title = f"{number} in"
            reader.read(pause_s)
            meter.title = f"{number} RECORDING"
            samples = reader.read(arguments.seconds)
            fault = fault_of(samples)
        except InterruptionError as interruption:
            fault = str(interruption)
        except EOFError:
            meter.clear()
            print(f"warning: {source.name} ends before take {number}", file=sys.stderr)
            return
        meter.clear()
        faults = faults + 1 if fault else 0
        if not fault:
            folder.save(samples, source.sample_rate)
        elif not is_file:  # of a file, the next stretch is taken
            print(f"take {number} again: {on_one_line(fault)}", file=sys.stderr, flush=True)
        if faults == _MAX_FAULTS and not is_file:
            raise AudioError(
                f"{faults} takes in a row could not be used (the last: {fault}): see the level and the "
                "microphone's volume, then record again."
            )


class _Meter:
    """One line that is drawn again and again in a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self.title = ""
        self._shown = sys.stderr is not None and sys.stderr.isatty()

    def show(self, left_s: float, level: float) -> None:
        """Draw the seconds to come and the level."""
        if self._shown:
            loud = max(level, -99.0)
            line = f"{self.title} {left_s:4.1f} s  {level_bar(level)} {loud:4.0f} dBFS"
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the line."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _rate(name: str | None) -> int:
    """The rate of a microphone by itself, tried before others; of stdin, the one without a header."""
    if not is_microphone(name):
        return _RAW_RATE
    try:
        return int(inputs()[find_device(name)]["default_samplerate"])
    except KeyError:  # unplugged in between: opening it says so
        return _RAW_RATE


def _check(arguments: Namespace) -> None:
    if not _MIN_S <= arguments.seconds <= _MAX_S:  # nan fails, too
        raise ConfigError(
            f"--seconds {arguments.seconds:g} is no length of a take: give {_MIN_S:g} to {_MAX_S:g}."
        )
    if arguments.count < 1:
        raise ConfigError(f"--count {arguments.count} records nothing: give a number from 1 up.")
    if arguments.pause is not None and not 0 <= arguments.pause < math.inf:
        raise ConfigError(f"--pause {arguments.pause:g} is no time: give seconds from 0 up.")
