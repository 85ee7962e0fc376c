"""A student between fake quantizers: what quantization-aware training trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from train.quantization.conversion import prepare_training
from train.quantization.graph.scale_alignment import align_scales, reset_scales
from train.quantization.graph.value_names import aten, tensor_at
from train.quantization.ptq import CALIBRATION_BATCH
from train.quantization.qat.fake_quantize import MOMENTUM, FakeActivation, FakeWeight
from train.quantization.qat.phases import QatPhase
from train.quantization.quantizer import Scheme

_BATCH_NORM_TRAINING = 5  # position of that argument of aten.batch_norm


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer of the student.

    Attributes:
        parameter: name of its weight in the student.
        fake: rounds its weight, batch norm folded into it.
        weight: the parameter itself, [out_channels, ...].
    """

    parameter: str
    fake: FakeWeight
    weight: nn.Parameter

    def unfold(self, folded: Tensor) -> Tensor:
        """The parameter of a folded weight [out_channels, ...], by the factors of the last forward."""
        products = (self.fake.folded * self.weight).flatten(1).sum(1)
        squares = self.weight.square().flatten(1).sum(1)
        shape = (-1, *[1] * (self.weight.ndim - 1))
        factors = torch.where(squares > 0, products / squares, 1.0).reshape(shape)
        return torch.where(factors == 0, self.weight, folded / factors)


class QatNetwork(nn.Module):
    """A student between fake quantizers. Its parameters are the student's own, so training trains both.

    Args:
        student: built and loaded.
        input_shape: of its input at batch 1.
        scheme: what varies in INT8.

    Attributes:
        phase: what moves; `enter` changes it. It is part of the state dict.
        values: the fake quantizers of activations by name.
        layers: those of weights.
    """

    def __init__(self, student: nn.Module, input_shape: tuple[int, ...], scheme: Scheme) -> None:
        super().__init__()
        self.scheme, self.phase = scheme, QatPhase.OBSERVING
        self._input_shape = input_shape
        self.graph = prepare_training(student.eval(), input_shape, scheme, FakeActivation, FakeWeight)
        self.values = {m.name: m for m in self.graph.modules() if isinstance(m, FakeActivation)}
        self.layers = _layers(self.graph, student)
        for layer in self.layers:
            layer.fake.frozen_scales = torch.zeros(len(layer.weight))
        norms = [m for m in student.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.affine]
        self._norm_scales: list[nn.Parameter] = [norm.weight for norm in norms]
        self._apply_phase()

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, n_mels, frames] -> logits [batch, classes]."""
        if not self._phase_applied:  # a state was loaded
            self._apply_phase()
        logits: Tensor = self.graph(log_mel)
        return logits

    def enter(self, phase: QatPhase) -> None:
        """Begin a phase."""
        self.phase = phase
        self._apply_phase()

    def train(self, mode: bool = True) -> QatNetwork:
        """Let ranges and batch norm follow the data or not, as far as the phase lets them."""
        self.training = mode
        self._apply_phase()
        return self

    def get_extra_state(self) -> dict[str, str]:
        """The phase, saved with the weights."""
        return {"phase": self.phase.value}

    def set_extra_state(self, state: dict[str, str]) -> None:
        """Take the phase of a saved state; the next call applies it, when all ranges have been loaded too."""
        self.phase, self._phase_applied = QatPhase(state["phase"]), False

    def _apply_phase(self) -> None:
        """Set every quantizer and every batch norm as the phase and the mode (train or eval) ask for."""
        calibrating, frozen = self.phase is QatPhase.CALIBRATING, self.phase is QatPhase.FROZEN
        follows_batches = self.training and self.phase is QatPhase.OBSERVING
        for value in self.values.values():
            value.observer_enabled = calibrating or follows_batches
            value.fake_quant_enabled = not calibrating
        for layer in self.layers:
            layer.fake.fake_quant_enabled, layer.fake.frozen = not calibrating, frozen
        self._switch_batch_norm(follows_batches)
        # ranges that do not move get the scales of the exported file
        (reset_scales if calibrating or follows_batches else align_scales)(self.graph)
        self._phase_applied = True

    def _switch_batch_norm(self, training: bool) -> None:
        """Set the mode of batch norm.

        torchao's move_exported_model_to_train and _eval replace every batch norm by one of momentum 0.1 and
        eps 1e-5 (its own TODO says so); a student may have others.
        """
        for node in self.graph.graph.find_nodes(op="call_function", target=aten.batch_norm.default):
            node.update_arg(_BATCH_NORM_TRAINING, training)
        self.graph.recompile()

    def observe(self, log_mels: Tensor) -> None:
        """Take the first ranges, and nothing else, from calibration windows [n, 1, n_mels, frames]."""
        phase = self.phase
        self.enter(QatPhase.CALIBRATING)
        for value in self.values.values():
            value.momentum = 1.0  # the first batch replaces the range
        with torch.no_grad():
            for batch in torch.split(log_mels, CALIBRATION_BATCH):
                self(batch.float())
                for value in self.values.values():
                    value.momentum = MOMENTUM
        self.enter(phase)

    @contextmanager
    def fixed_norm_scales(self) -> Iterator[None]:
        """Around an optimizer step: while frozen, it leaves the scales of batch norm unchanged.

        A change would move all integers of a channel at once. The scales keep their gradients, because DDP
        waits for every parameter's.
        """
        before = [scale.detach().clone() for scale in self._norm_scales]
        yield
        if self.phase is QatPhase.FROZEN:
            with torch.no_grad():
                for scale, value in zip(self._norm_scales, before, strict=True):
                    scale.copy_(value)

    def record_folded_weights(self) -> None:
        """Pass every weight through its fake quantizer once."""
        device = next(self.graph.parameters()).device
        self(torch.zeros(2, *self._input_shape[1:], device=device))

    @torch.no_grad()
    def rounded_weights(self) -> dict[str, Tensor]:
        """The weights that INT8 computes with, by their names in the student; none before they are frozen."""
        if self.phase is not QatPhase.FROZEN:
            return {}
        self.record_folded_weights()
        return {layer.parameter: layer.unfold(layer.fake(layer.fake.folded)) for layer in self.layers}

    def copy_statistics_to(self, student: nn.Module) -> None:
        """Copy batch norm's statistics to the student: the two separate when moved to another device."""
        buffers = dict(student.named_buffers())
        for name, buffer in self.graph.named_buffers():
            if name in buffers:
                buffers[name].copy_(buffer)

    def learned(self) -> dict[str, Any]:
        """``Checkpoint.quantization``: all that export needs besides the weights."""
        learned: dict[str, Any] = {
            "scheme": "int8",
            "method": "qat",
            "phase": self.phase.value,
            "weight_range": list(self.scheme.weight_range),
            "keep_float": list(self.scheme.keep_float),
            "ranges": {name: list(value.range()) for name, value in self.values.items()},
        }
        if self.phase is QatPhase.FROZEN:
            learned["scales"] = {layer.fake.name: layer.fake.frozen_scales.tolist() for layer in self.layers}
        return learned


def _layers(graph: GraphModule, student: nn.Module) -> list[Layer]:
    """The layers of a prepared graph whose weight is a parameter of the student."""
    names = {parameter: name for name, parameter in student.named_parameters()}
    found = []
    for node in graph.graph.find_nodes(op="call_module"):
        fake = graph.get_submodule(str(node.target))
        tensor = _tensor_behind(graph, node) if isinstance(fake, FakeWeight) else None
        if isinstance(fake, FakeWeight) and isinstance(
            tensor, nn.Parameter
        ):  # that of average pooling is none
            found.append(Layer(names[tensor], fake, tensor))
    return found


def _tensor_behind(graph: GraphModule, node: Node) -> Tensor:
    """The parameter or buffer that a fake quantizer of a weight reads, batch norm's scale left out."""
    while node.op != "get_attr":
        node = node.all_input_nodes[0]
    return tensor_at(graph, node)
