"""The console script ``tinyscene COMMAND ...``: every command of every package under one name.

A command does what ``python -m PACKAGE VERB`` does. This package imports nothing to its right, so the other
packages register their commands as entry points of the group ``tinyscene.commands`` (pyproject.toml).

A console script does not have the current folder on ``sys.path``: that folder may hold a ``train.py`` of its
own.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from runtime import entry_point

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "tinyscene.commands"


class Command(NamedTuple):
    """One command.

    Attributes:
        name: what the user types after ``tinyscene``.
        summary: one line for ``tinyscene --help``.
        module: where ``main(arguments) -> exit code`` is; imported when the command runs.
        verb: first argument of that ``main``.

    Example:
        >>> Command("export", "write one .onnx file", "export.cli.main", "onnx").name
        'export'
    """

    name: str
    summary: str
    module: str
    verb: str

    def run(self, arguments: list[str]) -> int:
        """Import the module and run the verb with the arguments behind it; returns its exit code."""
        code: int = importlib.import_module(self.module).main([self.verb, *arguments])
        return code


_MAIN = "runtime.cli.main"
COMMANDS = (
    Command("classify", "classify audio files", _MAIN, "classify"),
    Command("listen", "classify microphones, pipes or files, live", _MAIN, "listen"),
    Command("serve", "show live results on a page, for other devices, too", _MAIN, "serve"),
    Command("record", "fill a class folder with clips from a microphone", _MAIN, "record"),
    Command("sort", "move captures of `listen --capture` into class folders", _MAIN, "sort"),
    Command("devices", "list the microphones", _MAIN, "devices"),
    Command("doctor", "check what listening needs, and name the remedy", _MAIN, "doctor"),
)


def main() -> None:
    """Run ``tinyscene`` on ``sys.argv`` and leave the process with the command's exit code."""
    entry_point.run(dispatch)


def dispatch(arguments: list[str]) -> int:
    """Run the command that is named first; returns its exit code."""
    name = arguments[0] if arguments else ""
    if name in ("", "-h", "--help"):
        print(_usage())
        return entry_point.EXIT_OK if name else entry_point.EXIT_UNUSABLE
    own = {command.name: command for command in COMMANDS}  # first, as reading the entry points takes time
    commands = own if name in own else all_commands()
    if name not in commands:
        print(f"error: There is no command '{name}': {_nearest(name, commands)}", file=sys.stderr)
        return entry_point.EXIT_UNUSABLE
    return commands[name].run(arguments[1:])


def all_commands() -> dict[str, Command]:
    """The commands of this package and those that are registered, by name."""
    from importlib.metadata import entry_points  # here: `tinyscene classify` starts without it

    registered = map(_load, sorted(entry_points(group=GROUP), key=lambda entry: entry.name))
    return {command.name: command for table in (COMMANDS, *registered) for command in table}


def _load(entry: EntryPoint) -> tuple[Command, ...]:
    """The commands of a package; none where it is left out, as in the container of the runtime."""
    try:
        commands: tuple[Command, ...] = entry.load()
    except ModuleNotFoundError as error:
        if error.name != entry.module.partition(".")[0]:
            raise  # something inside the package is broken
        return ()
    return commands


def _nearest(name: str, commands: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, commands, n=1)
    return f"did you mean '{close[0]}'?" if close else "`tinyscene --help` lists all of them."


def _usage() -> str:
    commands = all_commands().values()
    width = max(len(command.name) for command in commands)
    lines = [f"  {command.name:{width}}  {command.summary}" for command in commands]
    return "\n".join(
        ["usage: tinyscene COMMAND ...", "", *lines, "", "`tinyscene COMMAND --help` shows its options."]
    )
