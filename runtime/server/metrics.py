"""Counters of the server in the text format of Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats)."""

from __future__ import annotations

import math
from collections import defaultdict

_LAG_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # upper bounds of the histogram's buckets
_HELP = {
    "windows_total": "Windows that were classified, by model and state.",
    "events_total": "Events of the server's own input that began, by label.",
    "lost_seconds_total": "Audio of the server's own input that was lost.",
    "skipped_total": "Messages that were left out because their reader was too slow.",
    "refused_total": "Requests and connections that were refused or cut off, by reason.",
    "uploads_total": "Files that were classified.",
    "level_dbfs": "Level of the last window of the server's own input.",
    "hop_seconds": "Time from one window to the next, by model.",
    "clients": "Open WebSockets, by kind.",
    "mqtt_connected": "Whether the MQTT broker is connected.",
}


class Metrics:
    """Counters, gauges and one histogram; all methods belong to the event loop.

    Example:
        >>> metrics = Metrics()
        >>> metrics.add("windows_total", model="tiny", state="ok")
        >>> print(metrics.text())  # doctest: +ELLIPSIS
        # HELP tinyscene_windows_total Windows that were classified, by model and state.
        # TYPE tinyscene_windows_total counter
        tinyscene_windows_total{model="tiny",state="ok"} 1
        ...
    """

    def __init__(self) -> None:
        self._values: dict[str, dict[tuple[tuple[str, str], ...], float]] = defaultdict(dict)
        self._lags = [0] * len(_LAG_S)
        self._lag_sum, self._lag_count = 0.0, 0

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count up."""
        of, key = self._values[name], tuple(labels.items())
        of[key] = of.get(key, 0) + amount

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._values[name][tuple(labels.items())] = value

    def observe_lag(self, late_s: float) -> None:
        """Count a window into the histogram of lags."""
        for index, bound in enumerate(_LAG_S):
            self._lags[index] += late_s <= bound
        self._lag_sum += late_s
        self._lag_count += 1

    def text(self) -> str:
        """All of it."""
        lines = []
        for name, help_text in _HELP.items():
            if samples := self._values.get(name):
                kind = "counter" if name.endswith("_total") else "gauge"
                lines += _head(name, help_text, kind)
                lines += [f"tinyscene_{name}{_labels(key)} {_number(samples[key])}" for key in samples]
        lines += _head(
            "lag_seconds", "From the arrival of a window's last sample to its result.", "histogram"
        )
        for bound, count in zip((*map(str, _LAG_S), "+Inf"), (*self._lags, self._lag_count), strict=True):
            lines.append(f'tinyscene_lag_seconds_bucket{{le="{bound}"}} {count}')
        lines += [f"tinyscene_lag_seconds_sum {_number(self._lag_sum)}"]
        lines += [f"tinyscene_lag_seconds_count {self._lag_count}"]
        return "\n".join(lines) + "\n"


def _head(name: str, help_text: str, kind: str) -> list[str]:
    return [f"# HELP tinyscene_{name} {help_text}", f"# TYPE tinyscene_{name} {kind}"]


def _labels(key: tuple[tuple[str, str], ...]) -> str:
    pairs = ",".join(f'{name}="{_escape(value)}"' for name, value in key)
    return f"{{{pairs}}}" if pairs else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(float(value))
