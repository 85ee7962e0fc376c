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

Record = dict[str, Any]  # of an output: its run, the loss that it was allowed, and the checksum of its file
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
    folder = start.parent if start.suffix == ".pt" else runs / str(_of_start(runs, start).get("run", "none"))
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
    run = _of_output(options).get("run")
    return None if run is None else str(run)


def latest_loss(options: Options) -> float:
    """The loss of accuracy that the output was allowed, 0 to 1; 1 where that is not known."""
    allowed = _of_output(options).get("allowed_loss")
    return allowed if isinstance(allowed, float) else 1.0


def is_as_written(options: Options) -> bool:
    """Whether the output holds the bytes that `learn` wrote there, as far as that is known."""
    written = _of_output(options).get(CHECKSUM)
    return written is None or written == describe_file(options.output)[CHECKSUM]


def _of_output(options: Options) -> Record:
    return _outputs(options.all_runs).get(options.output.name, {})


def _of_start(runs: Path, start: Path) -> Record:
    """What is recorded of a file by its name; where it was renamed, of the only output there is."""
    outputs = _outputs(runs)
    only = next(iter(outputs.values())) if len(outputs) == 1 else {}
    return outputs.get(start.name, only)


def _outputs(runs: Path) -> dict[str, Record]:
    """Name of each output to what is recorded of it; `--run` may give several outputs one folder."""
    try:
        found = json.loads((runs / LATEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    outputs = found.get("outputs", {str(found.get("output")): found})  # the latest alone: an older release
    return outputs if isinstance(outputs, dict) and all(isinstance(o, dict) for o in outputs.values()) else {}


def remember(options: Options, folder: Path, onnx: Path) -> None:
    """Record which run an output is of, what loss it was allowed, and the checksum of its file."""
    record = {
        "run": folder.name, "allowed_loss": options.allowed_loss, CHECKSUM: describe_file(onnx)[CHECKSUM],
    }  # fmt: skip
    outputs = {**_outputs(options.all_runs), options.output.name: record}
    with write_beside(options.all_runs / LATEST) as partial:
        partial.write_text(json.dumps({"outputs": outputs}) + "\n")
