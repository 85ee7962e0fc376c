"""The model of an earlier run, from which a training goes on, and the recordings that it was tested on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from export.learn.data.split import Splits, read_splits
from export.learn.options import Options
from runtime.errors import ConfigError
from runtime.files import write_beside
from runtime.spec import PRESETS
from train.checkpoints import model_pt
from train.checkpoints.identity import CHECKSUM, describe_file

LATEST, TABLE, MODEL = "latest.json", "sounds.csv", "model.pt"


@dataclass(frozen=True)
class Earlier:
    """An earlier model.

    Attributes:
        model: its model.pt.
        onnx: its file; None where there is none.
        checkpoint: the contents of the model.pt.
        splits: clip id to split of the sounds that it was trained and tested on.
    """

    model: Path
    onnx: Path | None
    checkpoint: model_pt.Checkpoint
    splits: Splits = field(default_factory=dict)

    @property
    def frontend(self) -> str:
        """Name of its front end."""
        return next(name for name, spec in PRESETS.items() if spec == self.checkpoint.frontend)

    @property
    def arguments(self) -> dict[str, object]:
        """Of its network."""
        return {k: v for k, v in self.checkpoint.arguments.items() if k != "n_classes"}


def find_earlier(options: Options) -> Earlier | None:
    """The run that ``--from`` names by its .onnx file or its model.pt; None without ``--from``.

    Raises:
        ConfigError: where it is not of ``learn``, so that nobody knows what it was trained on.
    """
    start = options.start
    if start is None:
        return None
    if not start.is_file():
        raise ConfigError(
            f"--from {start}: there is no such file; give the .onnx file of an earlier `learn`."
        )
    runs = options.run or start.with_name(f"{start.stem}_run")
    folder = start.parent if start.suffix == ".pt" else runs / str(_latest(runs).get("run", "none"))
    if not (folder / TABLE).is_file() or not (folder / MODEL).is_file():
        raise ConfigError(
            f"--from {start}: the folder of its run is not beside it ({start.stem}_run, with {TABLE} and "
            f"{MODEL}), so nothing shows which recordings it was trained on: leave --from out, or give --run."
        )
    checkpoint = model_pt.load(folder / MODEL)
    if checkpoint.student != "cp_mobile":
        raise ConfigError(f"--from {start} is a {checkpoint.student}, and `learn` trains a cp_mobile.")
    onnx = start if start.suffix == ".onnx" else None
    return Earlier(folder / MODEL, onnx, checkpoint, read_splits(folder / TABLE))


def latest_run(options: Options) -> str | None:
    """Name of the folder of the run that the output is of; None where that is not known."""
    latest = _latest(options.all_runs)
    return str(latest.get("run")) if latest.get("output") == options.output.name else None


def latest_loss(options: Options) -> float:
    """The loss of accuracy that the output was allowed, 0 to 1; 1 where that is not known."""
    allowed = _latest(options.all_runs).get("allowed_loss")
    return allowed if isinstance(allowed, float) else 1.0


def is_as_written(options: Options) -> bool:
    """Whether the output holds the bytes that `learn` wrote there, as far as that is known."""
    written = _latest(options.all_runs).get(CHECKSUM)
    return written is None or written == describe_file(options.output)[CHECKSUM]


def _latest(runs: Path) -> dict[str, Any]:
    try:
        found = json.loads((runs / LATEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remember(options: Options, folder: Path, onnx: Path) -> None:
    """Record which run an output is of, what loss it was allowed, and the checksum of its file."""
    latest = {
        "run": folder.name, "output": options.output.name, "allowed_loss": options.allowed_loss,
        CHECKSUM: describe_file(onnx)[CHECKSUM],
    }  # fmt: skip
    with write_beside(options.all_runs / LATEST) as partial:
        partial.write_text(json.dumps(latest) + "\n")
