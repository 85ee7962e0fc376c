"""``python -m runtime doctor``: what works here, what does not, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import struct
import subprocess
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from runtime.classifier import Model, load_model
from runtime.devices.microphone import inputs
from runtime.entry_point import EXIT_NEGATIVE, EXIT_OK
from runtime.errors import TinysceneError
from runtime.live.overload import DEFAULT_HOP_S
from runtime.model.session import probe_import

_WINDOWS = 60  # timed; the first ones warm up
# what `vcgencmd get_throttled` reads on a Raspberry Pi; bits 0 and 16: under-voltage now and since the start
_THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
_WINDOWS_EXCEPTION = 0xC0000000  # exit codes from here on, such as that of an illegal instruction
_UNDER_VOLTAGE = 1 << 0 | 1 << 16


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        name: of the thing that was checked.
        ok: whether it works.
        detail: what was found, or what is wrong and what to do.
    """

    name: str
    ok: bool
    detail: str


def doctor(arguments: Namespace) -> int:
    """Check everything that listening needs; exit 0 where all is well and 1 where something is not."""
    found = []
    for finding in _findings(arguments.model or [None]):
        found.append(finding)
        if arguments.json:
            print(json.dumps(asdict(finding)), flush=True)
        else:
            print(f"{'ok   ' if finding.ok else 'FAULT'}  {finding.name:12} {finding.detail}", flush=True)
    return EXIT_OK if all(finding.ok for finding in found) else EXIT_NEGATIVE


def _findings(models: list[str | None]) -> Iterator[Finding]:
    yield _check("system", _system)
    if _THROTTLED.exists():
        yield _check("power", _power)
    runs = _check("onnxruntime", _onnxruntime)
    yield runs
    yield _check("libsndfile", _libsndfile)
    yield _check("microphones", _microphones)
    for path in models if runs.ok else []:
        yield _check("model", lambda path=path: _model(path))  # type: ignore[misc]


def _check(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except TinysceneError as error:
        return Finding(name, False, str(error))


def _system() -> str:
    if struct.calcsize("P") != 8:
        raise TinysceneError("32-bit system: onnxruntime has no wheel for it; install a 64-bit one.")
    return f"{platform.system()} {platform.machine()}, 64 bit, Python {platform.python_version()}"


def _power() -> str:
    try:
        bits = int(_THROTTLED.read_text(), 16)
    except (OSError, ValueError) as error:
        raise TinysceneError(f"It cannot be read ({error}): run `vcgencmd get_throttled`.") from error
    if bits & _UNDER_VOLTAGE:
        raise TinysceneError("The supply is too weak, which slows the board down: use a stronger one.")
    return f"throttled={bits:#x}"


def _onnxruntime() -> str:
    """In a child process: some releases end on some boards with an illegal instruction."""
    build = _onnxruntime_build()
    try:
        child = subprocess.run(probe_import(), capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired as error:
        raise TinysceneError(f"{build} hangs when it is imported: install another.") from error
    if child.returncode < 0 or child.returncode >= _WINDOWS_EXCEPTION:
        how = f"signal {-child.returncode}" if child.returncode < 0 else f"code {child.returncode:#x}"
        raise TinysceneError(
            f"{build} crashes on this CPU ({how}): install another "
            "release, such as `pip install onnxruntime==1.22.1`."
        )
    if child.returncode:
        reason = (child.stderr.strip().splitlines() or ["no reason given"])[-1]
        if reason == "ModuleNotFoundError: No module named 'onnxruntime'":
            raise TinysceneError("onnxruntime is not installed: run `pip install onnxruntime`.")
        raise TinysceneError(f"{build} cannot be imported ({reason}): install it again.")
    return f"{build}, imported in a process of its own"


def _onnxruntime_build() -> str:
    """Name and version of the package that brings the module, such as onnxruntime-gpu."""
    names = importlib.metadata.packages_distributions().get("onnxruntime", ())
    versions = (f"{name} {importlib.metadata.version(name)}" for name in dict.fromkeys(names))
    return ", ".join(versions) or "onnxruntime"


def _libsndfile() -> str:
    try:
        import soundfile
    except ModuleNotFoundError as error:
        raise TinysceneError(f"{error.name} is not installed: run `pip install soundfile`.") from error
    except OSError as error:
        raise TinysceneError("libsndfile is missing: run `sudo apt install libsndfile1`.") from error
    formats = soundfile.available_formats()
    lacking = [name for name in ("WAV", "FLAC", "OGG", "MP3") if name not in formats]
    if lacking:
        raise TinysceneError(
            f"libsndfile {soundfile.__libsndfile_version__} cannot read {', '.join(lacking)}: run "
            "`pip install --force-reinstall soundfile`, which brings a newer one."
        )
    return f"{soundfile.__libsndfile_version__}, reads wav, flac, ogg and mp3"


def _microphones() -> str:
    names = [str(device["name"]) for device in inputs().values()]
    if not names:
        raise TinysceneError(
            "There is none: plug one in; in a container pass /dev/snd; be in the group audio."
        )
    return "; ".join(names)


def _model(path: str | None) -> str:
    begun = time.perf_counter()
    model = load_model(path)
    loaded_s = time.perf_counter() - begun
    scheme = model.spec.quantization.get("scheme", "?")
    front_end, network = _measure(model)
    window = front_end + network
    if window > 1000 * DEFAULT_HOP_S / 2:
        raise TinysceneError(f"A window takes {window:.0f} ms, too slow for the default hop: use `--hop 1`.")
    return (
        f"{model.session.path.name}: {scheme}, {len(model.labels)} labels; checked itself in {loaded_s:.2f} s"
        f" (optimization {model.session.optimization}); {window:.2f} ms a window ({front_end:.2f} front end,"
        f" {network:.2f} network), {1000 * DEFAULT_HOP_S / window:.0f} times real time at a hop of"
        f" {DEFAULT_HOP_S} s"
    )


def _measure(model: Model) -> tuple[float, float]:
    """Median milliseconds of a window of a live stream, on one thread: front end, network."""
    rate = model.spec.frontend.sample_rate
    hop = round(DEFAULT_HOP_S * rate)
    noise = np.random.default_rng(0).normal(scale=0.1, size=model.spec.clip_samples + _WINDOWS * hop)
    whole, network = [], []
    stream = model.stream()
    log_mel = np.zeros(model.spec.input_shape, np.float32)
    for place in range(0, len(noise), hop):
        begun = time.perf_counter()
        stream.push(noise[place : place + hop].astype(np.float32))
        between = time.perf_counter()
        model.session.logits(log_mel)
        whole.append(between - begun)
        network.append(time.perf_counter() - between)
    in_window, in_network = (float(np.median(times[10:])) * 1000 for times in (whole, network))
    return max(in_window - in_network, 0.0), in_network
