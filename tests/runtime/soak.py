"""Hours of listening in minutes: ``python -m tests.runtime.soak --hours 24 --model model.onnx``.

A sound card and a clock that run as fast as the loop does; microphones that vanish and return, samples
that the device loses, a loop that stalls. Prints what it saw as JSON, with timings and memory hour by hour.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from runtime.classifier import Model, load_model
from runtime.devices import microphone as microphone_module
from runtime.devices.microphone import BUFFER_S, Microphone
from runtime.live.live_loop import DeviceChange, Listener, LiveResult
from runtime.model.prediction import Prediction, unclassified
from tests.runtime.fakes import FakeAudio, white

HOP_S = 1.0
SETTLED_S = 300.0  # memory may grow for so long
RETRY_S = 33.0  # the longest pause between attempts to open a device, and what the loop takes to see it


class Mishaps:
    """What is done to the listener, and when."""

    def __init__(self, audio: FakeAudio, hours: float) -> None:
        self.audio = audio
        self.spans: list[tuple[float, float]] = []
        self.losses = self.overflows = self.stalls = 0
        rng, at = np.random.default_rng(1), 400.0
        kinds = itertools.cycle(("loss", "overflow", "loss", "stall", "overflow"))
        while at < hours * 3600 - 300:
            kind = next(kinds)
            lasts = float(rng.uniform(5, 120)) if kind == "loss" else 2 * BUFFER_S if kind == "stall" else 0.0
            self.spans.append((at, at + lasts + (RETRY_S + lasts if kind == "loss" else 0)))
            if kind == "loss":
                audio.plan += [(at, self._unplug), (at + lasts, self._plug)]
            else:
                audio.plan.append((at, self._overflow if kind == "overflow" else self._stall))
            at += lasts + float(rng.uniform(400, 1500))

    def watch(self, microphone: Microphone) -> None:
        self.microphone = microphone

    def _unplug(self) -> None:
        self.losses += 1
        self.audio.plugged.clear()

    def _plug(self) -> None:
        self.audio.plugged.append("USB mic")

    def _overflow(self) -> None:
        self.overflows += 1
        self.microphone.overflows += 1

    def _stall(self) -> None:
        self.stalls += 1
        self.audio.now += 2 * BUFFER_S  # the loop sleeps for so long, the device goes on

    def explain(self, start_s: float, end_s: float) -> bool:
        """Whether a window was touched by one of them."""
        return any(start_s <= end + 1 and end_s >= begin - 1 for begin, end in self.spans)


def soak(model: Model, hours: float) -> dict[str, Any]:
    """Listen for so many hours of the fake clock."""
    audio = FakeAudio(white)
    microphone_module.portaudio = lambda: audio
    mishaps = Mishaps(audio, hours)
    microphone = Microphone("USB mic", model.spec.frontend.sample_rate, clock=audio.clock)
    mishaps.watch(microphone)
    listener = Listener(model, [microphone], hop_s=HOP_S, clock=audio.clock, sleep=audio.sleep)
    seen: dict[str, Any] = {"windows": 0, "gaps": 0, "wrong": 0, "checked": 0, "unexplained": 0}
    changes = {"device_lost": 0, "device_back": 0}
    times, table = np.empty(round(3600 / HOP_S) + 1), []
    count = 0
    settled_mb = 0.0
    # what the checks need they take now, or it would be read as growth of the listener
    is_sound_of(model, unclassified("no_signal", 1.0, 2.0))
    summary(np.ones(2))
    last_end, before = 0.0, time.perf_counter()
    for item in listener:
        if isinstance(item, DeviceChange):
            changes[item.event] += 1
        elif isinstance(item, LiveResult):
            raw = item.raw
            seen["windows"] += 1
            lost = raw.state == "gap" or raw.end_s - last_end > HOP_S + 1e-6
            seen["gaps"] += raw.state == "gap"
            seen["unexplained"] += lost and seen["windows"] > 1 and not mishaps.explain(last_end, raw.end_s)
            last_end = raw.end_s
            times[count] = time.perf_counter() - before
            count += 1
            if count == len(times) or raw.end_s // 3600 > len(table):
                table.append({**summary(times[:count]), "rss_mb": round(rss_mb(), 2)})
                count = 0
            if seen["windows"] % 997 == 1 and raw.state == "ok":
                seen["checked"] += 1
                seen["wrong"] += not is_sound_of(model, raw)
        if not settled_mb and audio.now > SETTLED_S:
            settled_mb = rss_mb()
        if audio.now > hours * 3600:
            break
        before = time.perf_counter()
    most_mb = max([hour["rss_mb"] for hour in table] + [rss_mb()])
    return seen | changes | {
        "hours": hours, "injected_losses": mishaps.losses, "injected_overflows": mishaps.overflows,
        "injected_stalls": mishaps.stalls, "dropped_s": item.dropped_s, "clock_error_s": audio.now - last_end,
        "hop_s": listener.hop_s, "settled_mb": round(settled_mb, 2),
        "growth_mb": round(most_mb - settled_mb, 2), "by_hour": table,
    }  # fmt: skip


def is_sound_of(model: Model, raw: Prediction) -> bool:
    """Whether a window is what sounded then; every gap may have moved it by a sample of rounding."""
    place = round(raw.start_s * 32_000)
    span = white(max(place - 100, 0), 32_000 + 200)
    return any(
        raw.scores == model.classify(span[shift : shift + 32_000], 32_000).scores for shift in range(201)
    )


def summary(times: np.ndarray) -> dict[str, float]:
    """Milliseconds from window to window, waiting and faking included."""
    median, p95 = np.percentile(times * 1e3, [50, 95])
    return {"median_ms": round(float(median), 3), "p95_ms": round(float(p95), 3)}


def rss_mb() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--model", type=Path, required=True)
    arguments = parser.parse_args()
    print(json.dumps(soak(load_model(arguments.model), arguments.hours), indent=2))
