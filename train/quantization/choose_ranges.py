"""Post-training quantization of a model.pt: every observer is tried, and unseen windows decide."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.fx import GraphModule

from runtime.errors import ModelFileError
from train.checkpoints.model_pt import Checkpoint
from train.quantization.conversion import convert
from train.quantization.observers import DEFAULT_OBSERVER, OBSERVERS
from train.quantization.ptq import Calibration, calibrate
from train.quantization.quality import (
    Quality,
    Share,
    VerificationSet,
    accuracy_of,
    agreement_of,
    logits_of,
    quality_of,
    verification_set,
)
from train.quantization.quantizer import PORTABLE, Scheme
from train.quantization.sensitivity import Sensitivity, rank_values, sqnr_db
from train.quantization.weights.equalization import equalize


@dataclass(frozen=True)
class Candidate:
    """The ranges of one observer, measured on the verification windows.

    Attributes:
        observer: a key of `train.quantization.observers.OBSERVERS`.
        sqnr_db: signal to quantization noise ratio of the logits, dB; the largest one decides.
        agreement: labels that are those of the float reference.
        accuracy_change: accuracy of INT8 less that of the float reference; None without labels.
    """

    observer: str
    sqnr_db: float
    agreement: Share
    accuracy_change: float | None

    def __str__(self) -> str:
        """One line of a table."""
        change = "" if self.accuracy_change is None else f", accuracy {self.accuracy_change:+.1%}"
        return f"{self.observer}: {self.sqnr_db:.1f} dB, labels {self.agreement}{change}"


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


def choose_ranges(checkpoint: Checkpoint, scheme: Scheme = PORTABLE) -> Int8Model:
    """Quantize the student of a model.pt after training, with the ranges of the best observer.

    Channels are equalized first. Each observer's ranges then give an INT8 model, with weights rounded by GPTQ
    and corrected biases; the least error of the logits on the verification windows decides.

    Args:
        checkpoint: must have calibration windows.
        scheme: what varies.

    Raises:
        ModelFileError: where there are no calibration windows.
    """
    _require_windows(checkpoint)
    verification = verification_set(checkpoint)
    reference, network = checkpoint.build(), equalized_reference(checkpoint)
    calibration = calibrate(network, verification.calibration)
    expected = logits_of(reference, verification.windows)
    tried = [
        _try(network, calibration, observer, scheme, expected, verification, checkpoint)
        for observer in OBSERVERS
    ]
    best, candidate = max(tried, key=lambda one: one[1].sqnr_db)
    how: dict[str, object] = {
        "method": "ptq",
        "observer": candidate.observer,
        "windows": len(verification.calibration),
        "equalized": True,
        "tried": [str(one) for _, one in tried],
    }
    return Int8Model(best, scheme, how, tuple(one for _, one in tried))


def _try(
    network: nn.Module,
    calibration: Calibration,
    observer: str,
    scheme: Scheme,
    expected: Tensor,
    verification: VerificationSet,
    checkpoint: Checkpoint,
) -> tuple[GraphModule, Candidate]:
    int8_model = calibration.int8_model(network, observer, scheme)
    actual = logits_of(int8_model, verification.windows)
    before, after = (accuracy_of(logits, verification.targets, checkpoint) for logits in (expected, actual))
    return int8_model, Candidate(
        observer,
        sqnr_db(expected, actual),
        agreement_of(expected, actual, checkpoint),
        after.value - before.value if before is not None and after is not None else None,
    )


def equalized_reference(checkpoint: Checkpoint) -> nn.Module:
    """The float reference with equalized channels, value by value what `choose_ranges` quantizes."""
    windows = verification_set(checkpoint).calibration
    return equalize(checkpoint.build(), checkpoint.input_shape, windows)


def quality(result: Int8Model, checkpoint: Checkpoint) -> Quality:
    """Agreement and accuracy of an INT8 model on windows that it was not calibrated on, with their counts.

    Raises:
        ModelFileError: where the checkpoint has no windows.
    """
    _require_windows(checkpoint)
    return quality_of(result.network, checkpoint)


def sensitivities(checkpoint: Checkpoint, scheme: Scheme = PORTABLE) -> list[Sensitivity]:
    """Every value that INT8 would quantize, the most sensitive first.

    Raises:
        ModelFileError: where the checkpoint has no calibration windows.
    """
    _require_windows(checkpoint)
    verification = verification_set(checkpoint)
    network = equalized_reference(checkpoint)
    ranges = calibrate(network, verification.calibration).ranges(DEFAULT_OBSERVER)
    return rank_values(network, verification.windows, ranges, scheme)


def _require_windows(checkpoint: Checkpoint) -> None:
    if len(checkpoint.calibration) < 2:
        raise ModelFileError(
            "The model.pt has no calibration windows, which INT8 needs: "
            "train it with this release, or export it with `--quantize none`."
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
