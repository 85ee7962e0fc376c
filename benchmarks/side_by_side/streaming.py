"""Processor time of a second of live audio by hop: ``python -m benchmarks streaming [-o JSON]``.

This runtime's stream computes only the new columns of a log-mel. The reference systems' way computes the
whole window at every hop. ``python -m benchmarks runtime-cost`` takes this runtime's part further apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.runtime_cost import in_turns, noise
from benchmarks.side_by_side import artefacts
from benchmarks.side_by_side.command import make_parser, measure_and_write
from benchmarks.side_by_side.ways.contestant import ENTRIES, load
from runtime import load_model
from runtime.entry_point import run

HOPS_S = (0.125, 0.25, 0.5, 1.0)
ROUNDS = 100
OURS, REFERENCE = ("native", "ort_int8"), "torch_eager"


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    options = make_parser("streaming", __doc__, "rounds", ROUNDS).parse_args(arguments)
    return measure_and_write(
        "streaming", options, [*OURS, REFERENCE], lambda made, _: measure(made, options.rounds), shown=None
    )


def measure(made: artefacts.Artefacts, rounds: int) -> dict[str, Any]:
    """Milliseconds of a core for a second of audio, median, by hop and way."""
    reference = load(REFERENCE, made.folder)
    models = {name: load_model(made.folder / ENTRIES[name].file) for name in OURS}
    rate = models["native"].spec.frontend.sample_rate
    window, found = noise(rate), {}
    for hop_s in HOPS_S:
        chunk, jobs = noise(round(hop_s * rate)), dict[str, Callable[[], Any]]()
        for name, model in models.items():
            stream = model.stream(hop_s)
            stream.push(window)
            jobs[name] = lambda push=stream.push, chunk=chunk: push(chunk)  # type: ignore[misc]
        jobs[REFERENCE] = lambda: reference.probabilities(window)
        times = in_turns(jobs, rounds)
        found[str(hop_s)] = {name: round(row["median"] / hop_s, 3) for name, row in times.items()}
    return {"unit": "ms of a core for a second of audio", "rounds": rounds, "hops": found}


if __name__ == "__main__":
    run(main)
