"""Post-training quantization of a model.pt: calibrate once, then choose ranges and round weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from runtime.errors import ModelFileError
from train.checkpoints.model_pt import Checkpoint
from train.quantization.conversion import convert
from train.quantization.hostile_signals import hostile_inputs
from train.quantization.label_agreement import MAY_DIFFER, heard_otherwise, label_loss
from train.quantization.observers import FIRST_OBSERVER, OBSERVERS
from train.quantization.ptq import CALIBRATION_BATCH, calibrate
from train.quantization.quantizer import PORTABLE, Scheme
from train.quantization.sensitivity import Sensitivity, rank_values

TOLERANCE = 0.01

_MOST_KEPT_FLOAT = 3  # more float layers than that are not worth calling INT8


@dataclass(frozen=True)
class Quantized:
    """An INT8 twin and how it was made.

    Attributes:
        network: the twin, a graph that computes logits as the float network does.
        scheme: with the values that stay float.
        how: method, observer, windows, and what was tried, for the file's description.
    """

    network: GraphModule
    scheme: Scheme
    how: dict[str, object]


def quantize(checkpoint: Checkpoint, scheme: Scheme = PORTABLE, tolerance: float = TOLERANCE) -> Quantized:
    """Quantize the student of a model.pt after training, within a tolerated loss.

    The loss is `label_loss` on the calibration windows. Where one observer does not keep to it, or a hostile
    signal is heard otherwise (INT8 or the float network is sure of its label), the next one is tried; of
    several that keep to it the one counts that hears the fewest otherwise. Where none does, the values that
    hurt most are kept float, one after the other.

    Args:
        checkpoint: must hold calibration windows.
        scheme: what varies.
        tolerance: 0 to 1.

    Raises:
        ModelFileError: where there are no calibration windows, or nothing stays within the tolerance.
    """
    windows = _windows(checkpoint)
    network = checkpoint.build()
    hostile = torch.from_numpy(hostile_inputs(checkpoint.frontend, checkpoint.clip_samples))
    wanted, wanted_of_hostile = _logits(network, windows), _logits(network, hostile)
    calibration = calibrate(network, windows)
    tried: list[str] = []
    usable: list[tuple[int, int, Quantized]] = []  # signals that INT8 is, or float was, sure of otherwise

    def attempt(observer: str, scheme: Scheme) -> None:
        twin = calibration.twin(network, observer, scheme)
        loss = label_loss(wanted, _logits(twin, windows), checkpoint)
        wrong, changed = heard_otherwise(wanted_of_hostile, _logits(twin, hostile), checkpoint)
        kept = f" with {', '.join(scheme.keep_float)} in float" if scheme.keep_float else ""
        otherwise = ", ".join(dict.fromkeys(changed + wrong))
        heard = f" and {otherwise} heard otherwise" if otherwise else ""
        tried.append(f"{observer}{kept}: {loss:.2%} of labels{heard}")
        how = {"method": "ptq", "observer": observer, "windows": len(windows), "tried": tried}
        if loss <= tolerance and len(wrong) <= MAY_DIFFER:
            usable.append((len(wrong), len(changed), Quantized(twin, scheme, how)))

    for observer in OBSERVERS:
        attempt(observer, scheme)
        if usable and usable[-1][:2] == (0, 0):
            break
    if not usable:
        ranked = rank_values(network, windows, calibration.ranges(FIRST_OBSERVER), scheme)
        for count in range(1, _MOST_KEPT_FLOAT + 1):
            kept = (*scheme.keep_float, *(row.name for row in ranked[:count]))
            attempt(FIRST_OBSERVER, replace(scheme, keep_float=kept))
            if usable:
                break
    if not usable:
        raise ModelFileError(
            f"INT8 loses more than the tolerated {tolerance:.2%} of labels, or is sure of labels for more "
            f"than {MAY_DIFFER} hostile signals that float does not give. Tried: {'; '.join(tried)}. Train "
            "it with `python -m train qat`, raise `--tolerance`, or see `python -m export sensitivity`."
        )
    return min(usable, key=lambda found: found[:2])[2]


def sensitivities(checkpoint: Checkpoint, scheme: Scheme = PORTABLE) -> list[Sensitivity]:
    """Every value that INT8 would quantize, the most sensitive first.

    Raises:
        ModelFileError: where the checkpoint holds no calibration windows.
    """
    windows, network = _windows(checkpoint), checkpoint.build()
    ranges = calibrate(network, windows).ranges(FIRST_OBSERVER)
    return rank_values(network, windows, ranges, scheme)


def _windows(checkpoint: Checkpoint) -> Tensor:
    if not len(checkpoint.calibration):
        raise ModelFileError(
            "The model.pt holds no calibration windows, which INT8 needs: "
            "train it with this release, or export it with `--quantize none`."
        )
    return checkpoint.calibration


def _logits(network: nn.Module, windows: Tensor) -> Tensor:
    """Those of each window, float32 [n, classes]."""
    with torch.no_grad():
        return torch.cat([network(batch.float()) for batch in windows.split(CALIBRATION_BATCH)])


def quantize_as_trained(checkpoint: Checkpoint) -> Quantized:
    """The INT8 twin of a student that quantization-aware training has prepared: nothing is left to choose.

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
        twin = convert(
            checkpoint.build(), checkpoint.input_shape, ranges, scheme, scales=learned.get("scales")
        )
    except KeyError as error:
        raise ModelFileError(
            f"The model.pt comes from QAT of another release, which knew no range of {error}: run "
            "`python -m train qat` again."
        ) from error
    return Quantized(twin, scheme, {"method": "qat"})
