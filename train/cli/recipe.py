"""Recipes: values that are linked, values that were typed, and what a model file carries of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.cli import LightningArgumentParser

from runtime.errors import ConfigError
from runtime.spec import FrontEndSpec

# Key to the key that sets it. A recipe that has both would be overridden in silence.
_LINKED = {
    "data.clip_s": "model.clip_s",
    "data.sample_rate": "model.frontend",
    "data.seed": "seed_everything",
    "model.labels": "data.corpus",
    "model.seed": "seed_everything",
    "model.task": "data.corpus",
}
# Options of the machine: the same batches whatever they are.
_OF_THE_MACHINE = ("num_workers", "persistent_workers", "pin_memory")
_SEEDS = range(2**32)  # that numpy takes


def link_recipe(parser: LightningArgumentParser) -> None:
    """Let one key set all values that have to agree."""
    parser.link_arguments("data.labels", "model.labels", apply_on="instantiate")
    parser.link_arguments("data.task", "model.task", apply_on="instantiate")
    parser.link_arguments("model.frontend", "data.sample_rate", compute_fn=_sample_rate)
    parser.link_arguments("model.clip_s", "data.clip_s")
    parser.link_arguments("seed_everything", "model.seed")
    parser.link_arguments("seed_everything", "data.seed")


def _sample_rate(frontend: str) -> int:
    return FrontEndSpec.preset(frontend).sample_rate


def check_recipe(config: Any) -> None:
    """Make sure that nothing of a recipe is overridden in silence, and that its seed can be one.

    Args:
        config: of a verb, parsed, with its recipes as ``config``.

    Raises:
        ConfigError: where a recipe has a key that another key sets, with another value; or for the seed.
    """
    seed = config.seed_everything
    if seed not in _SEEDS:
        raise ConfigError(f"seed_everything is a number from 0 to {_SEEDS[-1]}, not {seed}.")
    for path in config.get("config") or ():
        recipe = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        for key, source in _LINKED.items():
            table, _, name = key.partition(".")
            given = (recipe.get(table) or {}).get(name)
            if given is not None and given != config.get(key):
                raise ConfigError(f"{path} has {key}, which {source} sets: remove {key} and set {source}.")


def is_typed(key: str, arguments: Sequence[str]) -> bool:
    """Whether a command line names a key: ``--key value`` or ``--key=value``."""
    return any(argument.partition("=")[0] == f"--{key}" for argument in arguments)


def portable_values(config: Any, *keys: str) -> dict[str, Any]:
    """Parts of the resolved recipe as JSON values, without what is of the machine that trained."""
    recipe = config.as_dict() if hasattr(config, "as_dict") else dict(config)
    recipe = json.loads(json.dumps(recipe, default=str))
    recipe.get("model", {}).pop("checkpoint", None)  # of QAT
    for name in _OF_THE_MACHINE:
        recipe.get("data", {}).pop(name, None)
    return {key: _without_folders(recipe[key]) for key in keys if key in recipe}


def _without_folders(value: Any) -> Any:
    """JSON values with the last part alone of every absolute path: a model travels, a folder does not."""
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
