"""How live results are shown: JSON lines, plain lines, or bars that are redrawn in a terminal."""

from __future__ import annotations

import dataclasses
import json
import sys
from argparse import Namespace
from types import TracebackType
from typing import Any, Protocol

from runtime.cli.formatting import STATES, LabelFormatter, event_line, event_to_json
from runtime.errors import ConfigError
from runtime.live.json_fields import event_ago_s, utc, window_fields
from runtime.live.live_loop import DeviceChange, HopChange, Item, LiveResult
from runtime.streaming.events import Event

_METER_DB = 60.0  # of the level meter: from -60 dBFS to 0
_BAR = 30  # characters


class View(Protocol):
    """Shows what a listener yields; a context manager."""

    def show(self, item: Item) -> None:
        """Show one item."""

    def __enter__(self) -> View: ...

    def __exit__(self, *error: Any) -> None: ...


def choose_view(arguments: Namespace, formatter: LabelFormatter, *, several: bool) -> View:
    """JSON if asked for, bars in a terminal where rich is installed, lines elsewhere.

    Args:
        arguments: of ``listen``.
        formatter: which labels are shown.
        several: whether there is more than one input, so that lines have to name theirs.

    Raises:
        ConfigError: where no label would be shown.
    """
    if arguments.top < 1:
        raise ConfigError(f"--top {arguments.top} shows nothing: give a number from 1 up.")
    if arguments.json:
        return JsonView(events_only=arguments.events)
    if sys.stdout.isatty() and not arguments.events:
        try:
            return TerminalView(formatter, arguments.top)
        except ModuleNotFoundError:  # rich is an extra
            pass
    return LineView(formatter, arguments.top, events_only=arguments.events, named=several)


class JsonView:
    """One JSON object a line: a window's, an event's, a device's or the hop's.

    Each has the time of day, too, as ``utc``: of a window's last sample, of an event's onset or offset, of
    a change. Of an event that the end of its input ended, it is the time of that end.
    """

    def __init__(self, *, events_only: bool) -> None:
        self._events_only = events_only

    def __enter__(self) -> JsonView:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def show(self, item: Item) -> None:
        """Print the item."""
        if isinstance(item, DeviceChange | HopChange):
            print(json.dumps({**dataclasses.asdict(item), "utc": utc(0.0)}), flush=True)
            return
        if isinstance(item, LiveResult) and not self._events_only:
            print(json.dumps(window_fields(item), allow_nan=False), flush=True)
        for event in item.events:
            ago_s = event_ago_s(item, event) if isinstance(item, LiveResult) else 0.0
            print(event_to_json(event, source=item.source, utc=utc(ago_s)), flush=True)


class LineView:
    """A line per window, or per event; changes of a device and of the hop go to stderr."""

    def __init__(self, formatter: LabelFormatter, top: int, *, events_only: bool, named: bool) -> None:
        self._formatter, self._top = formatter, top
        self._events_only, self._named = events_only, named

    def __enter__(self) -> LineView:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def show(self, item: Item) -> None:
        """Print the item."""
        if isinstance(item, DeviceChange):
            print(f"{item.event}: {item.source}: {item.detail}", file=sys.stderr, flush=True)
            return
        if isinstance(item, HopChange):
            print(f"{item.event}: {item.detail}", file=sys.stderr, flush=True)
            return
        name = f"  {item.source}" if self._named else ""
        if self._events_only:
            for event in item.events:
                print(event_line(event) + name, flush=True)
        elif isinstance(item, LiveResult):
            lost = f"  ({item.dropped_s:.1f} s lost)" if item.dropped_s else ""
            what = self._formatter.describe(item.smoothed, self._top)
            print(f"{item.raw.end_s:9.2f} s  {item.level_dbfs:6.1f} dB  {what}{lost}{name}", flush=True)


class TerminalView:
    """Level meter, the most probable labels as bars, lag and losses; redrawn in place by rich.

    Raises:
        ModuleNotFoundError: where rich is not installed.
    """

    def __init__(self, formatter: LabelFormatter, top: int) -> None:
        from rich.live import Live

        self._formatter, self._top = formatter, top
        self._panels: dict[str, str] = {}
        self._last: dict[str, str] = {}
        self._live = Live(refresh_per_second=8, transient=False)

    def __enter__(self) -> TerminalView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, item: Item) -> None:
        """Redraw the input's part of the view."""
        from rich.text import Text

        if isinstance(item, LiveResult):
            self._panels[item.source] = _panel(item, self._formatter, self._top)
            self._note(item.source, item.events)
        elif isinstance(item, DeviceChange):
            self._last[item.source] = f"{item.event}: {item.detail}"
        elif isinstance(item, HopChange):
            self._last |= dict.fromkeys(self._panels, f"{item.event}: {item.detail}")
        lines = [
            f"{source}\n{panel}\n  last {self._last.get(source, '')}"
            for source, panel in self._panels.items()
        ]
        self._live.update(Text("\n".join(lines)))

    def _note(self, source: str, events: tuple[Event, ...]) -> None:
        for event in events:
            self._last[source] = event_line(event).strip()


def _panel(item: LiveResult, formatter: LabelFormatter, top: int) -> str:
    """A meter, ``top`` bars whether or not there is something to show, and a line of state.

    A star stands before the labels of the prediction.
    """
    lines = [f"  {'level':16} {level_bar(item.level_dbfs)} {item.level_dbfs:.0f} dBFS"]
    smoothed = item.smoothed
    sure = formatter.labels(smoothed)
    for label in formatter.likeliest(smoothed, top):
        score = smoothed.scores[label]
        lines.append(f"{'*' if label in sure else ' '} {label[:16]:16} {_bar(score)} {score:4.2f}")
    lines += [""] * (1 + top - len(lines))
    state = STATES.get(smoothed.state, "")
    return "\n".join([*lines, f"  late {item.late_s:.2f} s   lost {item.dropped_s:.1f} s   {state}"])


def level_bar(level_dbfs: float) -> str:
    """A meter from -60 dBFS to 0."""
    return _bar(1 + max(level_dbfs, -_METER_DB) / _METER_DB)


def _bar(part: float) -> str:
    full = round(min(max(part, 0.0), 1.0) * _BAR)
    return "█" * full + "·" * (_BAR - full)
