"""The exported C on Cortex-M processors that QEMU emulates: the logits of the numpy reference, to the bit."""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import pytest

from complexity.microcontroller.firmware import compile_firmware, count_instructions
from complexity.microcontroller.targets import TARGETS
from export.c import reference
from export.c.library import write_library
from export.c.operators import Network
from export.c.read_graph import read_network
from runtime.model.native_session import NativeSession
from runtime.model.self_test import make_input
from tests.conftest import ROOT
from tests.export.c.conftest import STUDENTS, compile_library, need
from tests.export.c.test_operators import write_random_network

STUDENTS_ON_M4 = [pytest.param(name, "cortex-m4", marks=pytest.mark.slow) for name in STUDENTS]
RANDOM = {"random": 64, "random, great factors": 1}  # range of the weights
KERNELS = {"cortex-m0plus": "portable C", "cortex-m55": "Cortex-M Helium"}  # all others: DSP
IN_BOX = [
    pytest.param("box", target, marks=pytest.mark.slow if target == "cortex-m0plus" else ())
    for target in TARGETS
]
CASES = [*IN_BOX, *((name, "cortex-m4") for name in RANDOM), ("random", "cortex-m55"), *STUDENTS_ON_M4]


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    need("make", "arm-none-eabi-gcc", "qemu-system-arm")


@dataclass(frozen=True)
class Exported:
    """A folder of C, and what its vectors and this machine give."""

    folder: Path
    expected: list[list[int]]
    session: NativeSession


@pytest.fixture(scope="module")
def exported(
    request: pytest.FixtureRequest, compiler: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Exported]:
    """The folder of the model in the ``box``, of a ``random`` network, or of a student."""
    root = tmp_path_factory.mktemp("cortex_m")

    @cache
    def make(name: str) -> Exported:
        folder = root / name
        if name in RANDOM:
            network = write_random_network(3, RANDOM[name], folder)
        else:
            in_box = ROOT / "runtime" / "models" / "esc10.onnx"
            path = in_box if name == "box" else request.getfixturevalue("student")(name)
            write_library(path, folder)
            network = read_network(onnx.load(path))
        session = NativeSession(compile_library(folder))
        return Exported(folder, _expected_logits(network, session), session)

    return make


def _emulate(folder: Path, target: str, goal: str, *options: str) -> subprocess.CompletedProcess[str]:
    make = ["make", "-s", "-C", str(folder / "cortex_m"), f"TARGET={target}", *options, goal]
    return subprocess.run(["timeout", "120", *make], capture_output=True, text=True, check=False)


def _integers(printed: str, what: str) -> list[list[int]]:
    lines = re.findall(rf"^{what} \d+: ([\d ]+)$", printed, re.M)
    return [list(map(int, line.split())) for line in lines]


def _noise() -> Iterator[int]:
    """The generator of the C programs: 16 bits, signed."""
    state = 1
    while True:
        state = (state * 1664525 + 1013904223) % 2**32
        yield int(np.int16(np.uint16(state >> 16)))


def _expected_logits(network: Network, session: NativeSession) -> list[list[int]]:
    rows = []
    for vector in session.spec.self_test_vectors:
        log_mel = make_input(vector.formula, vector.seed, session.spec.input_shape)
        logits = reference.logits(network, log_mel)[0]
        rows.append((np.rint(logits / network.logits.scale) + network.logits.zero).astype(int).tolist())
    return rows


def _push(session: NativeSession, samples: np.ndarray) -> list[list[int]]:
    """Integers of the logits of all windows of a stream on this machine."""
    library, logits = session._library, []
    library.model_push_int16.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    library.model_logits.restype = ctypes.POINTER(ctypes.c_uint8)
    library.model_reset()
    for part in np.split(samples, range(100, len(samples), 100)):
        if library.model_push_int16(part.ctypes.data, len(part)):
            logits.append(library.model_logits()[: len(session.spec.labels)])
    return logits


@pytest.mark.parametrize(("name", "target"), CASES)
def test_it_has_the_logits_of_the_reference_and_the_stream_of_this_machine(exported, name, target):
    library = exported(name)
    done = _emulate(library.folder, target, "test")
    assert done.returncode == 0 and done.stdout.endswith("PASS\n"), done.stdout + done.stderr
    assert done.stdout.startswith(f"kernels: {KERNELS.get(target, 'Cortex-M DSP')}\n")
    assert _integers(done.stdout, "vector") == library.expected
    noise, spec = _noise(), library.session.spec
    column = _fading(noise, spec.frontend.win_length, spec.clip_samples)
    assert f"hash of a log-mel column: {_hash_of_column(library.session, column)}\n" in done.stdout
    samples = _fading(noise, spec.clip_samples * 3 // 2, spec.clip_samples)
    windows = _integers(done.stdout, "window")
    assert len(windows) == 3
    assert windows == _push(library.session, samples)


def test_the_portable_kernels_run_there_too(exported):
    library = exported("random")
    options = ("BUILD=build-portable", "CFLAGS=-O2 -DTS_NO_SIMD")
    done = _emulate(library.folder, "cortex-m4", "test", *options)
    assert done.returncode == 0 and done.stdout.startswith("kernels: portable C\n"), done.stdout + done.stderr
    assert _integers(done.stdout, "vector") == library.expected


def _fading(noise: Iterator[int], count: int, window: int) -> np.ndarray:
    """Noise whose loudness goes down four times a window, as in self_test_emulated.c."""
    samples = np.array(list(islice(noise, count)), np.int16)
    return samples >> (np.arange(count) * 4 // window % 4 * 2).astype(np.int16)


def _hash_of_column(session: NativeSession, samples: np.ndarray) -> int:
    """FNV-1a of the words of a log-mel column."""
    frames = (samples / np.float32(32768)).astype(np.float32)[None]
    value = 2166136261
    for word in session.front_end.columns(frames)[:, 0].view(np.uint32).tolist():
        value = (value ^ word) * 16777619 % 2**32
    return value


def test_a_microphone_with_a_double_buffer_loses_no_samples(exported):
    library = exported("random")
    done = _emulate(library.folder, "cortex-m4", "i2s")
    assert done.returncode == 0, done.stdout + done.stderr
    samples = np.array(list(islice(_noise(), library.session.spec.clip_samples * 2)), np.int16) >> 2
    assert _integers(done.stdout, "window") == _push(library.session, samples)[:4]


def test_a_microphone_that_is_too_fast_is_noticed(exported):
    done = _emulate(exported("random").folder, "cortex-m7", "i2s", "CFLAGS=-O2 -DTICKS=500")
    assert done.returncode and "overrun" in done.stdout


def test_sizes_and_counts(exported):
    """RAM and flash of the packaged model on a Cortex-M4, and a stack that is deep enough."""
    folder, target = exported("box").folder, TARGETS["cortex-m4"]
    firmware, counts = compile_firmware(folder, target), count_instructions(folder, target)
    assert firmware.code_bytes + firmware.constant_bytes <= 220_000
    assert firmware.static_bytes + firmware.stack_bytes <= 160_000
    assert counts is not None
    assert counts.stack_bytes <= firmware.stack_bytes <= counts.stack_bytes + 1000
    assert 20e6 < counts.network < counts.window < 500e6
