"""What listening costs: ``python -m benchmarks runtime-cost [--model model.onnx]``.

One thread. Every number is a median with its 95th percentile, in processor time, which does not count
what else the machine does meanwhile; contestants take turns all the same. The cold start is also given
by the clock on the wall, and that number is only worth something on an idle machine (``load``, at the end).
Where there is a microphone, `listen` is started on it for 20 s; make a sound, or there is only silence.
Writes ``benchmarks/results/runtime_cost.json``.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.result_files import results_folder, write_result
from runtime.audio.log_mel import LogMel
from runtime.classifier import Model, load_model
from runtime.entry_point import EXIT_OK, run
from runtime.streaming.framing import Framer
from runtime.streaming.stream import Stream

HOP_S, STREAMS, ROUNDS, RUNS = 0.125, 64, 400, 15
LIVE_WINDOWS = 80  # 20 s at the default hop

COLD_START = """
import sys, time
import numpy, runtime
model = runtime.load_model(sys.argv[1] or None)
print(model.classify(numpy.sin(numpy.arange(32000.0)), 32000).state)
status = open("/proc/self/status").read()
print(status.split("VmRSS:")[1].split()[0])
"""


def spread(seconds: list[float], unit: float = 1e3) -> dict[str, float]:
    """Median and 95th percentile, milliseconds."""
    median, p95 = np.percentile(np.array(seconds) * unit, [50, 95])
    return {"median": round(float(median), 4), "p95": round(float(p95), 4)}


def in_turns(contestants: dict[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, float]]:
    """Time each contestant once per round; the first tenth warms up."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds + rounds // 10):
        for name, contestant in contestants.items():
            begun = time.thread_time()
            contestant()
            times[name].append(time.thread_time() - begun)
    return {name: spread(taken[rounds // 10 :]) for name, taken in times.items()}


def noise(samples: int) -> np.ndarray:
    """White noise at -20 dBFS."""
    return np.random.default_rng(0).normal(scale=0.1, size=samples).astype(np.float32)


def per_hop(model: Model) -> dict[str, Any]:
    """A live stream at a hop of 0.125 s, taken apart."""
    rate = model.spec.frontend.sample_rate
    hop, chunk = round(HOP_S * rate), noise(round(HOP_S * rate))
    stream, framer, whole = model.stream(HOP_S), Framer(model.spec, HOP_S), LogMel(model.spec.frontend)
    window = noise(model.spec.clip_samples)
    for _ in range(model.spec.clip_samples // hop):
        stream.push(chunk)
        list(framer.push(chunk))
    log_mel = whole(window)[None, None]
    times = in_turns(
        {
            "hop": lambda: stream.push(chunk),
            "front_end_incremental": lambda: list(framer.push(chunk)),
            "front_end_whole_window": lambda: whole(window),
            "network": lambda: model.session.logits(log_mel),
            "classify_one_clip": lambda: model.classify(window, rate),
        },
        ROUNDS,
    )
    share = {key: round(value / (10 * HOP_S), 3) for key, value in times["hop"].items()}
    return {"hop_s": HOP_S, "ms": times, "percent_of_a_core": share}


def many_streams(model: Model) -> dict[str, Any]:
    """A second of many streams at a hop of a second: batched, and one after the other."""
    rate = model.spec.frontend.sample_rate
    seconds = [noise(rate) for _ in range(STREAMS)]
    together = model.streams(STREAMS, 1.0)
    alone: list[Stream] = [model.stream(1.0) for _ in range(STREAMS)]
    times = in_turns(
        {
            "batched": lambda: together.push(seconds),
            "one_by_one": lambda: [s.push(x) for s, x in zip(alone, seconds, strict=True)],
        },
        ROUNDS // 10,
    )
    return {"streams": STREAMS, "hop_s": 1.0, "ms_per_second_of_audio": times,
            "times_real_time": round(1000 / times["batched"]["median"], 2)}  # fmt: skip


def cold_start(path: str | None) -> dict[str, Any]:
    """Process start to the end of the first prediction, self-test included; and what is resident then."""
    wall, processor, resident = [], [], []
    for _ in range(RUNS):
        begun, used = time.perf_counter(), children_s()
        done = subprocess.run(
            [sys.executable, "-c", COLD_START, path or ""], capture_output=True, text=True, check=True
        )
        wall.append(time.perf_counter() - begun)
        processor.append(children_s() - used)
        state, kilobytes = done.stdout.split()
        assert state == "ok"
        resident.append(int(kilobytes) / 1024)
    return {
        "processor_ms": spread(processor),
        "wall_ms": {**spread(wall), "fastest": round(1e3 * min(wall), 1)},
        "rss_mb": round(max(resident), 1),
    }


def live_microphone(path: str | None) -> dict[str, Any] | None:
    """What is resident while `listen` runs on the default microphone; None where there is none.

    PortAudio loads the client libraries of every sound server that it supports, so much of it is their file
    pages: ``pss_mb`` counts those that other processes map as well in part, ``anonymous_mb`` not at all.
    """
    command = [sys.executable, "-m", "runtime", "listen", "--json", *(["--model", path] if path else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        lines = (json.loads(line) for line in process.stdout)
        before_loss = takewhile(lambda line: line.get("event") != "device_lost", lines)
        states = [
            line["state"] for line in islice((line for line in before_loss if "state" in line), LIVE_WINDOWS)
        ]
        table = Path(f"/proc/{process.pid}/smaps_rollup").read_text() if len(states) == LIVE_WINDOWS else ""
        process.terminate()
    if not table:
        return None
    kilobytes = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB", table, re.MULTILINE)}
    sizes = {f"{name.lower()}_mb": round(kilobytes[name] / 1024, 1) for name in ("Rss", "Pss", "Anonymous")}
    return {"windows": {state: states.count(state) for state in sorted(set(states))}, **sizes}


def children_s() -> float:
    """Processor time of all child processes that ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main(arguments: list[str]) -> int:
    """Measure all and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks runtime-cost")
    parser.add_argument("--model", help="an .onnx file; the packaged model by default")
    parser.add_argument("-o", "--output", type=Path, metavar="JSON")
    options = parser.parse_args(arguments)
    model = load_model(options.model)
    result = {
        "model": {
            "file": model.session.path.name,
            "scheme": model.spec.quantization.get("scheme"),
            "params": model.spec.complexity.get("params"),
            "optimization": model.session.optimization,
        },
        "per_hop": per_hop(model),
        "many_streams": many_streams(model),
        "cold_start": cold_start(options.model),
        "live_microphone": live_microphone(options.model),
    }
    write_result(options.output or results_folder() / "runtime_cost.json", result, {"sound": 0})
    print(json.dumps(result, indent=2))
    return EXIT_OK


if __name__ == "__main__":
    run(main)
