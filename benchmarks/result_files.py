"""Where results are written, and what every results file says of how it came about."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from runtime.files import write_beside

_PACKAGES = ("tinyscene", "torch", "torchaudio", "torchao", "lightning", "onnx")


def results_folder() -> Path:
    """``benchmarks/results`` of a checkout; elsewhere ``benchmark-results`` of the current folder."""
    folder = Path(__file__).parent / "results"
    if not folder.is_dir():
        folder = Path("benchmark-results")
        folder.mkdir(exist_ok=True)
    return folder


def provenance(seeds: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Command, machine, versions, commit and seeds of this run."""
    return {
        "command": " ".join([Path(sys.executable).name, "-m", *_command()]),
        "measured": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "machine": machine(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "seeds": dict(seeds or {}),
    }


def read_result(name: str) -> dict[str, Any] | None:
    """The values of ``NAME.json``; None where it was not measured."""
    path = results_folder() / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else None


def write_result(path: Path, values: Mapping[str, Any], seeds: Mapping[str, int] | None = None) -> None:
    """Write a results file: the values, and where they come from."""
    write_json(path, {**provenance(seeds), **values})


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write values as they are, whole or not at all."""
    with write_beside(path) as partial:
        partial.write_text(json.dumps(values, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "vnni": "vnni" in flags,
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "onnxruntime", "soxr")},
    }


def _command() -> list[str]:
    """The module and its arguments, without folders of this machine."""
    module, script, folder = "benchmarks", Path(sys.argv[0]), Path(__file__).parent
    if script.is_relative_to(folder):  # as `python -m` gives it
        module = ".".join([module, *script.relative_to(folder).with_suffix("").parts])
    arguments = (Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:])
    return [module.removesuffix(".__main__"), *arguments]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Of this checkout; None in an installation, which may lie within another one."""
    if not Path(__file__).parents[1].joinpath("pyproject.toml").is_file():
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None
