"""``python -m train tag``: the most probable labels of recordings over time, by a model.pt in torch.

For taggers of AudioSet and other teachers, which are too large to ship; `python -m export onnx` makes
files for the runtime of them as of students.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm

from runtime import entry_point
from runtime.audio.read import read_recording
from runtime.cli.audio_paths import AudioPaths
from runtime.cli.formatting import on_one_line
from runtime.errors import AudioError, ConfigError
from train.checkpoints import model_pt
from train.tagging import TaggedWindow, Tagger


def main(arguments: list[str]) -> int:
    """Tag every file; returns `EXIT_UNUSABLE` where one could not be read."""
    options = _parser().parse_args(arguments)
    if options.top < 1:
        raise ConfigError(f"--top is {options.top}: give 1 or more.")
    model = model_pt.load(options.checkpoint)
    tagger = Tagger(model, options.window, options.hop)
    paths = AudioPaths.find(options.audio)
    problems = list(paths.problems)
    for name in tqdm(paths.files, unit="file", disable=None if len(paths.files) > 1 else True):
        try:
            samples = read_recording(name, model.frontend.sample_rate).samples
        except AudioError as error:
            problems.append(str(error))
            continue
        if not options.json:
            tqdm.write(on_one_line(name))
        for window in tagger.windows(samples):
            shown = _as_json(name, window, options.top) if options.json else _as_text(window, options.top)
            tqdm.write(shown)
    for problem in problems:
        print(f"error: {on_one_line(problem)}", file=sys.stderr)
    return entry_point.EXIT_UNUSABLE if problems else entry_point.EXIT_OK


def _as_json(name: str, window: TaggedWindow, top: int) -> str:
    tags = {label: round(probability, 6) for label, probability in window.top(top).items()}
    fields = {"file": name, "start_s": window.start_s, "end_s": window.end_s, "tags": tags}
    return json.dumps(fields, allow_nan=False)


def _as_text(window: TaggedWindow, top: int) -> str:
    tags = ", ".join(f"{label} {probability:.2f}" for label, probability in window.top(top).items())
    return f"{window.start_s:8.2f} - {window.end_s:7.2f} s  {tags}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"{entry_point.program('train')} tag", description=__doc__)
    parser.add_argument("audio", nargs="+", type=Path, help="recordings, or folders of them")
    parser.add_argument("--checkpoint", required=True, type=Path, help="model.pt of a teacher or a student")
    parser.add_argument("--top", type=int, default=5, metavar="K", help="labels to print (default: 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a window")
    parser.add_argument("--window", type=float, metavar="S", help="seconds (default: as in its training)")
    parser.add_argument(
        "--hop", type=float, metavar="S", help="from one window to the next (default: --window)"
    )
    return parser
