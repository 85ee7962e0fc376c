"""Waveform to probabilities of a one-second clip, the same weights, one thread each.

    python -m benchmarks latency [--model MODEL.PT] [--only NAME ...] [--rounds N] [-o JSON]

Every contestant runs in a process of its own; they take turns in alternating order. Before anything is timed
their logits are compared (`parity`), and who fails is not timed. Times are processor times of the whole
process, which do not count what else the machine does meanwhile; those by the clock on the wall stand beside
them. Compare ratios, not milliseconds; the results file keeps those of the runs before, too. Without MODEL.PT
the weights are those of a minute's training.

The first run makes the peers' environments with pip, in the user's cache folder, and takes some minutes more.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.result_files import machine
from benchmarks.runtime_cost import spread
from benchmarks.side_by_side import artefacts, parity
from benchmarks.side_by_side.command import make_parser, measure_and_write, results_path
from benchmarks.side_by_side.environments import Environments
from benchmarks.side_by_side.processes import Process, start_all
from benchmarks.side_by_side.ways.contestant import ENTRIES, PRODUCTS
from benchmarks.side_by_side.worker import PARTS
from runtime.entry_point import run

ROUNDS, REPEATS = 60, 4
WARM_UP = 3  # rounds
_EARLIER = 9  # runs that a results file remembers


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    parser = make_parser("latency", __doc__, "rounds", ROUNDS)
    parser.add_argument(
        "--only", nargs="+", choices=[*ENTRIES, *PRODUCTS], metavar="NAME", help="of these alone"
    )
    options = parser.parse_args(arguments)
    names = list(dict.fromkeys([parity.REFERENCE, *(options.only or [*ENTRIES, *PRODUCTS])]))
    written = results_path("latency", options)

    def measured(made: artefacts.Artefacts, environments: Environments) -> dict[str, Any]:
        found = measure(names, made, environments, options.rounds)
        return found | {"only": options.only, "earlier": earlier_runs(written)}

    return measure_and_write("latency", options, names, measured, seeds={"waveforms": artefacts.SEED})


def earlier_runs(path: Path) -> list[dict[str, Any]]:
    """The ratios of the last runs on this CPU, oldest first: how much they vary.

    Args:
        path: of the file that the next run takes the place of; there are no runs where it holds anything else
            than results of this benchmark.
    """
    try:
        last = json.loads(path.read_text())
        run = {key: last[key] for key in ("measured", "commit", "rounds", "ratios")}
        if last["machine"]["cpu"] != machine()["cpu"]:
            return []
        if last.get("only"):  # its best of the others is that of a few
            return list(last.get("earlier", []))
        return [*last.get("earlier", []), {**run, "load": last["machine"]["load"]}][-_EARLIER:]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def measure(
    names: list[str], made: artefacts.Artefacts, environments: Environments, rounds: int
) -> dict[str, Any]:
    """Start, compare and time the contestants."""
    processes, reasons = start_all(names, made.folder, made.missing, environments)
    try:
        compared = parity.compare({n: process.logits for n, process in processes.items() if n in ENTRIES})
        failed = {name for name, row in compared.items() if not row["passed"]}
        passed = {name: process for name, process in processes.items() if name not in failed}
        times = in_turns(passed, rounds)
    finally:
        for process in processes.values():
            process.end()
    rows = {
        name: _row(name, process, compared.get(name), times.get(name)) for name, process in processes.items()
    }
    contestants = {name: row for name, row in rows.items() if name in ENTRIES}
    reasons |= dict.fromkeys(failed, "parity failed")
    timed = {name: row for name, row in contestants.items() if name in passed}
    return {"network": made.network, "rounds": rounds, "repeats": REPEATS, "unit": "ms",
            "contestants": contestants, "not_timed": reasons, "ratios": ratios(timed),
            "products": {name: row for name, row in rows.items() if name in PRODUCTS}}  # fmt: skip


def _row(
    name: str, process: Process, compared: dict[str, Any] | None, times: dict[str, Any] | None
) -> dict[str, Any]:
    entry = (ENTRIES | PRODUCTS)[name]
    row = {"title": entry.title, "arithmetic": entry.arithmetic, "ours": entry.ours,
           "versions": process.versions}  # fmt: skip
    return {**row, **({"parity": compared} if compared else {}), **(times or {})}


def in_turns(processes: dict[str, Process], rounds: int) -> dict[str, dict[str, Any]]:
    """Time every part of every contestant once a round, every second round in reverse order."""
    found = {name: {part: _clocks() for part in _parts(name)} for name in processes}
    for number in tqdm(range(WARM_UP + rounds), desc="timing", unit="round", disable=None):
        order = list(processes) if number % 2 else list(processes)[::-1]
        for name in order:
            for part in _parts(name):
                times = processes[name].time(part, REPEATS)
                if number >= WARM_UP:
                    for clock, seconds in times.items():
                        found[name][part][clock] += seconds
    return {
        name: {
            part: {clock: spread(seconds) for clock, seconds in clocks.items()}
            for part, clocks in parts.items()
        }
        for name, parts in found.items()
    }


def _clocks() -> dict[str, list[float]]:
    return {"wall": [], "processor": []}


def _parts(name: str) -> tuple[str, ...]:
    return PARTS if name in ENTRIES else PARTS[-1:]


def ratios(contestants: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """This runtime over the others, of median processor times; what was not measured is left out."""

    def of(name: str, part: str) -> float | None:
        return contestants[name][part]["processor"]["median"] if name in contestants else None

    def best(part: str) -> tuple[float, str] | tuple[None, None]:
        peers = [(of(name, part) or 0.0, name) for name, row in contestants.items() if not row["ours"]]
        return min(peers, default=(None, None))

    (front_end, its_name), (network, other_name) = best("front_end"), best("network")
    parts = front_end + network if front_end is not None and network is not None else None
    return {
        "best_front_end_of_peers": its_name,
        "best_network_of_peers": other_name,
        "native_to_reference": _ratio(of("native", "end_to_end"), of("torch_eager", "end_to_end")),
        "ort_int8_to_reference": _ratio(of("ort_int8", "end_to_end"), of("torch_eager", "end_to_end")),
        "native_to_best_parts": _ratio(of("native", "end_to_end"), parts),
        "native_network_to_best_network": _ratio(of("native", "network"), network),
    }


def _ratio(value: float | None, reference: float | None) -> float | None:
    return round(value / reference, 3) if value is not None and reference else None


if __name__ == "__main__":
    run(main)
