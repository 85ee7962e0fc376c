"""The speed of training: ``python -m benchmarks training [-o JSON]``.

Two comparisons, with one thread each, processes in turns; the first steps warm up.

- ``ways``: `fit` against a plain PyTorch loop. Both train the same network on the same wav files (44.1 kHz)
  in batches of 32, without augmentation: `fit` as a user starts it, with a callback that reads the clock, and
  `plain_loop`. Processor times.
- ``recipe``: a step of esc10_cp_mobile_capture.yaml, which degrades every window and runs a teacher on it,
  against the step of its network alone: without a worker process and with one. Times by the clock, so it
  needs two cores that nothing else uses. Teacher and microphones are made up, of the real ones' sizes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from benchmarks.accuracy.plan import RECIPES
from benchmarks.input_side import CLASSES, write_clips, write_responses
from benchmarks.result_files import results_folder, write_result
from benchmarks.scaling.plain_loop import BATCH
from benchmarks.side_by_side.environments import Environments
from runtime.entry_point import EXIT_OK, run
from runtime.errors import TinysceneError
from train.checkpoints import model_pt
from train.training.lightning_module import Classifier

CLIPS, STEPS, ROUNDS = 480, 14, 2
_WARM_UP = 2  # steps
_FIT = (
    "--data.corpus=train.data.Folder", "--data.corpus.root={clips}", "--data.corpus.no_groups=true",
    "--data.corpus.val_share=0.1", "--data.corpus.test_share=0.0", f"--data.batch_size={BATCH}",
    "--trainer.max_steps={steps}", "--trainer.accelerator=cpu", "--trainer.default_root_dir={run}",
    "--trainer.callbacks+=benchmarks.scaling.step_clock.StepClock", "--trainer.callbacks.path={json}",
)  # fmt: skip
_RECIPE = (
    "train", "fit", "--config={recipe}", "--data.negative_share=null",
    "--model.distillation.teachers=[{teacher}]", "--model.augmentation.capture.response_exclude=[]", *_FIT,
    "--trainer.callbacks.wall=true",
)  # fmt: skip
_COMMANDS = {
    "fit": ("train", "fit", "--model.student=cp_mobile", "--model.frontend=cp_mel", *_FIT),
    "plain": ("benchmarks.scaling.plain_loop", "{clips}", "{steps}", "{json}"),
    "network": ("benchmarks.scaling.network_step", "{steps}", "{json}"),
    "workers_0": (*_RECIPE, "--data.num_workers=0"),
    "workers_1": (*_RECIPE, "--data.num_workers=1"),
}
_WAYS, _OF_RECIPE = ("fit", "plain"), ("network", "workers_0", "workers_1")


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
    """Make both comparisons."""
    places = {
        "clips": folder / "clips", "run": folder / "run", "steps": steps, "json": folder / "seconds.json",
        "recipe": RECIPES / "esc10_cp_mobile_capture.yaml",
        "teacher": write_teacher(folder / "teacher.pt"),
    }  # fmt: skip
    write_clips(folder / "clips", clips)
    write_responses(folder / "responses")
    ways = _in_turns(_WAYS, places, rounds)
    recipe = _in_turns(_OF_RECIPE, places, rounds)
    if not all((*ways.values(), *recipe.values())):
        raise TinysceneError(
            f"Too few steps of one epoch to time: give more than {clips} clips, or more steps."
        )
    of_way, of_recipe = _medians(ways), _medians(recipe)
    return {
        "batch": BATCH, "clips": clips, "steps": steps, "rounds": rounds,
        "ways": {name: _row(seconds) for name, seconds in of_way.items()},
        "times_as_fast": round(of_way["plain"] / of_way["fit"], 2),
        "recipe": {
            name: {**_row(seconds), "of_network": round(seconds / of_recipe["network"], 2)}
            for name, seconds in of_recipe.items()
        },
    }  # fmt: skip


def write_teacher(path: Path) -> Path:
    """The network of the packaged model's teacher, with random weights, for the classes of `write_clips`."""
    recipe = yaml.safe_load((RECIPES / "esc10_teacher_mn04.yaml").read_text(encoding="utf-8"))["model"]
    labels = sorted(str(number) for number in range(CLASSES))
    made = Classifier(recipe["student"], recipe["arguments"], frontend=recipe["frontend"], labels=labels)
    model_pt.save(made.to_checkpoint(), path)
    return path


def _in_turns(names: Sequence[str], places: Mapping[str, Any], rounds: int) -> dict[str, list[float]]:
    """Seconds of the steps of each way, after those that warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in tqdm(range(rounds), desc="training", unit="round", disable=None):
        for name in names if number % 2 else names[::-1]:
            seconds[name] += _train(name, places)[_WARM_UP:]
    return seconds


def _medians(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: float(np.median(taken)) for name, taken in seconds.items()}


def _row(seconds: float) -> dict[str, float]:
    return {
        "seconds_a_step": round(seconds, 4),
        "steps_a_second": round(1 / seconds, 3),
        "seconds_an_epoch_of_1000_clips": round(seconds * 1000 / BATCH, 2),
    }


def _train(name: str, places: Mapping[str, Any]) -> list[float]:
    """Seconds of the steps of a training in a process of its own."""
    responses = {"MIC_IR_DIR": str(places["clips"].parent / "responses")}
    done = subprocess.run(
        [sys.executable, "-m", *(word.format(**places) for word in _COMMANDS[name])],
        env={**Environments.default().variables("project"), **responses},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise TinysceneError(f"{name} failed: {(done.stderr.strip().splitlines() or [''])[-1]}")
    seconds: list[float] = json.loads(places["json"].read_text())
    return seconds


if __name__ == "__main__":
    run(main)
