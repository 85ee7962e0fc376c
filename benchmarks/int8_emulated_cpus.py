"""One INT8 file on emulated CPUs: its logits on AVX2 and on aarch64 against those of this machine.

    ESC10_DIR=/path/to/ESC-50 python -m benchmarks.int8_emulated_cpus MODEL.ONNX [--windows 200] [-o JSON]

Emulators and foreign pythons come from packages: Debian's qemu-user-static and arm64 python3.11 are
unpacked, not installed; aarch64 wheels come from PyPI. This needs Debian's apt-get and dpkg, pip, and
about 400 MB in ``--folder``, which later runs reuse. The file runs through `runtime.load_model`, self-test
vectors included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.result_files import write_result
from runtime import load_model
from runtime.audio.log_mel import LogMel
from runtime.entry_point import EXIT_OK, run
from runtime.errors import TinysceneError
from train.data import ESC50, ClipData

AARCH64_RELEASES = ("1.22.1", "1.24.4", "1.27.0")  # of onnxruntime
_REPOSITORY = Path(__file__).resolve().parents[1]
_ARM64_DEBS = (
    "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libssl3", "zlib1g",
    "libexpat1", "libstdc++6", "libgcc-s1", "libffi8", "libbz2-1.0", "liblzma5", "libuuid1", "libsqlite3-0",
    "libcrypt1",
)  # fmt: skip
_WHEELS = ("numpy", "scipy")
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
_WORKER = """
import sys
import numpy as np
from runtime import load_model
model = load_model(sys.argv[1])
logits = [model.session.logits(window[None]) for window in np.load(sys.argv[2])]
np.savez(sys.argv[3], logits=np.concatenate(logits), optimization=model.session.optimization)
"""


@dataclass(frozen=True)
class Machine:
    """A CPU to emulate.

    Attributes:
        name: for the table.
        command: what runs python there.
        environment: in addition to this one.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]


def main(arguments: list[str]) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.int8_emulated_cpus", description=__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL.ONNX")
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--folds", type=int, nargs="+", default=[4], help="of ESC-10 to take windows from")
    parser.add_argument("--folder", type=Path, default=Path(".emulated"), help="for emulators and packages")
    parser.add_argument("-o", "--output", type=Path, metavar="JSON")
    options = parser.parse_args(arguments)
    rows = compare(
        options.model.resolve(), real_windows(options), build(options.folder.resolve()), options.folder
    )
    for row in rows:
        print(json.dumps(row))
    if options.output:
        write_result(options.output, {"windows": options.windows, "rows": rows})
    return EXIT_OK


def real_windows(options: argparse.Namespace) -> np.ndarray:
    """Log-mels [n, 1, n_mels, frames] of windows spread over the folds, computed natively."""
    spec = load_model(options.model).spec
    corpus = ESC50(esc10=True, train_folds=[], val_folds=[], test_folds=options.folds)
    data = ClipData(corpus, sample_rate=spec.frontend.sample_rate, clip_s=spec.clip_s)
    data.setup("test")
    dataset, log_mel = data.datasets["test"], LogMel(spec.frontend)
    chosen = np.linspace(0, len(dataset) - 1, options.windows).astype(int)
    batch = dataset.at_rest(chosen.tolist())
    return np.stack([log_mel(waveform) for waveform in batch.waveform.numpy()])[:, None]


def build(folder: Path) -> list[Machine]:
    """Unpack the emulated machines into a folder, once."""
    qemu, root = folder / "qemu", folder / "arm64"
    _unpack_debs(folder, qemu, ("qemu-user-static",), ())
    _unpack_debs(folder, root, _ARM64_DEBS, _private_apt(folder))
    common = _unpack_wheels(folder, "common", _WHEELS)
    emulators = qemu / "usr" / "bin"
    machines = [
        Machine(
            "x86-64 Haswell (AVX2)",
            (str(emulators / "qemu-x86_64-static"), "-cpu", "Haswell", sys.executable),
            {"PYTHONPATH": str(_REPOSITORY)},
        )
    ]
    for release in AARCH64_RELEASES:
        site = _unpack_wheels(folder, f"onnxruntime-{release}", (f"onnxruntime=={release}",))
        python = str(root / "usr" / "bin" / "python3.11")
        machines.append(
            Machine(
                f"aarch64 cortex-a72, onnxruntime {release}",
                (str(emulators / "qemu-aarch64-static"), "-cpu", "cortex-a72", "-L", str(root), python),
                {"PYTHONHOME": str(root / "usr"), "PYTHONPATH": f"{_REPOSITORY}:{site}:{common}"},
            )
        )
    return machines


def compare(model: Path, windows: np.ndarray, machines: list[Machine], folder: Path) -> list[dict[str, Any]]:
    """Run the model on every machine and compare its logits with those of this machine."""
    inputs = folder / "windows.npy"
    np.save(inputs, windows)
    native = load_model(model)
    step = native.spec.quantization["output_scale"]
    expected = np.concatenate([native.session.logits(window[None]) for window in windows])
    rows = []
    for machine in machines:
        output = folder / "logits.npz"
        command = [*machine.command, "-c", _WORKER, str(model), str(inputs), str(output)]
        done = subprocess.run(
            command, env={**os.environ, **machine.environment}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise TinysceneError(f"{machine.name} failed: {done.stderr.strip().splitlines()[-1]}")
        result = np.load(output)
        difference = np.abs(result["logits"] - expected) / step
        rows.append(
            {
                "machine": machine.name,
                "optimization": str(result["optimization"]),
                "bit_equal": bool((result["logits"] == expected).all()),
                "logits_equal": float((difference == 0).mean()),
                "steps_at_most": int(np.rint(difference.max())),
                "labels_equal": float((result["logits"].argmax(1) == expected.argmax(1)).mean()),
            }
        )
    return rows


def _private_apt(folder: Path) -> tuple[str, ...]:
    """Options that let apt-get see arm64 packages without touching the system's own lists."""
    state, cache = folder / "apt" / "state", folder / "apt" / "cache"
    for needed in (state / "lists" / "partial", cache / "archives" / "partial"):
        needed.mkdir(parents=True, exist_ok=True)
    (folder / "apt" / "status").touch()
    settings = {
        "APT::Architecture": "arm64", "APT::Architectures": "arm64", "Dir::State": state,
        "Dir::State::status": folder / "apt" / "status", "Dir::Cache": cache,
    }  # fmt: skip
    return tuple(f"-o{key}={value}" for key, value in settings.items())


def _unpack_debs(folder: Path, target: Path, packages: tuple[str, ...], apt: tuple[str, ...]) -> None:
    if target.is_dir():
        return
    with _whole(target) as (debs, unpacked):
        if apt:
            _call(["apt-get", "-qq", *apt, "update"], folder)
        _call(["apt-get", "-qq", *apt, "download", *packages], debs)
        for deb in sorted(debs.glob("*.deb")):
            _call(["dpkg", "-x", str(deb), str(unpacked)], folder)


def _unpack_wheels(folder: Path, name: str, requirements: tuple[str, ...]) -> Path:
    target = folder / name
    if target.is_dir():
        return target
    with _whole(target) as (wheels, unpacked):
        platforms = [f"--platform={platform}" for platform in _PLATFORMS]
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", *platforms]
        _call([*pip, "--python-version=3.11", f"--dest={wheels}", *requirements], folder)
        for wheel in sorted(wheels.glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(unpacked)
    return target


@contextmanager
def _whole(target: Path) -> Iterator[tuple[Path, Path]]:
    """Folders for packages and for what they hold; the second becomes the target once all is unpacked."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as name:
        packages, unpacked = Path(name) / "packages", Path(name) / "unpacked"
        packages.mkdir()
        unpacked.mkdir()
        yield packages, unpacked
        unpacked.rename(target)


def _call(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TinysceneError(f"`{' '.join(command[:4])} ...` failed: {done.stderr.strip()[-300:]}")


if __name__ == "__main__":
    run(main)
