"""``python -m train check-data``: the faults of a corpus, before bad scores show them."""

from __future__ import annotations

import json
from pathlib import Path

from runtime import entry_point
from train.cli.corpus_options import corpus_parser, parse
from train.data.checks import examine


def main(arguments: list[str]) -> int:
    """Examine the corpus and print the report; returns 1 where there are findings."""
    parser = corpus_parser("check-data", __doc__ or "")
    parser.add_argument("--plot", type=str, metavar="FILE", help="draw an overview (PNG)")
    parser.add_argument("--json", action="store_true", help="print JSON with all findings")
    parser.add_argument(
        "--city-disjoint", action="store_true", help="a city in two splits is a leak and not a note"
    )
    options, corpus, sample_rate = parse(parser, arguments)
    report = examine(corpus, sample_rate, workers=options.workers, city_disjoint=options.city_disjoint)
    print(json.dumps(report.to_dict(), indent=2) if options.json else report.to_text())
    if options.plot:
        report.plot(Path(options.plot))
    return entry_point.EXIT_NEGATIVE if report.findings else entry_point.EXIT_OK
