"""The parser of recipes and command lines: its errors are one sentence that names the nearest key."""

from __future__ import annotations

import argparse
import difflib
import importlib
import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from runtime.errors import ConfigError, MissingExtraError, TinysceneError
from train.suggestions import nearest

_NO_OPTION = re.compile(r"class_path '(?P<owner>[\w.]+)':\s+Option '(?P<word>\w+)' is not accepted")
_NO_CLASS = re.compile(r"module '(?P<owner>[\w.]+)' has no attribute '(?P<word>\w+)'")
_NO_KEY = re.compile(r"unrecognized arguments: --(?P<word>[\w.]+)")
_NO_KEY_IN_FILE = re.compile(r"does not accept option '(?P<word>[\w.]+)'")
_MISSING = re.compile(r"arguments are required: (?P<keys>[\w., ]+)$")
_VERB = re.compile(r"\b(fit|validate|test|predict)\.")  # stands before a key; of `qat`, too, which is a fit


class Parser(LightningArgumentParser):
    """Lightning's parser, whose errors are one sentence that knows what may have been meant."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise ConfigError instead of printing internals and leaving the process."""
        if not self.exit_on_error:  # a parser within a parser: the outer one says more
            super().error(message, ex)
        raise ConfigError(_sentence(message, self)) from ex

    def parse_path(self, cfg_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Parse a recipe; one in another encoding is a sentence."""
        try:
            return super().parse_path(cfg_path, *args, **kwargs)
        except UnicodeDecodeError as error:
            raise no_utf8(cfg_path, error) from error

    def instantiate(self, *args: Any, **kwargs: Any) -> Any:
        """Build what the recipe names; what a class says about its values comes through as it says it."""
        try:
            return super().instantiate(*args, **kwargs)
        except ValueError as error:
            raise _first_cause(error) from error


def no_utf8(recipe: Any, error: UnicodeDecodeError) -> ConfigError:
    """What to raise for a recipe in another encoding."""
    return ConfigError(f"The recipe {recipe} is not text in UTF-8 ({error}): save it as UTF-8.")


def _first_cause(error: BaseException) -> TinysceneError:
    """What was wrong before the parser wrapped it in the types that it had tried."""
    while error.__cause__ and not isinstance(error, TinysceneError):
        error = error.__cause__
    if isinstance(error, TinysceneError):
        return error
    if isinstance(error, ModuleNotFoundError) and "wandb" in str(error):
        return MissingExtraError("wandb", "wandb")
    return ConfigError(" ".join(str(error).split()))


def _sentence(message: str, parser: argparse.ArgumentParser) -> str:
    if found := _NO_OPTION.search(message):
        module, _, name = found["owner"].rpartition(".")
        known = list(inspect.signature(getattr(importlib.import_module(module), name)).parameters)
        return f"{name} has no option '{found['word']}': {nearest(found['word'], known)}"
    if found := _NO_CLASS.search(message):
        known = list(getattr(importlib.import_module(found["owner"]), "__all__", []))
        return f"{found['owner']} has no class '{found['word']}': {nearest(found['word'], known)}"
    if found := _NO_KEY.search(message) or _NO_KEY_IN_FILE.search(message):
        return f"There is no key '{found['word']}': {_nearest_key(found['word'], sorted(set(_keys(parser))))}"
    if found := _MISSING.search(message):
        keys = _VERB.sub("", found["keys"]).split(", ")
        if "data.corpus" in keys:
            return (
                "Nothing says which sounds to take: give --sounds DIR, a folder with a folder of recordings "
                "for each class, or --config RECIPE."
            )
        return f"Something is missing: give {' and '.join(f'--{key}' for key in keys)}."
    return " ".join(message.split())


def _nearest_key(word: str, keys: Sequence[str]) -> str:
    """Look in the table that the key stands in, or among all keys where there is no such table."""
    table, _, name = word.rpartition(".")
    siblings = [key.rpartition(".")[2] for key in keys if key.rpartition(".")[0] == table]
    if siblings:
        return nearest(name, siblings)
    found = difflib.get_close_matches(word, keys, n=1)
    return nearest(word, found or [key for key in keys if "." not in key])


def _keys(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every dotted key of a parser and of its subcommands."""
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for subparser in action.choices.values():
                yield from _keys(subparser)
        elif action.option_strings:
            yield action.dest
            yield action.dest.partition(".")[0]  # the table itself
