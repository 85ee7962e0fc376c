"""Where a training that was interrupted goes on."""

from __future__ import annotations

from pathlib import Path


def last_checkpoint(root: Path) -> Path:
    """What a training in the folder ``root`` writes after each epoch."""
    return root / "checkpoints" / "last.ckpt"


def resume_options(root: Path) -> list[str]:
    """The options of ``python -m train fit`` that go on with the training in ``root``, if there is one."""
    return ["--ckpt_path=last"] if last_checkpoint(root).is_file() else []
