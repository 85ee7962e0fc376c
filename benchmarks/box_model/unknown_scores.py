"""Which score of a window tells sounds of no class best: the background by training, or an energy.

    python -m benchmarks.box_model.unknown_scores STUDENT.pt --fold 1 --negatives DIR ... --unheard DIR

STUDENT.pt was trained by the recipes of the packaged model on the other folds of ESC-10. Its training asks
for equal probabilities of all classes where a sound is of none, so that the greatest probability is low there
(outlier exposure, Hendrycks et al., ICLR 2019). The energy is the logarithm of the sum of the exponentials of
the logits (Liu et al., NeurIPS 2020). It prints the AUROC of each, clean windows of the fold against those of
each kind of negatives, FP32.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import entr, logsumexp, softmax

from benchmarks.accuracy.plan import FOLDS
from benchmarks.box_model.measurement import joined, negative_files
from benchmarks.box_model.summary import auroc
from benchmarks.esc10 import held_out_windows
from export.verification.window_scores import float_logits_of_parts, has_signal, windows_of
from runtime.entry_point import EXIT_OK, run
from train.checkpoints import model_pt
from train.checkpoints.model_pt import Checkpoint

Array = npt.NDArray[np.floating]
# name to what it makes of logits [windows, classes]: [windows], greater for a sound of a class
SCORES: Mapping[str, Callable[[Array], Array]] = {
    "greatest probability": lambda logits: softmax(logits, axis=1).max(axis=1),
    "entropy, negative": lambda logits: -entr(softmax(logits, axis=1)).sum(axis=1),
    "greatest logit": lambda logits: logits.max(axis=1),
    "energy": lambda logits: logsumexp(logits, axis=1),
}
_FILES = 400  # of a kind, at equal distances in the order of their names


def main(arguments: list[str]) -> int:
    """Measure and print; returns an exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.box_model.unknown_scores", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("student", type=Path, help="model.pt")
    parser.add_argument("--fold", type=int, choices=FOLDS, required=True, help="that it was not trained on")
    parser.add_argument("--negatives", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--unheard", type=Path, metavar="DIR", help="more negatives")
    options = parser.parse_args(arguments)
    student = model_pt.load(options.student)
    positive = _logits(student, windows_of(held_out_windows(student, options.fold))[0].numpy())
    chosen = negative_files(options.negatives, options.unheard)
    negative = {kind: _logits(student, _windows(student, kind, files)) for kind, files in chosen.items()}
    print(table(positive, negative))
    return EXIT_OK


def table(positive: Array, negative: Mapping[str, Array]) -> str:
    """The AUROC of each score, as Markdown.

    Args:
        positive: logits [windows, classes] of sounds of the classes.
        negative: name of a kind to the logits of sounds of none.
    """
    lines = [f"| score | {' | '.join(negative)} |", "|---|" + "---|" * len(negative)]
    for name, score in SCORES.items():
        found = [auroc(score(positive), score(logits)) for logits in negative.values()]
        lines.append(f"| {name} | {' | '.join(f'{value:.3f}' for value in found)} |")
    return "\n".join(lines)


def _windows(student: Checkpoint, kind: str, files: Sequence[Path | int]) -> npt.NDArray[np.float32]:
    """The windows [windows, samples] of some files, one after the other, without overlap."""
    rate = student.frontend.sample_rate
    sound = joined(files[:: -(-len(files) // _FILES)], rate, kind)
    length = round(student.clip_s * rate)
    return sound[: len(sound) // length * length].reshape(-1, length)


def _logits(student: Checkpoint, windows: npt.NDArray[np.float32]) -> Array:
    """Logits [windows, classes] of the windows that have a signal, FP32."""
    return float_logits_of_parts(student, [windows[has_signal(windows)]]).numpy()


if __name__ == "__main__":
    run(main)
