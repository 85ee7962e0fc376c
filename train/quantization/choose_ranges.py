"""Post-training quantization of a model.pt: every observer is tried, and unseen windows decide."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.fx import GraphModule

from runtime.errors import ModelFileError
from runtime.spec import Task
from train import networks
from train.checkpoints.model_pt import Checkpoint
from train.quantization.conversion import convert, export_program
from train.quantization.observers import DEFAULT_OBSERVER, OBSERVERS
from train.quantization.ptq import calibrate
from train.quantization.quality import Quality, logits_of, measure_quality
from train.quantization.quantizer import PORTABLE, Scheme
from train.quantization.sensitivity import Sensitivity, rank_values, sqnr_db
from train.quantization.verification_windows import VerificationWindows, split_windows
from train.quantization.weights.equalization import equalize


@dataclass(frozen=True)
class Candidate:
    """The ranges of one observer, measured on the windows that choose one.

    Attributes:
        observer: a key of `train.quantization.observers.OBSERVERS`.
        sqnr_db: signal to quantization noise ratio of the logits, dB; the largest one decides.
        quality: against the float reference.
    """

    observer: str
    sqnr_db: float
    quality: Quality

    def __str__(self) -> str:
        """One line of a table."""
        labelled = self.quality.accuracy is not None
        lost = f", accuracy lost: {100 * self.quality.loss:.2f} points" if labelled else ""
        return f"{self.observer}: {self.sqnr_db:.1f} dB, labels {self.quality.agreement}{lost}"


@dataclass(frozen=True)
class Int8Model:
    """An INT8 model and how it was made.

    Attributes:
        network: a graph from log-mel to logits.
        scheme: with the values that stay float.
        how: method, observer and number of calibration windows, for the file's metadata.
        candidates: what was tried, in that order; empty for QAT, which leaves no choice.
    """

    network: GraphModule
    scheme: Scheme
    how: dict[str, object]
    candidates: tuple[Candidate, ...] = ()


def choose_ranges(
    checkpoint: Checkpoint, windows: VerificationWindows, scheme: Scheme = PORTABLE
) -> Int8Model:
    """Quantize the student of a model.pt after training, with the ranges of the best observer.

    Channels are equalized first. Each observer's ranges then give an INT8 model, with weights rounded by GPTQ
    and corrected biases; the least error of the logits on ``windows`` decides, so that none of them measures
    the result, see `VerificationWindows.divide`.

    Args:
        checkpoint: gives the network, and calibration windows of other clips than ``windows``; see
            `train.quantization.verification_windows.split_windows`.
        windows: to choose on.
        scheme: what varies.

    Raises:
        ModelFileError: where there are no windows to calibrate with, or none to verify on.
        ConfigError: where INT8 has no rules for the network.
    """
    _require_windows(checkpoint, windows)
    network = export_program(equalized_reference(checkpoint), checkpoint.input_shape)
    calibration = calibrate(network, checkpoint.calibration)
    expected = logits_of(checkpoint.build(), windows.log_mels)
    models = {observer: calibration.int8_model(network, observer, scheme) for observer in OBSERVERS}
    candidates = tuple(
        _measure(observer, logits_of(int8_model, windows.log_mels), expected, windows, checkpoint.task)
        for observer, int8_model in models.items()
    )
    best = max(candidates, key=lambda candidate: candidate.sqnr_db)
    how: dict[str, object] = {
        "method": "ptq",
        "observer": best.observer,
        "windows": len(checkpoint.calibration),
        "equalized": True,
        "tried": [str(candidate) for candidate in candidates],
    }
    return Int8Model(models[best.observer], scheme, how, candidates)


def _measure(
    observer: str, logits: Tensor, expected: Tensor, windows: VerificationWindows, task: Task
) -> Candidate:
    quality = measure_quality(logits, expected, windows, task)
    assert quality is not None  # there are windows
    return Candidate(observer, sqnr_db(expected, logits), quality)


def equalized_reference(checkpoint: Checkpoint) -> nn.Module:
    """The float reference with equalized channels, value by value what `choose_ranges` quantizes."""
    return equalize(checkpoint.build(), checkpoint.input_shape, checkpoint.calibration)


def sensitivities(checkpoint: Checkpoint, scheme: Scheme = PORTABLE) -> list[Sensitivity]:
    """Every value that INT8 would quantize, the most sensitive first.

    Raises:
        ModelFileError: where the checkpoint has no calibration windows.
    """
    checkpoint, windows = split_windows(checkpoint)
    _require_windows(checkpoint, windows)
    network = export_program(equalized_reference(checkpoint), checkpoint.input_shape)
    ranges = calibrate(network, checkpoint.calibration).ranges(DEFAULT_OBSERVER)
    return rank_values(network, windows.log_mels, ranges, scheme)


def _require_windows(checkpoint: Checkpoint, windows: VerificationWindows) -> None:
    networks.refuse_int8(checkpoint.student)
    if len(checkpoint.calibration) and len(windows):
        return
    raise ModelFileError(
        "INT8 needs windows of some clips to choose ranges on and of others to verify on, and the model.pt "
        f"has {len(checkpoint.calibration)} and {len(windows)}: give audio with `--calibration` and "
        "`--verification`, or export it with `--quantize none`."
    )


def quantize_as_trained(checkpoint: Checkpoint) -> Int8Model:
    """The INT8 model of a student that comes from quantization-aware training: nothing is left to choose.

    Raises:
        ModelFileError: where the checkpoint does not come from QAT.
    """
    learned = checkpoint.quantization
    if learned.get("method") != "qat":
        raise ModelFileError(
            "The model.pt was trained without quantization: give one of `python -m train qat`, "
            "or export it with `--quantize ptq`."
        )
    low, high = learned["weight_range"]
    scheme = Scheme((low, high), tuple(learned["keep_float"]))
    ranges = {name: (low, high) for name, (low, high) in learned["ranges"].items()}
    try:
        network = convert(
            checkpoint.build(), checkpoint.input_shape, ranges, scheme, scales=learned.get("scales")
        )
    except KeyError as error:
        raise ModelFileError(
            f"The model.pt comes from QAT of another release, which has no range of {error}: run "
            "`python -m train qat` again."
        ) from error
    return Int8Model(network, scheme, {"method": "qat"})
