"""``python -m train sweep``: a recipe with several seeds and values, each run trained and tested; one table.

Where a swept value is a number, sweep.png shows the first metric against it, one line for each of the others.

A run that has its test report is not repeated and one that was killed is resumed, so the same command
goes on where it stopped.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import entry_point
from runtime.errors import ConfigError, TinysceneError
from runtime.files import make_folder, write_beside
from train.checkpoints.resume import resume_options
from train.plots import pyplot, save_figure

Launch = Callable[[list[str]], int]
_SET_BY_SWEEP = {  # of every run; an override would be overridden
    "ckpt_path": "nothing, runs that were killed are resumed",
    "config": "--config",
    "seed_everything": "--seeds",
    "trainer.default_root_dir": "--output",
}


@dataclass(frozen=True)
class Run:
    """One training: overrides of the recipe, a seed, and the folder of its results."""

    overrides: tuple[str, ...]
    seed: int
    folder: Path

    @property
    def report(self) -> Path:
        """What exists once the run is complete."""
        return self.folder / "test_report.json"

    def command(self, verb: str, recipe: Path) -> list[str]:
        """The command line of a verb, resuming where a checkpoint is left of an earlier try."""
        resume = resume_options(self.folder) if verb == "fit" else []
        changes = [f"--{override}" for override in self.overrides]
        return [
            *entry_point.command_of("train"), verb, "--config", str(recipe), f"--seed_everything={self.seed}",
            *changes, f"--trainer.default_root_dir={self.folder}", *resume,
        ]  # fmt: skip


def main(arguments: list[str]) -> int:
    """Train what is missing and print the table; returns an exit code."""
    options = _parser().parse_args(arguments)
    runs = plan(options.override, options.seeds, options.output)
    _claim(options.output, options.config)
    for number, run in enumerate(runs, start=1):
        print(f"run {number} of {len(runs)}: {run.folder.name}", file=sys.stderr)
        complete(run, options.config)
    names, rows = metrics(runs), summarize(runs)
    head = ("setting", "runs", *(f"{name} {part}" for name in names for part in ("mean", "deviation")))
    with write_beside(options.output / "sweep.csv") as partial, partial.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    print(to_text(names, rows))
    if drawn := curves(runs):
        plot(options.output / "sweep.png", names[0], *drawn)
        print(f"wrote {options.output / 'sweep.png'}", file=sys.stderr)
    return entry_point.EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"{entry_point.program('train')} sweep", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, metavar="RECIPE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--override", nargs="+", default=[], action="extend", metavar="KEY=VALUE",
        help="a value of the recipe; a key named more than once takes each of its values in turn",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/sweep"), help="folder of all runs")
    return parser


def plan(overrides: Sequence[str], seeds: Sequence[int], root: Path) -> list[Run]:
    """Every combination of the values, with every seed.

    Raises:
        ConfigError: where an override is no KEY=VALUE, or two runs would share a folder.
    """
    values: dict[str, list[str]] = {}
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals or not key.strip("-"):
            raise ConfigError(f"An override is KEY=VALUE, not '{override}': write e.g. model.lr=1e-3.")
        if option := _SET_BY_SWEEP.get(key.lstrip("-")):
            raise ConfigError(f"The sweep sets {key.lstrip('-')} for every run: give {option} instead.")
        values.setdefault(key.lstrip("-"), []).append(override.lstrip("-"))
    runs = [
        Run(chosen, seed, root / re.sub(r"[^\w.=+-]", "_", "+".join([*chosen, f"seed={seed}"])))
        for chosen in itertools.product(*values.values())
        for seed in seeds
    ]
    if len({run.folder for run in runs}) < len(runs):
        raise ConfigError("The sweep names a seed or a value twice: name each once.")
    return runs


def _launch(command: list[str]) -> int:
    """Run a command whose reports go to stderr: stdout has the table alone."""
    return subprocess.run(command, stdout=sys.stderr, check=False).returncode


def complete(run: Run, recipe: Path, launch: Launch = _launch) -> None:
    """Train and test a run, or what of it is missing.

    Raises:
        TinysceneError: where a command fails; it has said why on stderr.
    """
    todo = ["fit", "test"] if not (run.folder / "model.pt").exists() else ["test"]
    for verb in todo if not run.report.exists() else []:
        make_folder(run.folder, "name another --output")
        code = launch(run.command(verb, recipe))
        if code:
            raise TinysceneError(
                f"The run {run.folder} stopped in `{verb}` with code {code}: correct what it reports above "
                "and give the same command again; finished runs are not repeated."
            )


def metrics(runs: Sequence[Run]) -> list[str]:
    """Names of the metrics over a whole split that the reports have, the main one of the task first."""
    report = json.loads(runs[0].report.read_text())
    return [name for name, value in report.items() if isinstance(value, float)]


def summarize(runs: Sequence[Run]) -> list[tuple[Any, ...]]:
    """One row for each setting: its name, runs, and mean and deviation over the seeds of every metric."""
    rows = []
    for overrides, members in itertools.groupby(runs, key=lambda run: run.overrides):
        reports = [json.loads(run.report.read_text()) for run in members]
        row: list[Any] = [" ".join(overrides) or "recipe", len(reports)]
        for name in metrics(runs):
            found = [math.nan if report.get(name) is None else report[name] for report in reports]
            row += [statistics.fmean(found), _deviation(found)]
        rows.append(tuple(row))
    return rows


def _deviation(values: Sequence[float]) -> float:
    """Standard deviation; NaN of a single value, or where one is NaN."""
    return math.nan if len(values) < 2 or any(map(math.isnan, values)) else statistics.stdev(values)


def to_text(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> str:
    """The table for people: mean ± deviation of the `metrics`."""
    cells = [("setting", "runs", *names)]
    for setting, count, *found in rows:
        pairs = zip(found[::2], found[1::2], strict=True)
        cells.append((setting, str(count), *(f"{mean:.3f} ± {deviation:.3f}" for mean, deviation in pairs)))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


Curves = dict[str, list[tuple[float, float, float]]]


def curves(runs: Sequence[Run]) -> tuple[str, Curves] | None:
    """What to draw of a sweep.

    Returns:
        The first key that takes several numbers, and the points (value, mean, deviation of the first metric)
        of every combination of the other keys; None where no key takes several numbers.
    """
    taken: dict[str, set[float]] = {}
    for run in runs:
        for override in run.overrides:
            key, _, value = override.partition("=")
            if _number(value) is not None:
                taken.setdefault(key, set()).add(float(value))
    swept = [key for key, values in taken.items() if len(values) > 1]
    if not swept:
        return None
    lines: Curves = {}
    settings = [overrides for overrides, _ in itertools.groupby(runs, lambda run: run.overrides)]
    for row, overrides in zip(summarize(runs), settings, strict=True):
        values = dict(override.split("=", 1) for override in overrides)
        x = _number(values.pop(swept[0]))
        if x is not None:
            name = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in values.items())
            lines.setdefault(name, []).append((x, row[2], row[3]))
    return swept[0], {name: sorted(points) for name, points in lines.items()}


def plot(path: Path, metric: str, key: str, lines: Curves) -> None:
    """Draw `curves` into a PNG: a metric against the swept key, bars of one standard deviation over seeds."""
    figure, axes = pyplot().subplots(figsize=(6, 4), layout="constrained")
    for name, points in lines.items():
        x, mean, deviation = zip(*points, strict=True)
        bars = [0.0 if math.isnan(d) else 100 * d for d in deviation]
        axes.errorbar(x, [100 * m for m in mean], bars, marker="o", capsize=3, label=name or None)
    if any(lines):
        axes.legend()
    axes.set_xlabel(key)
    axes.set_ylabel(f"{metric.replace('_', ' ')}, %")
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _claim(root: Path, recipe: Path) -> None:
    """Make sure that a folder's finished runs are of this recipe."""
    if not recipe.is_file():
        raise ConfigError(f"There is no recipe {recipe}: check its name.")
    make_folder(root, "name another --output")
    recorded = root / "recipe.yaml"
    if recorded.exists() and recorded.read_bytes() != recipe.read_bytes():
        raise ConfigError(
            f"{root} holds the runs of another recipe, or of this one before it was changed: name another "
            "folder with --output."
        )
    with write_beside(recorded) as partial:
        partial.write_bytes(recipe.read_bytes())
