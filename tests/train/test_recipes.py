"""Every recipe parses, builds and says how to run it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT

RECIPES = sorted((ROOT / "train" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_says_its_command_and_trains_two_batches(recipe: Path, run_room, tmp_path):
    text = recipe.read_text()
    assert f"python -m train fit  --config train/recipes/{recipe.name}" in text
    few = [
        f"--data.corpus.{split}_clips={count}" for split, count in (("train", 20), ("val", 10), ("test", 10))
    ]
    short = ["--data.batch_size=10", "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
    done = run_room(
        "train", "fit", "--config", recipe, "--data.corpus=train.data.Synthetic", *few, *short,
        "--trainer.enable_progress_bar=false", f"--trainer.default_root_dir={tmp_path}", cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model.pt").is_file()
