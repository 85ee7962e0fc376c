"""An archive of field recordings on one process and on several: speed, memory, and a run that is killed.

    ESC10_DIR=/path/to/ESC-50 python -m benchmarks archive FOLDER [--hours 100] [--files 2000] [--broken 10]

Makes the recordings in FOLDER (17 GB for 100 hours) unless those of the same options are there, as a Song
Meter Mini writes them: WAV, 16 bits, 24 kHz, the time in the name. Each is noise with clips of ESC-10 in it;
some are broken.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from benchmarks.result_files import results_folder, write_result
from runtime.entry_point import EXIT_OK
from runtime.entry_point import run as start

RATE = 24_000
CLIPS_PER_MINUTE = 2


def recordings(folder: Path, hours: float, files: int, broken: int) -> Path:
    """The folder of the recordings, made where it is not there; what an interrupted run left is made anew."""
    whole = folder / f"recordings-{hours:g}h-{files}-{broken}"
    if not whole.exists():
        partial = folder / f"{whole.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        make(partial, hours, files, broken)
        partial.rename(whole)
    return whole


def make(folder: Path, hours: float, files: int, broken: int) -> None:
    """Write the recordings, spread over folders of a day each."""
    rng = np.random.default_rng(0)
    clips = [_clip(path) for path in sorted(Path(os.environ["ESC10_DIR"], "audio").iterdir())[::8]]
    samples = round(hours * 3600 / files * RATE)
    low = np.convolve(rng.normal(size=samples + 60 * RATE), np.hanning(RATE // 500), "same")  # as of wind
    noise = (low / low.std() * 0.3).astype(np.float32)
    bad = set(rng.choice(files, broken, replace=False).tolist())
    for index in range(files):
        began = datetime(2024, 6, 1) + timedelta(minutes=7 * index)
        path = folder / f"{began:%Y%m%d}" / f"SMM01234_{began:%Y%m%d_%H%M%S}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        offset = int(rng.integers(len(noise) - samples))
        sound = noise[offset : offset + samples] * np.float32(10 ** rng.uniform(-2.6, -1.6))
        for _ in range(max(1, round(CLIPS_PER_MINUTE * samples / RATE / 60))):
            clip = clips[int(rng.integers(len(clips)))][:samples]
            begin = int(rng.integers(samples - len(clip) + 1))
            sound[begin : begin + len(clip)] += clip * np.float32(rng.uniform(0.2, 1))
        np.clip(sound, -1, 1, out=sound)
        soundfile.write(path, (sound * np.float32(32767)).astype(np.int16), RATE)
        if index in bad:
            path.write_bytes(path.read_bytes()[:20])


def _clip(path: Path) -> np.ndarray:
    samples, rate = soundfile.read(path, dtype="float32")
    clip: np.ndarray = soxr.resample(samples, rate, RATE)
    return clip


def run(folder: Path, table: Path, jobs: int, kill_after_s: float | None = None) -> dict[str, Any]:
    """Classify the folder in a process of its own, whose time and memory are measured."""
    command = [
        sys.executable,
        "-m",
        "runtime",
        "classify",
        str(folder),
        "-o",
        str(table),
        "--jobs",
        str(jobs),
    ]
    load, begun = os.getloadavg()[0], time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        memory = Memory(process.pid)
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            process.send_signal(signal.SIGKILL)
        text = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begun
    before = re.search(r"(\d+) files were classified before", text)
    hours = re.search(r"files, ([\d.]+) h of audio", text)
    return {
        "jobs": jobs, "exit": process.returncode, "wall_s": round(seconds, 1),
        "processor_s": round(usage.ru_utime + usage.ru_stime, 1),
        "hours": float(hours[1]) if hours else None,
        "times_real_time": round(float(hours[1]) * 3600 / seconds) if hours else None,
        "peak_mb": memory.stop(), "load_before": round(load, 2),
        "classified_before": int(before[1]) if before else 0, "errors": text.count("error: "),
    }  # fmt: skip


def run_side_by_side(folder: Path, scratch: Path) -> list[dict[str, Any]]:
    """Two commands of one process each at the same time: each has what others leave of a core."""
    with ThreadPoolExecutor(2) as pool:
        tables = (scratch / "beside-a.csv", scratch / "beside-b.csv")
        results = list(pool.map(lambda table: run(folder, table, 1), tables))
    return [{**result, "beside": True} for result in results]


class Memory:
    """Peak resident memory of a process and its descendants, MB, sampled until `stop`."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peaks = pid, dict[int, float]()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, float]:
        """Of the collecting process, and of the largest worker."""
        self._stopped.set()
        self._thread.join()
        workers = [peak for pid, peak in self._peaks.items() if pid != self._pid]
        return {"collector": self._peaks.get(self._pid, 0.0), "largest_worker": max(workers, default=0.0)}

    def _sample(self) -> None:
        while not self._stopped.wait(0.5):
            for pid in [self._pid, *_children(self._pid)]:
                with suppress(OSError, TypeError):
                    status = Path(f"/proc/{pid}/status").read_text()
                    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
                    self._peaks[pid] = round(int(peak[1]) / 1024, 1)  # type: ignore[index]


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def measure(folder: Path, scratch: Path, rounds: int) -> dict[str, Any]:
    """One process, two, and one beside another, in turns; then two that are killed half-way and go on."""
    runs: list[dict[str, Any]] = []
    for turn in range(rounds):
        for jobs in (1, 2) if turn % 2 == 0 else (2, 1):
            runs.append(run(folder, _new(scratch / f"{jobs}.csv"), jobs))
        for name in ("beside-a.csv", "beside-b.csv"):
            _new(scratch / name)
        runs += run_side_by_side(folder, scratch)
    alone, two, beside = (
        float(np.median([r["wall_s"] for r in runs if (r["jobs"], r.get("beside", False)) == key]))
        for key in ((1, False), (2, False), (1, True))
    )
    killed = _new(scratch / "killed.csv")
    runs.append({"killed": True, **run(folder, killed, 2, kill_after_s=two / 2)})
    runs.append({"resumed": True, **run(folder, killed, 2)})
    tables = sorted(scratch.glob("*.csv"))
    return {
        "runs": runs,
        "speedup_of_two": round(alone / two, 2),
        "speedup_of_two_at_equal_load": round(beside / two, 2),
        "same_bytes": all(filecmp.cmp(tables[0], table, shallow=False) for table in tables[1:]),
        "rows": sum(1 for _ in tables[0].open()) - 1,
    }


def _new(table: Path) -> Path:
    """The name of a table of which nothing is there."""
    for path in (table, Path(f"{table}.journal")):
        path.unlink(missing_ok=True)
    return table


def main(arguments: list[str]) -> int:
    """Make the recordings where they are not there, measure, and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks archive")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", type=float, default=100)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--broken", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, metavar="JSON")
    options = parser.parse_args(arguments)
    sounds = recordings(options.folder, options.hours, options.files, options.broken)
    scratch = options.folder / "tables"
    scratch.mkdir(exist_ok=True)
    archive = {name: getattr(options, name) for name in ("hours", "files", "broken")}
    result = {"archive": {**archive, "sample_rate": RATE}, **measure(sounds, scratch, options.rounds)}
    write_result(options.output or results_folder() / "archive.json", result, {"recordings": 0})
    return EXIT_OK


if __name__ == "__main__":
    start(main)
