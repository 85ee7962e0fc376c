"""The commands of ``tinyscene`` and the verbs of ``python -m`` are the same."""

from __future__ import annotations

import importlib
import re

import pytest

from runtime.cli import tinyscene
from runtime.cli.tinyscene import Command
from tests.conftest import ROOT

tomllib = pytest.importorskip("tomllib")  # Python 3.11 and later


def _registered() -> list[Command]:
    """From pyproject.toml itself: what is installed may be older than the checkout."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    commands = list(tinyscene.COMMANDS)
    for place in groups[tinyscene.GROUP].values():
        module, _, name = place.partition(":")
        commands += getattr(importlib.import_module(module), name)
    return commands


COMMANDS = _registered()


def test_no_name_is_registered_twice():
    names = [command.name for command in COMMANDS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_a_main_and_a_summary_of_one_line(command):
    assert callable(importlib.import_module(command.module).main)
    assert len(command.summary) < 80 and "\n" not in command.summary


@pytest.mark.parametrize("module", sorted({command.module for command in COMMANDS}))
def test_every_verb_of_a_package_is_a_command(module, capsys):
    try:
        importlib.import_module(module).main(["--help"])
    except SystemExit as stopped:  # argparse
        assert not stopped.code
    listed = re.search(r"\{([\w,-]+)\}", text := capsys.readouterr().out)
    verbs = (
        listed[1].split(",") if listed else re.findall(r"^ {2,4}([a-z][a-z-]*)(?: {2,}\S.*)?$", text, re.M)
    )
    assert len(verbs) > 1
    assert set(verbs) == {command.verb for command in COMMANDS if command.module == module}
