"""Runs ``fit`` with a recipe, in this process; one that was interrupted goes on where it stopped."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from export.learn.recipe import to_yaml
from runtime.files import write_beside
from train.checkpoints.resume import resume_options
from train.cli.main import main


def fit(recipe: Mapping[str, Any], path: Path, comment: str, *options: str) -> Path:
    """Train by a recipe unless that is done.

    Args:
        recipe: its ``trainer.default_root_dir`` is the folder of the training.
        path: where the recipe is written first.
        comment: above the recipe.
        options: of ``python -m train fit`` where the training begins.

    Returns:
        The model.pt.

    Raises:
        TinysceneError: where the recipe or the data cannot be used.
        OSError, RuntimeError: where nothing more can be written; the latter is of torch.save.
        KeyboardInterrupt: where the user interrupts it.
    """
    folder = Path(recipe["trainer"]["default_root_dir"])
    model = folder / "model.pt"
    if model.is_file():
        return model
    write_recipe(recipe, path, comment)
    more = resume_options(folder) or list(options)
    given = sys.argv
    try:
        main(["fit", "--config", str(path), *more])
    except SystemExit as stopped:  # Lightning leaves the process at Ctrl-C and SIGTERM
        raise KeyboardInterrupt from stopped
    finally:
        sys.argv = given  # Lightning's command line sets it
    return model


def write_recipe(recipe: Mapping[str, Any], path: Path, comment: str) -> None:
    """Write a recipe, whole or not at all."""
    with write_beside(path) as partial:
        partial.write_text(to_yaml(recipe, comment), encoding="utf-8")
