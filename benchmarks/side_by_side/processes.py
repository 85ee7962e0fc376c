"""The contestants' processes: started, asked in turns, ended."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.side_by_side.environments import Environments
from benchmarks.side_by_side.ways.contestant import ENTRIES, PRODUCTS
from runtime.errors import TinysceneError


class Process:
    """A contestant that waits for requests.

    Args:
        name: in `ENTRIES` or `PRODUCTS`.
        folder: of the artefacts.
        environments: that its interpreter is in.

    Attributes:
        versions: of its packages.
        logits: of the windows of ``waveforms.npy``, [windows][classes].

    Raises:
        TinysceneError: where it cannot start; the message is the reason.
    """

    def __init__(self, name: str, folder: Path, environments: Environments) -> None:
        environment = (ENTRIES | PRODUCTS)[name].environment
        command = [environments.made(environment), "-m", "benchmarks.side_by_side.worker", name, folder]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 closed by `end`
        self._process = subprocess.Popen(
            list(map(str, command)), env=environments.variables(environment), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        ready = self._reply()
        self.versions: dict[str, str] = ready["versions"]
        self.logits: list[list[float]] = ready["logits"]

    def time(self, part: str, repeats: int) -> dict[str, list[float]]:
        """Seconds of ``repeats`` runs of a part, see `worker.timed`."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"part": part, "repeats": repeats}) + "\n")
        self._process.stdin.flush()
        return self._reply()

    def end(self) -> None:
        """Wait for its end."""
        self._process.communicate()
        self._errors.close()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        values: dict[str, Any] = json.loads(line) if line else {"error": self._last_words()}
        if "error" in values:
            self.end()
            raise TinysceneError(values["error"])
        return values

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        return (lines[-1] if lines else f"it ended with code {self._process.returncode}")[:300]


def start_all(
    names: list[str], folder: Path, missing: dict[str, str], environments: Environments
) -> tuple[dict[str, Process], dict[str, str]]:
    """Start what can be started, one after the other.

    Returns:
        the processes by name, and the reason of each of the others.
    """
    known = ENTRIES | PRODUCTS
    reasons = {
        name: f"no conversion: {missing[file]}" for name in names if (file := known[name].file) in missing
    }
    names = [name for name in names if name not in reasons]  # the others need no environment
    started: dict[str, Process] = {}
    unmade = _unmade(names, environments)
    for name in names:
        if known[name].environment in unmade:
            reasons[name] = unmade[known[name].environment]
            continue
        try:
            started[name] = Process(name, folder, environments)
        except TinysceneError as error:
            reasons[name] = str(error).replace(f"{folder}/", "")
    return started, reasons


def _unmade(names: list[str], environments: Environments) -> dict[str, str]:
    """The environments that cannot be made, each tried once, and why."""
    reasons: dict[str, str] = {}
    for environment in {(ENTRIES | PRODUCTS)[name].environment for name in names}:
        try:
            environments.made(environment)
        except TinysceneError as error:
            reasons[environment] = str(error)
    return reasons
