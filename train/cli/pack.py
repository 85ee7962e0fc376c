"""``python -m train pack``: any corpus to one HDF5 file, decoded and resampled once.

Partial results are kept beside the output until it is complete, so a run that was killed goes on where it
stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path

from runtime import entry_point
from train.cli.corpus_options import corpus_parser, parse
from train.data.packing import pack


def main(arguments: list[str]) -> int:
    """Pack the corpus and print how many clips were written; returns an exit code."""
    parser = corpus_parser("pack", __doc__ or "")
    parser.add_argument("-o", "--output", required=True, help="HDF5 file to write")
    parser.add_argument("--skip-corrupt", action="store_true", help="leave out clips that cannot be read")
    options, corpus, sample_rate = parse(parser, arguments)
    written, left_out = pack(
        corpus, sample_rate, Path(options.output), workers=options.workers, skip_corrupt=options.skip_corrupt
    )
    size_mb = Path(options.output).stat().st_size / 1e6
    print(f"wrote {options.output}: {written} clips at {sample_rate} Hz, {size_mb:.1f} MB")
    print("train with it: --data.corpus=train.data.Packed --data.corpus.path=" + options.output)
    if left_out:
        print(f"{left_out} clips could not be read and were left out", file=sys.stderr)
    return entry_point.EXIT_OK
