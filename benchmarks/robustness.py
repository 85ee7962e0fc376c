"""How much of its accuracy a model keeps as rooms and microphones change the sound.

    python -m benchmarks.robustness model.onnx --against model.pt --config RECIPE
    python -m benchmarks.robustness model.onnx --data.corpus=train.data.Folder --data.corpus.root=DIR ...

Every window of the test split goes through the functions of `train.augmentation.capture` at stated strengths,
then through the runtime as it ships. Writes a table (JSON) and a plot (PNG) of accuracy against level and
signal-to-noise ratio. Choose a corpus that the model was not trained on.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from benchmarks.result_files import write_result
from export.verification.conditions import GAINS_DB, SNRS_DB, Condition, conditions
from export.verification.window_scores import float_scores_of, has_signal, scores_of, under, windows_of
from runtime import entry_point, load_model
from runtime.classifier import Model
from runtime.errors import ConfigError
from train.augmentation.capture import NOISES
from train.checkpoints import model_pt
from train.cli.corpus_options import corpus_parser, parse
from train.data import ClipData
from train.plots import pyplot, save_figure

Array = npt.NDArray[np.float32]
_BATCH = 32


@dataclass(frozen=True)
class Row:
    """The accuracy under one condition.

    Attributes:
        condition: name with its strength.
        windows: number of windows that have a signal, and so get an answer.
        int8: share of them that the ONNX file labels right, in the runtime.
        float32: the same of model.pt in torch; None where it was not given.
        agreement: share of equal labels of the two; None where model.pt was not given.
    """

    condition: str
    windows: int
    int8: float
    float32: float | None = None
    agreement: float | None = None


def measure(
    model: Model, data: ClipData, named: dict[str, Condition], against: model_pt.Checkpoint | None = None
) -> list[Row]:
    """Score the test split under every condition.

    Args:
        model: the ONNX file, loaded by the runtime.
        data: set up for the test stage, at the model's sample rate.
        named: conditions by name.
        against: the float model, or None.
    """
    waveform, target = windows_of(data)
    expected = np.array([model.labels.index(data.labels[best]) for best in target.argmax(axis=1)])
    rate = model.spec.frontend.sample_rate
    rows = []
    for name, condition in tqdm(named.items(), unit="condition", disable=None):
        changed = under(condition, waveform, rate)
        audible = has_signal(changed)
        answers = scores_of(model, changed[audible]).argmax(axis=1)
        right, agreement = None, None
        if against is not None:
            floats = float_scores_of(against, changed[audible]).argmax(axis=1)
            right, agreement = _mean(floats == expected[audible]), _mean(floats == answers)
        rows.append(Row(name, int(audible.sum()), _mean(answers == expected[audible]), right, agreement))
    return rows


def _mean(right: npt.NDArray[np.bool_]) -> float:
    return round(float(right.mean()), 4) if len(right) else math.nan


def to_text(rows: Sequence[Row]) -> str:
    """A table, one condition a line."""
    lines = [f"{'condition':24} {'windows':>7} {'INT8':>7} {'FP32':>7} {'equal':>7}"]
    for row in rows:
        rest = [f"{share:7.1%}" if share is not None else f"{'':7}" for share in (row.float32, row.agreement)]
        lines.append(f"{row.condition:24} {row.windows:7} {row.int8:7.1%} {' '.join(rest)}")
    return "\n".join(lines)


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw accuracy against level and against the ratio of each noise."""
    of = {row.condition: row.int8 for row in rows}
    figure, (left, right) = pyplot().subplots(1, 2, figsize=(10, 4), sharey=True)
    left.plot(GAINS_DB, [of["clean" if not g else f"level {g:+d} dB"] for g in GAINS_DB], marker="o")
    left.set(xlabel="change of level in dB", ylabel="share of windows labelled right", ylim=(0, 1))
    for kind in NOISES:
        right.plot(SNRS_DB, [of[f"{kind} noise {snr} dB"] for snr in SNRS_DB], marker="o", label=kind)
    right.axhline(of["clean"], linestyle="--", color="grey", label="clean")
    right.set(xlabel="signal-to-noise ratio in dB")
    right.legend()
    save_figure(figure, path)


def main(arguments: list[str]) -> int:
    """Measure a model on a labelled corpus; returns an exit code."""
    parser = corpus_parser("robustness", __doc__ or "")
    parser.add_argument("model", type=str, help="an .onnx file")
    parser.add_argument(
        "--against", type=str, metavar="MODEL.PT", help="the float model, for FP32 beside INT8"
    )
    parser.add_argument("--responses", type=str, default=os.environ.get("MIC_IR_DIR"), metavar="DIR")
    parser.add_argument("--leave-out", type=str, nargs="*", default=[], help="response files not to use")
    parser.add_argument("--output", "-o", type=str, default="robustness.json", help="a .png lies beside it")
    options, corpus, _ = parse(parser, arguments)
    model = load_model(options.model)
    if set(corpus.labels) != set(model.labels):
        raise ConfigError(
            f"{options.model} has the labels {', '.join(model.labels)} and the corpus "
            f"{', '.join(corpus.labels)}: name a corpus of the model's labels."
        )
    data = ClipData(corpus, sample_rate=model.spec.frontend.sample_rate, clip_s=model.spec.clip_s)
    data.setup("test")
    against = model_pt.load(options.against) if options.against else None
    rows = measure(model, data, conditions(options.responses, tuple(options.leave_out)), against)
    print(to_text(rows))
    output = Path(options.output)
    result = {"corpus": corpus.describe(), "split": "test", "rows": [asdict(row) for row in rows]}
    write_result(output, result)
    plot(rows, output.with_suffix(".png"))
    print(f"wrote {output} and {output.with_suffix('.png')}", file=sys.stderr)
    return entry_point.EXIT_OK


if __name__ == "__main__":
    entry_point.run(main)
