"""Each engine's share of what one core can multiply and add: ``python -m benchmarks roofline [-o JSON]``.

The network alone, on one thread each, as `latency` times it; parity first. An FP32 engine is compared with
the peak of fused multiply-adds, an INT8 engine with that of 8-bit dot products, both measured on this core
before and after (`peak`). All are credited with the MACs of the same network, however they compute it.
"""

from __future__ import annotations

from typing import Any

from benchmarks.roofline.peak import INSTRUCTIONS, peaks
from benchmarks.side_by_side import artefacts, latency, parity
from benchmarks.side_by_side.command import make_parser, measure_and_write
from benchmarks.side_by_side.environments import Environments
from benchmarks.side_by_side.ways.contestant import ENTRIES
from runtime.entry_point import run
from runtime.errors import TinysceneError

ROUNDS = 30


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    parser = make_parser("roofline", __doc__, "rounds", ROUNDS)
    parser.add_argument("--only", nargs="+", choices=[*ENTRIES], metavar="NAME", help="of these alone")
    options = parser.parse_args(arguments)
    names = list(dict.fromkeys([parity.REFERENCE, *(options.only or ENTRIES)]))
    return measure_and_write(
        "roofline", options, names, lambda made, where: measure(names, made, where, options.rounds),
        shown="contestants", seeds={"waveforms": artefacts.SEED},
    )  # fmt: skip


def measure(
    names: list[str], made: artefacts.Artefacts, environments: Environments, rounds: int
) -> dict[str, Any]:
    """Measure the peaks, time the contestants, measure the peaks again.

    Raises:
        TinysceneError: where no peak can be measured on this machine.
    """
    before = peaks()
    if not before:
        raise TinysceneError("No peak can be measured here: it takes a C compiler on x86-64 or aarch64.")
    timed = latency.measure(names, made, environments, rounds)
    after = peaks()
    best = {name: max(value, after.get(name, 0.0)) for name, value in before.items()}
    macs = made.network["macs"]
    contestants = {
        name: {
            **{key: row[key] for key in ("title", "arithmetic", "ours", "versions")},
            "ms": row["network"]["processor"]["median"],
            **share(row["arithmetic"], row["network"]["processor"]["median"], macs, best),
        }
        for name, row in timed["contestants"].items()
        if "network" in row
    }
    return {
        "network": made.network, "rounds": rounds, "unit": "GMAC/s",
        "peaks": {
            name: {"title": INSTRUCTIONS[name].title, "arithmetic": INSTRUCTIONS[name].arithmetic,
                   "gmacs_a_second": round(value / 1e9, 1)}
            for name, value in best.items()
        },
        "contestants": contestants, "not_timed": timed["not_timed"],
    }  # fmt: skip


def roofs(measured: dict[str, float]) -> dict[str, float]:
    """The greatest peak of each arithmetic, by ``FP32`` and ``INT8``."""
    found: dict[str, float] = {}
    for name, value in measured.items():
        arithmetic = INSTRUCTIONS[name].arithmetic
        found[arithmetic] = max(value, found.get(arithmetic, 0.0))
    return found


def share(arithmetic: str, milliseconds: float, macs: int, measured: dict[str, float]) -> dict[str, float]:
    """Multiply-accumulates a second, and their share of the greatest peak of the same arithmetic."""
    achieved = macs / milliseconds * 1e3
    found = {"gmacs_a_second": round(achieved / 1e9, 1)}
    if roof := roofs(measured).get(arithmetic):
        found["share_of_peak"] = round(achieved / roof, 3)
    return found


if __name__ == "__main__":
    run(main)
