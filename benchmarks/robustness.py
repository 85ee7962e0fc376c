"""How much of its accuracy a model keeps as rooms and microphones change the sound.

    python -m benchmarks.robustness model.onnx --against model.pt --config RECIPE
    python -m benchmarks.robustness model.onnx --data.corpus=train.data.Folder --data.corpus.root=DIR ...

Every window of the test split goes through the functions of `train.augmentation.capture` at stated strengths,
then through the runtime as it ships. Writes a table (JSON) and a plot (PNG) of accuracy against level and
signal-to-noise ratio. Choose a corpus that the model was not trained on.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
import torch
from tqdm import tqdm

from runtime import entry_point, load_model
from runtime.audio.level import NO_SIGNAL_DBFS, level_dbfs
from runtime.classifier import Model
from runtime.errors import ConfigError
from runtime.files import write_beside
from train.augmentation.capture import NOISES, add_noise, mu_law
from train.augmentation.impulse_responses import impulse_responses, random_impulse
from train.augmentation.random_draws import generator_for
from train.checkpoints import model_pt
from train.cli.corpus_options import corpus_parser, parse
from train.data import ClipData
from train.log_mel import LogMel
from train.plots import pyplot, save_figure

Array = npt.NDArray[np.float32]
Condition = Callable[[torch.Tensor, int], torch.Tensor]  # [batch, samples] and their rate -> the same shape

_BATCH = 32
_SEED = 0  # of noise, reverberation and the choice of microphones
_REVERBERATION_S = 0.4
GAINS_DB = (-40, -30, -20, -10, 0, 10, 20)
SNRS_DB = (5, 10, 15, 20, 30)
RATES_HZ = (8_000, 11_025, 16_000)


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


def gain(decibels: float) -> Condition:
    """A change of level; what exceeds full scale is clipped."""
    return lambda x, _: (x * 10 ** (decibels / 20)).clamp(-1, 1)


def noise(kind: str, snr_db: float) -> Condition:
    """Noise of a kind at a ratio to the window's own level."""

    def apply(x: torch.Tensor, rate: int) -> torch.Tensor:
        added = NOISES[kind]((len(x), x.shape[1]), rate, generator_for(_SEED))
        return add_noise(x, added, torch.full((len(x),), snr_db)).clamp(-1, 1)

    return apply


def band(rate_hz: int) -> Condition:
    """A device of a lower sample rate: resampled down and up again by soxr, not as training does it."""

    def apply(x: torch.Tensor, rate: int) -> torch.Tensor:
        down = soxr.resample(x.T.numpy(), rate, rate_hz)
        up = soxr.resample(down, rate_hz, rate)[: x.shape[1]]
        padded = np.pad(up, ((0, x.shape[1] - len(up)), (0, 0)))
        return torch.from_numpy(np.ascontiguousarray(padded.T, np.float32))

    return apply


def reverberation(seconds: float) -> Condition:
    """A room: exponentially decaying noise, 60 dB in ``seconds``, with the direct sound in front."""

    def apply(x: torch.Tensor, rate: int) -> torch.Tensor:
        times = torch.arange(round(seconds * rate)) / rate
        tail = torch.randn((1, len(times)), generator=generator_for(_SEED)) * 10 ** (-3 * times / seconds)
        tail[0, 0] = tail.norm()  # as much direct sound as reverberation
        response = tail / tail.norm()
        return random_impulse(x, response, torch.ones(len(x), dtype=torch.bool), generator_for(_SEED)).clamp(
            -1, 1
        )

    return apply


def microphones(folder: str, exclude: tuple[str, ...]) -> Condition:
    """The impulse responses of other microphones, one drawn for each window."""

    def apply(x: torch.Tensor, rate: int) -> torch.Tensor:
        chosen = torch.ones(len(x), dtype=torch.bool)
        return random_impulse(
            x, impulse_responses(folder, rate, exclude), chosen, generator_for(_SEED)
        ).clamp(-1, 1)

    return apply


def conditions(folder: str | None, exclude: tuple[str, ...]) -> dict[str, Condition]:
    """All conditions by name; those of microphones where there is a folder of responses."""
    found: dict[str, Condition] = {"clean": lambda x, _: x}
    found |= {f"level {g:+d} dB": gain(g) for g in GAINS_DB if g}
    found |= {f"{kind} noise {snr} dB": noise(kind, snr) for kind in NOISES for snr in SNRS_DB}
    found |= {f"{rate / 1000:g} kHz device": band(rate) for rate in RATES_HZ}
    found["mu-law"] = lambda x, _: mu_law(x)
    found[f"reverberation {_REVERBERATION_S:g} s"] = reverberation(_REVERBERATION_S)
    if folder:
        found["other microphones"] = microphones(folder, exclude)
    return found


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
    waveform, target = _windows(data)
    expected = np.array(data.labels)[target.argmax(axis=1)]
    rate = model.spec.frontend.sample_rate
    rows = []
    for name, condition in tqdm(named.items(), unit="condition", disable=None):
        changed = torch.cat([condition(part, rate) for part in torch.split(waveform, _BATCH)]).numpy()
        audible = np.array([level_dbfs(window) >= NO_SIGNAL_DBFS for window in changed])
        answers = np.array([_label(model, window, rate) for window in changed[audible]])
        right, agreement = None, None
        if against is not None:
            floats = _float_labels(against, changed[audible])
            right, agreement = _mean(floats == expected[audible]), _mean(floats == answers)
        rows.append(Row(name, int(audible.sum()), _mean(answers == expected[audible]), right, agreement))
    return rows


def _windows(data: ClipData) -> tuple[torch.Tensor, npt.NDArray[Any]]:
    dataset = data.datasets["test"]
    batches = [
        dataset.at_rest(list(range(i, min(i + _BATCH, len(dataset))))) for i in range(0, len(dataset), _BATCH)
    ]
    return torch.cat([b.waveform for b in batches]), torch.cat([b.target for b in batches]).numpy()


def _label(model: Model, window: Array, rate: int) -> str:
    return model.classify(window, rate).label or ""


def _float_labels(checkpoint: model_pt.Checkpoint, waveform: Array) -> npt.NDArray[np.str_]:
    network, log_mel = checkpoint.build(), LogMel(checkpoint.frontend)
    parts = torch.split(torch.from_numpy(waveform), _BATCH)
    with torch.inference_mode():
        best = torch.cat([network(log_mel(part)).argmax(dim=1) for part in parts])
    labels: npt.NDArray[np.str_] = np.array(checkpoint.labels)[best.numpy()]
    return labels


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
            f"{', '.join(corpus.labels)}: "
            "name a corpus of the model's labels."
        )
    data = ClipData(corpus, sample_rate=model.spec.frontend.sample_rate, clip_s=model.spec.clip_s)
    data.setup("test")
    against = model_pt.load(options.against) if options.against else None
    rows = measure(model, data, conditions(options.responses, tuple(options.leave_out)), against)
    print(to_text(rows))
    output = Path(options.output)
    result = {"corpus": corpus.describe(), "split": "test", "rows": [asdict(row) for row in rows]}
    with write_beside(output) as partial:
        partial.write_text(json.dumps(result, indent=1) + "\n")
    plot(rows, output.with_suffix(".png"))
    print(f"wrote {output} and {output.with_suffix('.png')}", file=sys.stderr)
    return entry_point.EXIT_OK


if __name__ == "__main__":
    entry_point.run(main)
