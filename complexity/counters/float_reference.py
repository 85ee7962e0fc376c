"""The network that the rule counts: a float32 copy in eval mode, parametrizations folded; and its inputs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from complexity.error_text import first_line
from runtime.entry_point import require
from runtime.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import nn

_EIGHT_BITS = ("torch.int8", "torch.uint8", "torch.qint8", "torch.quint8")


def float_reference(model: nn.Module) -> nn.Module:
    """A copy to count on: float32, on the CPU, in eval mode; the network itself stays as it is.

    The organisers count on such a copy too (DCASE 2025 baseline, helpers/complexity.py). Weight
    normalization, spectral normalization, pruning masks and other parametrizations read only parameters,
    so they are folded into the weights, as every exporter does.

    Raises:
        ConfigError: where the network is no ``nn.Module`` or a TorchScript module, cannot be copied, or
            holds INT8 weights, which torchinfo would not count.
    """
    _refuse_programs(model)
    reference = _copy(getattr(model, "_orig_mod", model))  # what torch.compile wraps
    if any(tensor.is_meta for tensor in reference.parameters()):
        reference = reference.to_empty(device="cpu")  # no count depends on the values of weights
    reference = reference.float().cpu().eval()
    _fold_parametrizations(reference)
    return reference


def make_inputs(
    model: nn.Module, input_shape: Sequence[int] | Sequence[Sequence[int]]
) -> tuple[torch.Tensor, ...]:
    """Inputs of zeros on which a network runs.

    Float inputs are tried first, then indices where the network has an embedding, then complex numbers
    where it has complex parameters.

    Args:
        model: see `float_reference`.
        input_shape: shape of its input, [batch, ...], or a list with the shape of every input.

    Raises:
        ConfigError: where a shape is unusable or the network does not run on it; torch's reason is quoted.
    """
    torch = require("torch", extra="train")
    shapes = list_shapes(input_shape)
    dtypes = [torch.float32]
    if any(isinstance(module, torch.nn.Embedding | torch.nn.EmbeddingBag) for module in model.modules()):
        dtypes.append(torch.int64)
    if any(parameter.is_complex() for parameter in model.parameters()):
        dtypes.append(torch.complex64)
    reasons = []
    for dtype in dtypes:
        inputs = tuple(torch.zeros(shape, dtype=dtype) for shape in shapes)
        try:
            with torch.no_grad():
                model(*inputs)
        except Exception as error:  # a forward may raise anything: its own words are the reason
            reasons.append(error)
            continue
        return inputs
    raise ConfigError(
        f"{type(model).__name__} does not run on {_describe(shapes)} ({first_line(reasons[0])}): give the "
        "shape that its forward takes, or a list of shapes where it takes several inputs."
    ) from reasons[0]


def list_shapes(given: Sequence[int] | Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """The shape of every input. Raises ConfigError where one is none."""
    items = list(given) if hasattr(given, "__iter__") else [given]
    several = bool(items) and all(isinstance(item, (list, tuple)) for item in items)
    shapes: list[Any] = items if several else [items]
    for shape in shapes:
        if not (shape or several) or not all(_is_size(size) for size in shape):
            raise ConfigError(
                f"{given!r} is no shape of an input: give whole numbers from 1, such as (1, 1, 256, 64), or "
                "a list of such shapes."
            )
    return [tuple(int(size) for size in shape) for shape in shapes]


def _is_size(value: Any) -> bool:
    try:
        return bool(int(value) == value >= 1)
    except (TypeError, ValueError):
        return False


def _describe(shapes: Sequence[Sequence[int]]) -> str:
    texts = ["x".join(map(str, shape)) for shape in shapes]
    return f"an input of shape {texts[0]}" if len(texts) == 1 else f"inputs of shapes {', '.join(texts)}"


def _refuse_programs(model: Any) -> None:
    torch = require("torch", extra="train")
    if not isinstance(model, torch.nn.Module):
        raise ConfigError(
            f"A network must be a torch.nn.Module, not {type(model).__name__}: give the network itself, or "
            "export it to ONNX and measure the file."
        )
    if any(torch.nn.parameter.is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        raise ConfigError(
            f"{type(model).__name__} holds lazy modules, whose sizes are not set yet: run it once on an "
            "input before measuring."
        )
    if any(b.numel() > 1 and str(b.dtype) in _EIGHT_BITS for b in model.buffers()):
        raise ConfigError(
            "The network is converted to INT8, where the rule's counter reads zero: measure the float "
            "network before its conversion, or the .onnx file."
        )
    if _is_program(model):
        raise ConfigError(
            "The network is a program of torch.export, without modules that the rule's counter could count: "
            "measure the nn.Module it was made from, or export it to ONNX and measure the file."
        )
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            where = f"its module '{name}'" if name else "it"
            raise ConfigError(
                f"{type(model).__name__} cannot be measured, for {where} is TorchScript, whose operations "
                "torch does not show: measure the nn.Module it was made from, or export it to ONNX."
            )


def _is_program(model: nn.Module) -> bool:
    """Whether a network is a graph of functions alone, as torch.export makes it."""
    torch = require("torch", extra="train")
    if not isinstance(model, torch.fx.GraphModule) or next(model.parameters(), None) is None:
        return False
    called = [model.get_submodule(node.target) for node in model.graph.nodes if node.op == "call_module"]
    return not any(next(module.parameters(), None) is not None for module in called)


def _copy(model: nn.Module) -> nn.Module:
    """A deep copy, that of tensors with a gradient history included (torch's own refuses those)."""
    torch = require("torch", extra="train")
    overrides = require("torch.overrides", extra="train")

    class DetachNonLeaves(overrides.TorchFunctionMode):  # type: ignore[misc, name-defined]  # torch is lazy
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function is torch.Tensor.__deepcopy__ and not args[0].is_leaf:
                tensor, memo = args
                return memo.setdefault(id(tensor), tensor.detach().clone())
            return function(*args, **(kwargs or {}))

    try:
        with DetachNonLeaves():
            return copy.deepcopy(model)
    except Exception as error:  # attributes of any class may refuse to be copied: their words are quoted
        raise ConfigError(
            f"{type(model).__name__} cannot be copied, so it cannot be measured without changing it "
            f"({first_line(error)}): take the attribute that cannot be copied out of the network."
        ) from error


def _fold_parametrizations(model: nn.Module) -> None:
    """Replace parametrized tensors of a copy by their values; hooks of the older kind likewise."""
    for name, module in list(model.named_modules()):
        try:
            _fold_module(module)
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"A parametrization of '{name or type(model).__name__}' cannot be folded into its weights "
                f"({first_line(error)}): fold it before measuring."
            ) from error


def _fold_module(module: Any) -> None:
    utils = require("torch.nn.utils", extra="train")
    prune = require("torch.nn.utils.prune", extra="train")
    if require("torch.nn.utils.parametrize", extra="train").is_parametrized(module):
        _fold_parametrized(module)
    weight_norm = require("torch.nn.utils.weight_norm", extra="train").WeightNorm
    spectral_norm = require("torch.nn.utils.spectral_norm", extra="train").SpectralNorm
    for hook in list(module._forward_pre_hooks.values()):
        if isinstance(hook, weight_norm):
            utils.remove_weight_norm(module, hook.name)
        elif isinstance(hook, spectral_norm):
            utils.remove_spectral_norm(module, hook.name)
        elif isinstance(hook, prune.BasePruningMethod):
            prune.remove(module, hook._tensor_name)


def _fold_parametrized(module: Any) -> None:
    """What ``remove_parametrizations`` does, but for this module alone.

    Torch's own deletes the tensor's property from the module's class, which the original network shares
    with its copy and would lose as well.
    """
    torch = require("torch", extra="train")
    lists = module.parametrizations
    with torch.no_grad():
        values = {name: getattr(module, name).detach().clone() for name in lists}
    module.__class__ = type(module).__bases__[0]
    del module.parametrizations
    for name, value in values.items():
        if any(True for _ in lists[name].parameters()):
            module.register_parameter(name, torch.nn.Parameter(value, requires_grad=False))
        else:
            module.register_buffer(name, value)
