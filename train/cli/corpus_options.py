"""The corpus of a recipe, for commands that read data and train nothing."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import yaml
from jsonargparse.typing import PositiveInt

from runtime.entry_point import program
from runtime.errors import ConfigError
from runtime.spec import FrontEndSpec
from train.cli.argument_parser import Parser, no_utf8
from train.data.corpus import Corpus


def corpus_parser(command: str, description: str) -> Parser:
    """A parser with the options ``--config`` and ``--data.corpus``; a command adds its own.

    Args:
        command: its name.
        description: for its help.
    """
    parser = Parser(prog=f"{program('train')} {command}", description=description)
    parser.add_argument("--config", "-c", metavar="RECIPE", help="recipe to take the corpus from")
    parser.add_argument("--data.corpus", type=Corpus, help="another corpus, or changes to the recipe's")
    parser.add_argument(
        "--sample-rate", type=PositiveInt, help="Hz; by default that of the recipe's front end"
    )
    parser.add_argument(
        "--workers", type=PositiveInt, default=os.cpu_count() or 1, help="threads that decode"
    )
    return parser


def parse(parser: Parser, arguments: list[str]) -> tuple[Any, Corpus, int]:
    """Read the command line and the recipe that it names.

    Returns:
        The options, the corpus, and the sample rate in Hz.

    Raises:
        ConfigError: where there is no corpus, or the recipe cannot be read.
    """
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--config", "-c")
    path = first.parse_known_args(arguments)[0].config
    recipe = _load(Path(path)) if path else {}
    if corpus := (recipe.get("data") or {}).get("corpus"):
        parser.set_defaults({"data.corpus": corpus})
    options = parser.parse_args(arguments)
    if options.data.corpus is None:
        raise ConfigError("Which corpus? Name a recipe (--config RECIPE) or a class (--data.corpus CLASS).")
    frontend = (recipe.get("model") or {}).get("frontend", "cp_mel")
    sample_rate = options.sample_rate or FrontEndSpec.preset(frontend).sample_rate
    return options, parser.instantiate(options).data.corpus, sample_rate


def _load(path: Path) -> dict[str, Any]:
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"Cannot read the recipe {path} ({error.strerror}): check its name.") from error
    except UnicodeDecodeError as error:
        raise no_utf8(path, error) from error
    except yaml.YAMLError as error:
        raise ConfigError(
            f"The recipe {path} is not YAML ({' '.join(str(error).split())}): correct it."
        ) from error
    if not isinstance(recipe, dict):
        raise ConfigError(f"The recipe {path} is not a table of keys: take one of train/recipes as a model.")
    return recipe
