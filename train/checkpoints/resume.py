"""Where a training that was interrupted goes on."""

from __future__ import annotations

import zipfile
from pathlib import Path

from runtime.errors import ConfigError
from train.checkpoints.model_pt import is_lightning, set_aside
from train.checkpoints.torch_file import read_plain


def last_checkpoint(root: Path) -> Path:
    """What a training in the folder ``root`` writes after each epoch."""
    return root / "checkpoints" / "last.ckpt"


def resume_options(root: Path) -> list[str]:
    """The options of ``python -m train fit`` that go on with the training in ``root``, if there is one."""
    return ["--ckpt_path=last"] if last_checkpoint(root).is_file() else []


def keep_interrupted(root: Path) -> Path | None:
    """Rename the last checkpoint of a training that was interrupted, before another one writes its own.

    Returns:
        Where it is now; None where there is none, or the training that wrote it ended with a model.pt.
    """
    last = last_checkpoint(root)
    return set_aside(last) if last.is_file() and not has_ended(root) else None


def has_ended(root: Path) -> bool:
    """Whether the training in the folder ``root`` wrote a model.pt after its last checkpoint."""
    last, model = last_checkpoint(root), root / "model.pt"
    return last.is_file() and model.is_file() and model.stat().st_mtime >= last.stat().st_mtime


def check_checkpoint(path: Path) -> None:
    """Make sure that ``--ckpt_path`` names a checkpoint that a training wrote.

    Raises:
        TinysceneError: where there is none, or the file is damaged or of another kind.
    """
    if path.is_dir() or not path.exists():
        what = f"{path} is a folder" if path.is_dir() else f"There is no checkpoint {path}"
        raise ConfigError(
            f"{what}: name a file of a training's folder `checkpoints`, or give --ckpt_path=last and the "
            "training's folder as --trainer.default_root_dir."
        )
    with path.open("rb") as file:
        cut = file.read(2) == b"PK" and not zipfile.is_zipfile(path)
    if cut:
        raise ConfigError(f"{path} is damaged: remove it, and train anew or from another checkpoint.")
    if not is_lightning(read_plain(path)):
        raise ConfigError(
            f"--ckpt_path {path} is not a checkpoint (.ckpt) of a training: `fit` starts from a model.pt "
            "with --init, and `test` reads the model.pt in --trainer.default_root_dir; other weights become "
            "a model.pt by `python -m train import`."
        )
