"""What the compiled model is measured against beside ONNX Runtime.

OpenVINO and the reference systems' way.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.errors import TinysceneError
from runtime.spec import ModelSpec

Array = npt.NDArray[np.float32]

# The student of the packaged model; weights do not change how long a network takes.
_STUDENT = {"base_channels": 32, "channels_multiplier": 2.3, "expansion_rate": 3, "grn": True}

_OPENVINO = """
import json, sys, time
import numpy as np
import openvino
core = openvino.Core()
config = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
request = core.compile_model(sys.argv[1], "CPU", config).create_infer_request()
log_mel = np.load(sys.argv[2])
run = lambda: request.infer({0: log_mel}, share_inputs=True, share_outputs=True)
print(json.dumps([openvino.__version__, run()[0].tolist()]), flush=True)
clock = getattr(time, sys.argv[3])
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        begin = clock()
        run()
        times.append(clock() - begin)
    print(json.dumps(times), flush=True)
"""


def reference_way(spec: ModelSpec) -> Callable[[Array], object]:
    """Waveform to probabilities as the reference systems do it: torch.stft, a dense mel product, eager."""
    import torch

    from train.log_mel import LogMel
    from train.networks import build

    torch.set_num_threads(1)
    front_end, frontend = LogMel(spec.frontend), spec.frontend
    network = build("cp_mobile", {"n_classes": len(spec.labels), **_STUDENT}).eval()
    emphasis = torch.tensor([[[-frontend.preemphasis, 1.0]]])

    def run(waveform: Array) -> object:
        with torch.inference_mode():
            x = torch.nn.functional.conv1d(torch.from_numpy(waveform)[None, None], emphasis)[:, 0]
            spectrum = torch.stft(
                x, frontend.n_fft, frontend.hop_length, frontend.win_length, front_end.window, center=True,
                pad_mode="reflect", return_complex=True,
            )  # fmt: skip
            mel = front_end.mel @ (spectrum.real**2 + spectrum.imag**2)
            log_mel = (torch.log(mel + frontend.log_offset) - frontend.mean) / frontend.std
            return network(log_mel[:, None]).softmax(1)

    return run


class OpenVino:
    """A process in an environment of its own that runs an .onnx file in OpenVINO on one thread.

    Attributes:
        version: of OpenVINO.
        logits: of the input.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.version, logits = json.loads(self._line())
        self.logits = np.array(logits, np.float32)

    def seconds(self, count: int) -> list[float]:
        """Run the network some times; returns how long each took there."""
        stream = self._process.stdin
        assert stream is not None
        stream.write(f"{count}\n")
        stream.flush()
        times: list[float] = json.loads(self._line())
        return times

    def _line(self) -> str:
        stream = self._process.stdout
        assert stream is not None
        if not (line := stream.readline()):
            raise TinysceneError("OpenVINO cannot run the model: leave out --openvino.")
        return line


def _has_openvino(python: Path) -> bool:
    command: list[str | Path] = [python, "-c", "import openvino"]
    return python.exists() and not subprocess.run(command, capture_output=True, check=False).returncode


@contextmanager
def openvino(model: Path, log_mel: Array, environment: Path, clock: str) -> Iterator[OpenVino]:
    """Start `OpenVino`; the environment is made where it has no OpenVINO, and ``clock`` of `time` counts.

    Raises:
        TinysceneError: where OpenVINO cannot be installed or cannot run the model.
    """
    python = environment / "bin" / "python"
    if not _has_openvino(python):
        venv.create(environment, with_pip=True)
        done = subprocess.run(
            [python, "-m", "pip", "install", "-q", "openvino"], stdout=sys.stderr, check=False
        )
        if done.returncode:
            raise TinysceneError(f"pip cannot install openvino into {environment}: leave out --openvino.")
    with tempfile.TemporaryDirectory() as name:
        np.save(Path(name) / "log_mel.npy", log_mel)
        command: list[Any] = [python, "-c", _OPENVINO, model.resolve(), Path(name) / "log_mel.npy", clock]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            yield OpenVino(process)
        finally:
            process.kill()
            process.communicate()
