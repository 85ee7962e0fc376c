"""The messages of the page's WebSockets, as `runtime/server/README.md` documents them."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np

from runtime.audio.mel_filter_bank import band_place
from runtime.audio.samples import Array
from runtime.live.json_fields import event_fields, utc, window_fields
from runtime.live.live_loop import DeviceChange, HopChange, LiveResult
from runtime.server.engine import Engine
from runtime.spec import FrontEndSpec
from runtime.streaming.events import Event

BANDS = 64  # of the picture; a front end with more mel bands has neighbours averaged
_NATS = 9.0  # from black to white: 78 dB, in natural logarithms of magnitude
_TICKS_HZ = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)


def spectrum_fields(spec: FrontEndSpec) -> dict[str, Any]:
    """What a picture of the log-mel needs to know: its rows, its speed, and frequencies by their place."""
    ticks = {hz: band_place(spec, hz) for hz in _TICKS_HZ if spec.f_min < hz < spec.f_max}
    return {
        "bands": min(BANDS, spec.n_mels),
        "columns_per_s": spec.sample_rate / spec.hop_length,
        "ticks": [{"hz": hz, "place": round(place, 4)} for hz, place in ticks.items()],
    }


def spectrum_bytes(columns: Array, spec: FrontEndSpec) -> bytes:
    """Log-mel columns as bytes for a picture, column after column, the lowest band first.

    Args:
        columns: float32 [n_mels, columns], normalised as ``spec`` says.
        spec: 0 is its ``log_offset``, the quietest there is; 255 lies 78 dB above.
    """
    bands = min(BANDS, spec.n_mels)
    edges = np.arange(bands + 1) * spec.n_mels // bands
    means = np.add.reduceat(columns, edges[:-1], axis=0) / np.diff(edges)[:, None]
    quietest = (math.log(spec.log_offset) - spec.mean) / spec.std
    span = _NATS * spec.power / spec.std
    scaled = np.clip((means - quietest) / span, 0, 1) * 255
    return scaled.T.astype(np.uint8).tobytes()


def window_message(item: LiveResult, engine: Engine) -> str:
    """``window``: the fields of `listen --json`, the labels that reach their thresholds, and the picture."""
    frontend, picture = engine.model.spec.frontend, None
    if item.columns is not None:
        picture = base64.b64encode(spectrum_bytes(item.columns, frontend)).decode()
    labels = engine.formatter.labels(item.smoothed)
    return dump({"type": "window", **window_fields(item), "labels": labels, "spectrum": picture})


def event_message(event: Event, ago_s: float, **more: Any) -> str:
    """``event``: an onset or offset, and when it was."""
    return dump({"type": "event", **event_fields(event, utc=utc(ago_s)), **more})


def change_message(item: DeviceChange | HopChange) -> str:
    """``change``: of the device, or of the hop, which it then gives."""
    fields = {"type": "change", "event": item.event, "detail": item.detail, "utc": utc(0.0)}
    return dump({**fields, "hop_s": item.hop_s} if isinstance(item, HopChange) else fields)


def dump(fields: dict[str, Any]) -> str:
    """One JSON object without spaces."""
    return json.dumps(fields, allow_nan=False, separators=(",", ":"))
