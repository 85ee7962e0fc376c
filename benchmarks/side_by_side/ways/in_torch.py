"""The reference systems' way: a log-mel in torch, and the network in torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.side_by_side.ways.contestant import Array, Contestant
from benchmarks.side_by_side.ways.front_end_file import read_front_end
from benchmarks.side_by_side.ways.plain_log_mel import PlainLogMel
from train.students.cp_mobile import CPMobile


class _Torch(Contestant):
    """The torch log-mel, and a network that takes tensors."""

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)
        self._log_mel = PlainLogMel(read_front_end(folder)[0])
        self._network = self._load(folder)

    def _load(self, folder: Path) -> Any:
        raise NotImplementedError

    def front_end(self, waveform: Array) -> Tensor:
        """[samples] -> [1, 1, n_mels, frames]."""
        with torch.inference_mode():
            log_mel: Tensor = self._log_mel(torch.from_numpy(waveform)[None])
            return log_mel

    def network(self, log_mel: Tensor) -> Array:
        """-> [classes]."""
        with torch.inference_mode():
            logits: Array = self._network(log_mel)[0].numpy()
            return logits


class Eager(_Torch):
    """What the published systems do."""

    def _load(self, folder: Path) -> Any:
        values = torch.load(folder / "weights.pt", weights_only=True)
        network = CPMobile(**values["arguments"])
        network.load_state_dict(values["state_dict"])
        return network.eval()


class Compiled(Eager):
    """The same network, compiled by inductor."""

    def _load(self, folder: Path) -> Any:
        return torch.compile(super()._load(folder))


class Int8(_Torch):
    """The network as PT2E quantizes it for inductor."""

    def _load(self, folder: Path) -> Any:
        import torchao.quantization.pt2e.quantizer.x86_inductor_quantizer  # noqa: F401 registers operators

        program = torch.export.load(folder / "torch_int8.pt2")
        return torch.compile(program.module())


class ExecuTorch(_Torch):
    """The network as ExecuTorch runs it."""

    def _load(self, folder: Path) -> Any:
        from executorch.runtime import Runtime

        program = Runtime.get().load_program(folder / "fp32.pte")
        method = program.load_method("forward")
        return lambda log_mel: method.execute([log_mel.contiguous()])[0]

    def network(self, log_mel: Tensor) -> Array:
        """-> [classes]."""
        return np.array(self._network(log_mel.clone())[0])
