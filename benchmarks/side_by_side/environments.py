"""The environments of the contestants: made once, in a cache folder, by pip.

Peers get an environment of their own, which sees this project's runtime and benchmarks through links and none
of its packages. ExecuTorch needs the project's torch, and the products need what the peers need: they are
installed into a folder beside that, without dependencies. onnx2tf needs another Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import benchmarks
import runtime
from benchmarks.side_by_side.ways.contestant import Environment, Made
from runtime.errors import TinysceneError

PEERS = ("openvino==2026.4.1", "ncnn==1.0.20261020", "ai-edge-litert==2.3.0", "librosa==0.11.0",
         "onnxruntime==1.32.0", "numpy<2.5", "scipy", "soxr")  # fmt: skip
# Without their dependencies: pnnx's program and silero-vad's .onnx file need no torch
ALONE = ("pnnx==20261020",)
PRODUCTS = ("silero-vad==6.2.3", "sherpa-onnx==2.0.1", "sherpa-onnx-core==2.0.1")
ONNX2TF = ("onnx2tf==2.6.9",)
EXECUTORCH = ("executorch==1.5.1", "ruamel.yaml", "expecttest", "tabulate", "parameterized", "py-cpuinfo",
              "kgb")  # fmt: skip
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
_WORTH_SAYING_S = 5
# Bytecode is left to the first import: most of the modules are never imported
_INSTALL = ("install", "--quiet", "--prefer-binary", "--no-compile")


@dataclass(frozen=True)
class Environments:
    """Interpreters and variables of the contestants' processes.

    Attributes:
        cache: the folder that all of it is in.
    """

    cache: Path
    _ahead: dict[str, Future[Path]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def default(cls) -> Environments:
        """In ``$XDG_CACHE_HOME/tinyscene-benchmarks``, or in ``~/.cache``."""
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = caches / "tinyscene-benchmarks"
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder)

    def make_ahead(self, names: Iterable[Made]) -> None:
        """Begin to make environments beside what the caller does: pip waits for the network most of the time.

        What fails is raised where the environment is asked for.
        """
        names = {name for name in names if name not in self._ahead}
        if "products" in names and "peers" not in self._ahead:
            names.add("peers")
        threads = ThreadPoolExecutor(max(1, len(names)))
        for name in sorted(names):  # the peers before the products, which wait for them
            self._ahead[name] = threads.submit(self._make, name)
        threads.shutdown(wait=False)

    def made(self, name: Made) -> Path:
        """The interpreter of an environment, which is made if it is not there.

        Raises:
            TinysceneError: where pip fails, or onnx2tf's Python is missing.
        """
        return self._ahead[name].result() if name in self._ahead else self._make(name)

    def _make(self, name: Made) -> Path:
        if name == "peers":
            return self._venv(name, Path(sys.executable), PEERS, ALONE)
        if name == "onnx2tf":
            python = _python_312()
            if python is None:
                raise TinysceneError("onnx2tf needs Python 3.12 or later: put python3.12 on the PATH.")
            return self._venv(name, python, ONNX2TF)
        if name == "products":
            self._target(name, PRODUCTS)
            return self.made("peers")
        if name == "executorch":
            self._target(name, EXECUTORCH)
        return Path(sys.executable)

    def variables(self, environment: Environment) -> dict[str, str]:
        """Environment variables of a contestant's process.

        Bytecode is stored even where the environment forbids it: no user compiles a package at every start.
        """
        paths = [self._links() if environment in ("peers", "products") else _project()]
        if environment in ("products", "executorch"):
            paths.append(self.cache / environment)
        inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return {
            **inherited, **ONE_THREAD, "ORT_DISABLE_TELEMETRY": "1", "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "TORCHINDUCTOR_CACHE_DIR": str(self.cache / "inductor"),
        }  # fmt: skip

    def onnx2tf(self) -> Path:
        """The program that converts to LiteRT. Raises TinysceneError where there is no Python 3.12."""
        return self.made("onnx2tf").parent / "onnx2tf"

    def pnnx(self) -> Path:
        """The program that converts to ncnn."""
        python = self.made("peers")
        return next(python.parents[1].glob("lib/python*/site-packages/pnnx/pnnx"))

    def _venv(self, name: str, python: Path, packages: tuple[str, ...], alone: tuple[str, ...] = ()) -> Path:
        folder = self.cache / name
        if not _is_ready(folder, packages + alone):
            with report_duration(f"making the environment {name}"):
                shutil.rmtree(folder, ignore_errors=True)
                _call([python, "-m", "venv", folder])
                pip = [folder / "bin" / "python", "-m", "pip", *_INSTALL]
                _call([*pip, *packages])
                if alone:
                    _call([*pip, "--no-deps", *alone])
                _ready(folder, packages + alone)
        return folder / "bin" / "python"

    def _target(self, name: str, packages: tuple[str, ...]) -> None:
        folder = self.cache / name
        if not _is_ready(folder, packages):
            with report_duration(f"making the environment {name}"):
                shutil.rmtree(folder, ignore_errors=True)
                _call([sys.executable, "-m", "pip", *_INSTALL, "--no-deps", "--target", folder, *packages])
                _ready(folder, packages)

    def _links(self) -> Path:
        """A folder with this project's runtime and benchmarks, and nothing else that is installed beside."""
        folder = self.cache / "packages"
        folder.mkdir(exist_ok=True)
        for package in (runtime, benchmarks):
            link, target = folder / package.__name__, Path(str(package.__file__)).parent
            if not link.is_symlink() or link.resolve() != target.resolve():
                link.unlink(missing_ok=True)
                link.symlink_to(target)
        return folder


@contextmanager
def report_duration(what: str) -> Iterator[None]:
    """Print to stderr what took more than some seconds, and how long: the first run takes minutes."""
    begun = time.monotonic()
    yield
    if (taken := time.monotonic() - begun) >= _WORTH_SAYING_S:
        print(f"{what}: {taken:.0f} s", file=sys.stderr)


def _project() -> Path:
    return Path(str(benchmarks.__file__)).parents[1]


def _python_312() -> Path | None:
    """A Python 3.12 or later that starts (a shim of pyenv may not)."""
    names = [sys.executable, *(f"python3.{minor}" for minor in (12, 13, 14))]
    pyenv = sorted(Path.home().glob(".pyenv/versions/3.1[2-9]*/bin/python3"))
    for name in [*filter(None, map(shutil.which, names)), *map(str, pyenv)]:
        probe = [name, "-c", "import sys; sys.exit(sys.version_info < (3, 12))"]
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return Path(name)
    return None


def _call(command: list[object]) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [""]
        raise TinysceneError(f"`{' '.join(Path(str(c)).name for c in command[:4])} ...` failed: {lines[-1]}")


def _ready(folder: Path, packages: tuple[str, ...]) -> None:
    (folder / "ready").write_text("\n".join(packages))


def _is_ready(folder: Path, packages: tuple[str, ...]) -> bool:
    marker = folder / "ready"
    return marker.is_file() and marker.read_text() == "\n".join(packages)
