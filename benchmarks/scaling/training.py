"""Training steps a second against a plain PyTorch loop: ``python -m benchmarks training [-o JSON]``.

Both train the same network on the same wav files (44.1 kHz) in batches of 32, without augmentation: `fit` as
a user starts it, with a callback that reads the clock, and `plain_loop`. One thread each, processes in turns.
Processor times; the first steps warm up.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.input_side import write_clips
from benchmarks.result_files import results_folder, write_result
from benchmarks.scaling.plain_loop import BATCH
from benchmarks.side_by_side.environments import Environments
from runtime.entry_point import EXIT_OK, run
from runtime.errors import TinysceneError

CLIPS, STEPS, ROUNDS = 480, 14, 2
_WARM_UP = 2  # steps
_COMMANDS = {
    "fit": (
        "train", "fit", "--model.student=cp_mobile", "--model.frontend=cp_mel",
        "--data.corpus=train.data.Folder",
        "--data.corpus.root={clips}", "--data.corpus.no_groups=true", "--data.corpus.val_share=0.1",
        "--data.corpus.test_share=0.0", f"--data.batch_size={BATCH}", "--trainer.max_steps={steps}",
        "--trainer.accelerator=cpu", "--trainer.default_root_dir={run}",
        "--trainer.callbacks+=benchmarks.scaling.step_clock.StepClock", "--trainer.callbacks.path={json}",
    ),
    "plain": ("benchmarks.scaling.plain_loop", "{clips}", "{steps}", "{json}"),
}  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks training", description=__doc__)
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("-o", "--output", type=Path, metavar="JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), options.clips, options.steps, options.rounds)
    write_result(options.output or results_folder() / "training.json", result, {"weights": 0, "clips": 0})
    print(json.dumps(result, indent=1))
    return EXIT_OK


def measure(folder: Path, clips: int, steps: int, rounds: int) -> dict[str, Any]:
    """Train both ways in turns."""
    write_clips(folder / "clips", clips)
    seconds: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    for number in tqdm(range(rounds), desc="training", unit="round", disable=None):
        for name in list(_COMMANDS) if number % 2 else list(_COMMANDS)[::-1]:
            seconds[name] += _train(name, folder, steps)[_WARM_UP:]
    if not all(seconds.values()):
        raise TinysceneError(
            f"Too few steps of one epoch to time: give more than {clips} clips, or more steps."
        )
    medians = {name: float(np.median(taken)) for name, taken in seconds.items()}
    rows = {
        name: {
            "seconds_a_step": round(median, 4),
            "steps_a_second": round(1 / median, 3),
            "seconds_an_epoch_of_1000_clips": round(median * 1000 / BATCH, 2),
        }
        for name, median in medians.items()
    }
    return {"batch": BATCH, "clips": clips, "steps": steps, "rounds": rounds, "ways": rows,
            "times_as_fast": round(medians["plain"] / medians["fit"], 2)}  # fmt: skip


def _train(name: str, folder: Path, steps: int) -> list[float]:
    """Seconds of the steps of a training in a process of its own."""
    output = folder / f"{name}.json"
    places = {"clips": folder / "clips", "run": folder / "run", "json": output, "steps": steps}
    words = [word.format(**places) for word in _COMMANDS[name]]
    done = subprocess.run(
        [sys.executable, "-m", *words], env=Environments.default().variables("project"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise TinysceneError(f"{name} failed: {(done.stderr.strip().splitlines() or [''])[-1]}")
    seconds: list[float] = json.loads(output.read_text())
    return seconds


if __name__ == "__main__":
    run(main)
