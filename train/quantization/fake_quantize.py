"""Fake quantizers: INT8's rounding in a float graph, switchable, and with gradients that pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from train.quantization.conversion import prepare_training, release, settle
from train.quantization.observers import FIRST_OBSERVER
from train.quantization.ptq import CALIBRATION_BATCH, Calibration
from train.quantization.qparams import Range
from train.quantization.quantizer import Observer, Scheme, WeightObserver, aten

_MOMENTUM = 0.01  # share of a batch's extremes in a range
_BATCH_NORM_TRAINING = 5  # position of that argument of aten.batch_norm


class FakeActivation(Observer):
    """Rounds an activation as INT8 will and lets gradients pass; its range follows what it sees.

    Args:
        name: of the value.

    Attributes:
        momentum: share of a new batch's extremes in the range.
    """

    low: Tensor
    high: Tensor

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.momentum = _MOMENTUM
        self.register_buffer("low", torch.tensor(0.0))
        self.register_buffer("high", torch.tensor(0.0))
        self.observes, self.quantizes = True, True

    def switch(self, *, observe: bool, quantize: bool) -> None:
        """Whether the range follows the data, and whether values are rounded."""
        self.observes, self.quantizes = observe, quantize

    def set_range(self, value_range: Range) -> None:
        """Begin with a range that is known."""
        self.low.fill_(value_range[0])
        self.high.fill_(value_range[1])

    def range(self) -> Range:
        """The range so far."""
        return float(self.low), float(self.high)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        if self.observes:
            low, high = torch.aminmax(x.detach())
            self.low += self.momentum * (low.clamp(max=0.0) - self.low)
            self.high += self.momentum * (high.clamp(min=0.0) - self.high)
        if not self.quantizes:
            return x
        rounded = torch.fake_quantize_per_tensor_affine(x, *self.parameters(), 0, 255)
        if rounded.requires_grad and rounded.shape[2:] == (1, 1):
            rounded.register_hook(_finite)
        return rounded


def _finite(gradient: Tensor) -> Tensor:
    """A statistic that is rounded to zero has no slope in GRN: the square root gives it infinity."""
    return torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)


class FakeWeight(WeightObserver):
    """Rounds a weight as INT8 will, on the grid that its own largest entries give, and lets gradients pass.

    Args:
        name: of the layer.
        weight_range: least and greatest integer.

    Attributes:
        grid: the scales [out_channels] that it ``holds``; zeros before they are chosen.
        holds: round to the grid, whatever becomes of the weight.
        folded: what it last rounded, [out_channels, ...], batch norm folded into it.
    """

    grid: Tensor

    def __init__(self, name: str, weight_range: tuple[int, int]) -> None:
        super().__init__(name, weight_range)
        self.register_buffer("grid", torch.zeros(0))
        self.quantizes, self.holds = True, False
        self.folded = torch.zeros(0)

    def switch(self, *, observe: bool, quantize: bool) -> None:
        """Whether the weight is rounded; there is nothing to observe."""
        self.quantizes = quantize

    def forward(self, x: Tensor) -> Tensor:
        """[out_channels, ...] -> the same."""
        self.folded = x.detach()
        if not self.quantizes:
            return x
        scales = self.grid if self.holds else self.scales(x)
        zeros = torch.zeros_like(scales, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(x, scales, zeros, 0, self.quant_min, self.quant_max)

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """PT2E requires it; nobody calls it."""
        raise NotImplementedError("the INT8 twin takes its scales from the trained weights")


class FakeQuantized(nn.Module):
    """A student between fake quantizers. Parameters are the student's own, so training trains both.

    Args:
        student: built and loaded.
        input_shape: of its input at batch 1.
        scheme: what varies in INT8.

    Attributes:
        frozen: batch norm, ranges and grids stand still, as they will in the file.
    """

    def __init__(self, student: nn.Module, input_shape: tuple[int, ...], scheme: Scheme) -> None:
        super().__init__()
        self.scheme, self.frozen = scheme, False
        self._input_shape = input_shape
        self.graph = prepare_training(student.eval(), input_shape, scheme, FakeActivation, FakeWeight)
        self.values = {m.name: m for m in self.graph.modules() if isinstance(m, FakeActivation)}
        norms = [m for m in student.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.affine]
        self._norm_scales: list[nn.Parameter] = [norm.weight for norm in norms]
        self._still: list[Tensor] = []  # what `after_step` keeps them at
        names = {parameter: name for name, parameter in student.named_parameters()}
        self._weights: list[tuple[str, FakeWeight, nn.Parameter]] = []  # by their names in the student
        for node in self.graph.graph.find_nodes(op="call_module"):
            fake = self.graph.get_submodule(node.target)
            tensor = _tensor_behind(self.graph, node) if isinstance(fake, FakeWeight) else None
            if isinstance(tensor, nn.Parameter):  # average pooling's is none
                fake.grid = torch.zeros(len(tensor))
                self._weights.append((names[tensor], fake, tensor))
        self.register_load_state_dict_post_hook(lambda module, _: module.stand_as_grids_say())

    def forward(self, log_mel: Tensor) -> Tensor:
        """[batch, 1, n_mels, frames] -> logits [batch, classes]."""
        return self.graph(log_mel)

    def train(self, mode: bool = True) -> FakeQuantized:
        """Whether batch norm and ranges follow the data; an exported graph keeps its mode in its nodes."""
        self.training = mode
        for node in self.graph.graph.find_nodes(op="call_function", target=aten.batch_norm.default):
            node.update_arg(_BATCH_NORM_TRAINING, mode and not self.frozen)
        self.graph.recompile()
        observes = mode and not self.frozen
        for value in self.values.values():
            value.switch(observe=observes, quantize=True)
        (release if observes else settle)(self.graph)  # scales that are to settle have to stand still
        return self

    def begin_with(self, log_mels: Tensor) -> None:
        """Take the first ranges, and nothing else, from calibration windows [n, 1, n_mels, frames]."""
        training = self.training
        self.eval()
        for value in self.values.values():
            value.switch(observe=True, quantize=False)
            value.momentum = 1.0
        with torch.no_grad():
            for batch in log_mels.split(CALIBRATION_BATCH):
                self(batch.float())
                for value in self.values.values():
                    value.momentum = _MOMENTUM
        self.train(training)

    @torch.no_grad()
    def freeze(self, calibration: Calibration) -> None:
        """Let batch norm, ranges and grids stand still, and begin with what post-training quantization gives.

        Args:
            calibration: of the student as it is.
        """
        training = self.training
        ranges = calibration.ranges(FIRST_OBSERVER)
        for name, value in self.values.items():
            value.set_range(ranges[name])
        self.eval()  # settles the scales that the grids follow from
        self._look_at_weights()
        for _, fake, weight in self._weights:
            fake.grid.copy_(fake.scales(fake.folded))
            folded, grid = fake.folded.cpu(), fake.grid.cpu()
            rounded = calibration.round(fake.name, folded, grid, self.scheme.weight_range)
            weight.copy_(_unfold(rounded.to(weight.device), fake, weight))
        self.stand_as_grids_say()
        self.train(training)

    def stand_as_grids_say(self) -> None:
        """Stand still where there are grids, and only there: they are what a saved state holds of it."""
        self.frozen = all(bool(fake.grid.any()) for _, fake, _ in self._weights)
        for _, fake, _ in self._weights:
            fake.holds = self.frozen
        self._still = [scale.detach().clone() for scale in self._norm_scales] if self.frozen else []
        self.train(self.training)

    @torch.no_grad()
    def after_step(self) -> None:
        """Once frozen, put the scales of batch norm back: weights can do what they do, weight by weight.

        A channel's integers would all move at once otherwise. Without gradients DDP would miss them.
        """
        for scale, value in zip(self._norm_scales, self._still, strict=False):
            scale.copy_(value)

    def _look_at_weights(self) -> None:
        """Let every weight pass through its fake quantizer."""
        device = next(self.graph.parameters()).device
        self(torch.zeros(2, *self._input_shape[1:], device=device))

    @torch.no_grad()
    def rounded_weights(self) -> dict[str, Tensor]:
        """The weights that INT8 computes with, by their names in the student; none before `freeze`."""
        if not self.frozen:
            return {}
        self._look_at_weights()
        return {name: _unfold(fake(fake.folded), fake, weight) for name, fake, weight in self._weights}

    def copy_statistics_to(self, student: nn.Module) -> None:
        """Give batch norm's statistics to the student: a move to another device parts the two."""
        buffers = dict(student.named_buffers())
        for name, buffer in self.graph.named_buffers():
            if name in buffers:
                buffers[name].copy_(buffer)

    def learned(self) -> dict[str, Any]:
        """What ``Checkpoint.quantization`` keeps of it: all that export needs besides the weights."""
        learned: dict[str, Any] = {
            "scheme": "int8",
            "method": "qat",
            "weight_range": list(self.scheme.weight_range),
            "keep_float": list(self.scheme.keep_float),
            "ranges": {name: list(value.range()) for name, value in self.values.items()},
        }
        if self.frozen:
            learned["scales"] = {fake.name: fake.grid.tolist() for _, fake, _ in self._weights}
        return learned


def _tensor_behind(graph: GraphModule, node: Node) -> Tensor:
    """The parameter or buffer that a fake quantizer of a weight reads, batch norm's scale left out."""
    while node.op != "get_attr":
        node = node.all_input_nodes[0]
    path, _, attribute = node.target.rpartition(".")
    return getattr(graph.get_submodule(path), attribute)


def _unfold(folded: Tensor, fake: FakeWeight, weight: Tensor) -> Tensor:
    """A weight [out_channels, ...] with batch norm folded into it as the parameter that gives it."""
    shape = (-1, *[1] * (weight.ndim - 1))
    pair = (fake.folded * weight).flatten(1).sum(1), weight.square().flatten(1).sum(1)
    scale = torch.where(pair[1] > 0, pair[0] / pair[1], 1.0).reshape(shape)
    return torch.where(scale == 0, weight, folded / scale)
