"""Files that are dropped on the page: decoded in memory, classified as `classify` does, never stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from runtime.audio.decode import AudioBytes
from runtime.audio.samples import Array
from runtime.errors import AudioError
from runtime.live.json_fields import event_fields, prediction_fields
from runtime.model.prediction import ClipMean, Prediction
from runtime.server.engine import Engine
from runtime.streaming.events import Event, EventDetector

_FORM = b"Content-Disposition: form-data"  # of each part of multipart/form-data


def classify_bytes(engine: Engine, data: bytes, limit_s: float) -> dict[str, Any]:
    """Classify an audio file.

    Args:
        engine: its model and the rules of its events.
        data: the whole file.
        limit_s: seconds of audio that are decoded at most.

    Returns:
        JSON fields: ``clip`` (the prediction for the whole file), ``runs`` (neighbouring windows with the
        same labels), ``events``, ``notes`` (sentences about what is wrong with the audio and not refused),
        and what the file is.

    Raises:
        AudioError: where it cannot be used, or is longer.
    """
    if data.startswith(b"--") and _FORM in data[:1024]:
        raise AudioError("The body is a form: send the file alone, as `curl --data-binary @FILE` does.")
    notes: list[str] = []
    file = AudioBytes(data, "The file", notes.append)
    mean, detector = ClipMean(), EventDetector(engine.rules)
    blocks = _limited(file, limit_s)
    windows = engine.model.windows_of(blocks, file.sample_rate, on_note=notes.append)
    events: list[Event] = []

    def seen() -> Iterator[Prediction]:
        for window in windows:
            mean.add(window)
            events.extend(detector.push(window)[1])
            yield window

    runs = [dataclasses.asdict(run) for run in engine.formatter.runs(seen())]
    clip = mean.prediction()
    return {
        "sample_rate": file.sample_rate,
        "channels": file.channels,
        "clip": {**prediction_fields(clip), "labels": engine.formatter.labels(clip)},
        "runs": runs,
        "events": [event_fields(event) for event in (*events, *detector.flush())],
        "notes": notes,
    }


def _limited(file: AudioBytes, limit_s: float) -> Iterator[Array]:
    """The blocks of a file; a small file may hold days of silence."""
    left = round(limit_s * file.sample_rate)
    for block in file.blocks():
        left -= len(block)
        if left < 0:
            raise AudioError(
                f"The file is longer than {limit_s / 60:g} minutes: classify it with `tinyscene classify`."
            )
        yield block
