"""How much of its accuracy a file has left on quieter sound, by the log-mels of its verification windows.

A change of level multiplies the energy of every mel band by one factor, so that the log-mel of the quieter
window follows from that of the window itself; no waveform is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from runtime.spec import FrontEndSpec, Task
from train.quantization.quality import Share, decide, is_right, share_of
from train.quantization.verification_windows import VerificationWindows

LEVELS_DB = (-20, -30)  # a laptop and a Raspberry Pi are so much quieter than published recordings
_GREAT_LOSS = 0.1  # share of decisions; above it the summary names the remedy


@dataclass(frozen=True)
class QuietAccuracy:
    """The accuracy on verification windows whose level was changed.

    Attributes:
        level_db: the change.
        accuracy: decisions of the file that are right.
        lost: of the accuracy at the windows' own level, a share of all decisions.
    """

    level_db: int
    accuracy: Share
    lost: float

    def __str__(self) -> str:
        line = f"  accuracy {-self.level_db} dB quieter: {self.accuracy}"
        if self.lost > _GREAT_LOSS:
            line += "; augmentation with model.augmentation.capture is the remedy"
        return line

    def to_json(self) -> dict[str, Any]:
        """For the provenance of the file."""
        return {"level_db": self.level_db, **self.accuracy.to_json()}


def quiet_accuracy(
    run: Callable[[Tensor], Tensor],
    windows: VerificationWindows | None,
    spec: FrontEndSpec,
    task: Task,
    clean: Share | None,
) -> tuple[QuietAccuracy, ...]:
    """Measure the accuracy at `LEVELS_DB`.

    Args:
        run: log-mels [n, 1, n_mels, frames] -> logits [n, classes] of the file.
        windows: to measure on.
        spec: the front end of the file.
        task: one label a window, or any number.
        clean: decisions that are right at the windows' own level.

    Returns:
        None of them where the windows have no labels, or where the front end normalises by more than the
        frame, so that quieter sound is not a function of the log-mel.
    """
    if windows is None or windows.targets is None or clean is None or not spec.framewise:
        return ()
    found = []
    for level in LEVELS_DB:
        right = is_right(decide(run(quieter(windows.log_mels, level, spec)), task), windows.targets, task)
        accuracy = share_of(right, windows.clips)
        found.append(QuietAccuracy(level, accuracy, clean.value - accuracy.value))
    return tuple(found)


def quieter(log_mels: Tensor, level_db: float, spec: FrontEndSpec) -> Tensor:
    """The log-mels of the same sound at another level, without clipping.

    Args:
        log_mels: [n, 1, n_mels, frames].
        level_db: change of the level, dB.
        spec: of a front end that is computed frame by frame.
    """
    factor = 10 ** (level_db * spec.power / 20)
    offset = spec.log_offset
    energy = torch.exp(log_mels.double() * spec.std + spec.mean)
    if spec.log_mode == "floor":
        changed = torch.log((energy * factor).clamp_min(offset))
    else:
        changed = torch.log((energy - offset).clamp_min(0) * factor + offset)
    return ((changed - spec.mean) / spec.std).to(log_mels.dtype)
