"""The front end of the contestants' network in a file that needs no torch, and its mel filters."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks.side_by_side.ways.contestant import Array
from runtime.spec import FrontEndSpec

SPEC, FILTERS, WINDOW = "front_end.json", "mel.npy", "window.npy"


def write_front_end(spec: FrontEndSpec, folder: Path) -> None:
    """Write the spec, its mel filters [mels, bins] and its window [win_length]."""
    from runtime.audio.mel_filter_bank import analysis_window, mel_filter_bank

    (folder / SPEC).write_text(json.dumps(spec.to_dict()))
    np.save(folder / FILTERS, mel_filter_bank(spec).astype(np.float32))
    np.save(folder / WINDOW, analysis_window(spec).astype(np.float32))


def read_front_end(folder: Path) -> tuple[FrontEndSpec, Array, Array]:
    """The spec, the mel filters and the window."""
    spec = FrontEndSpec.from_dict(json.loads((folder / SPEC).read_text()))
    return spec, np.load(folder / FILTERS), np.load(folder / WINDOW)
