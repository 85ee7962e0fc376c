"""What a float network will execute: one run on zeros, every ATen call recorded.

torchinfo counts modules; it misses a product or a multiplication that a ``forward`` calls as a function.
Here each call is recorded with the module that made it. Batch norm behind a convolution and whatever reads
only parameters and buffers cost nothing, because every exporter folds them into the weights.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from complexity.batch_axis import Run
from complexity.counters.aten_operators import (
    BATCH_NORMS,
    cost_of,
    is_product,
    is_view,
    name_of,
    sizes_along,
)
from complexity.operations import Graph, Node, Work
from runtime.entry_point import require

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Trace:
    """A run of a network.

    Attributes:
        graph: the operations; a node's name is the path of the module that called it.
        weighted: for every node, whether a parameter takes part.
        run: the graph and the shapes of what the network returns.
        buffer_elements: of the buffers that operations read as they are, such as a frozen filter bank; the
            statistics of a batch norm are none of them. The nodes' ``param_bytes`` include them.
    """

    graph: Graph
    weighted: tuple[bool, ...]
    run: Run
    buffer_elements: int


def trace(model: nn.Module, inputs: Sequence[torch.Tensor], *, element_bytes: float) -> Trace:
    """Run a network and record what it calls.

    Args:
        model: a float32 network in eval mode (`complexity.counters.float_reference`); it gets hooks.
        inputs: zeros, on which it runs.
        element_bytes: what one element of an activation will take.

    Raises:
        ConfigError: where a torch operator is unknown.
    """
    torch = require("torch", extra="train")
    recorder = _Recorder(model, inputs, element_bytes)
    with torch.no_grad(), _plain_attention(), _dispatch_to(recorder.record):
        output = model(*inputs)
    return recorder.finish(output)


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Take fused attention apart, so that its products are seen."""
    torch = require("torch", extra="train")
    attention = require("torch.nn.attention", extra="train")
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with attention.sdpa_kernel(attention.SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _dispatch_to(record: Any) -> Any:
    base = require("torch.utils._python_dispatch", extra="train").TorchDispatchMode

    class Mode(base):  # type: ignore[misc, valid-type]  # torch is imported only when it is needed
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return False  # torch's own switch; the guard against compilation takes 2 s to import

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            output = func(*args, **(kwargs or {}))
            record(func, args, kwargs or {}, output)
            return output

    return Mode()


class _Recorder:
    """Records calls; an activation is identified by its storage, so that views are what they view."""

    def __init__(self, model: nn.Module, inputs: Sequence[torch.Tensor], element_bytes: float) -> None:
        self._element_bytes = element_bytes
        self._path: list[str] = [""]
        self._alive: list[Any] = []  # a new tensor could get the storage of a freed one, and its name
        self._nodes: list[Node] = []
        self._weighted: list[bool] = []
        self._sizes: dict[str, int] = {}
        self._labels: Counter[str] = Counter()
        self._names: dict[int, str] = {}  # storage -> activation
        self._unseen_params = {_storage(p): p for p in model.parameters()}
        self._unseen_buffers = {_storage(b): b for b in model.buffers() if _is_data(b)}
        self._buffer_elements = 0
        # storage of every constant -> the parameters that it is computed from
        self._origins: dict[int, frozenset[int]] = {_storage(b): frozenset() for b in model.buffers()}
        self._origins |= {storage: frozenset({storage}) for storage in self._unseen_params}
        self._inputs = tuple(self._hold(tensor, label="input") for tensor in inputs)
        self._follow(model)

    def _follow(self, model: nn.Module) -> None:
        """Keep track of the module that is calling while the network runs."""
        for name, module in model.named_modules():
            module.register_forward_pre_hook(lambda m, x, name=name: self._path.append(name))
            module.register_forward_hook(lambda m, x, y: self._leave(), always_call=True)

    def record(self, operator: Any, args: Sequence[Any], kwargs: dict[str, Any], output: Any) -> None:
        """Record one call, unless it only makes a view or a constant."""
        read = [_storage(t) for t in _tensors((args, kwargs))]
        inputs = tuple(dict.fromkeys(self._names[s] for s in read if s in self._names))
        written = [t for t in _tensors(output) if t.numel()]
        self._alive.extend(written)
        if is_view(operator):
            return
        if not inputs and read and self._origins.keys() >= set(read):
            made = frozenset[int]().union(*(self._origins[storage] for storage in read))
            self._origins |= {_storage(t): made for t in written}
            return
        if not inputs and not is_product(operator):  # a product with the zeros that a recurrence starts from
            return
        work = cost_of(operator, args, written[0] if written else None)
        fresh = {_storage(t): t for t in written if _storage(t) not in self._names}
        if not fresh and work == Work():
            return
        params, param_bytes = self._take_params(read, statistics=name_of(operator) in BATCH_NORMS)
        self._nodes.append(
            Node(
                name=self._path[-1],
                op=name_of(operator, args),
                inputs=inputs,
                outputs=tuple(self._hold(t) for t in fresh.values()),
                output_shape=tuple(written[0].shape),
                work=work,
                params=params,
                param_bytes=param_bytes,
                reuse="in_place" if _writes_in_place(operator) else "none",
                along=sizes_along(operator, args),
            )
        )
        self._weighted.append(any(self._origins.get(storage) for storage in read))

    def finish(self, output: Any) -> Trace:
        """The trace of a run that returned ``output``."""
        held = {self._names[_storage(t)]: None for t in _tensors(output) if _storage(t) in self._names}
        nodes = _fold_batch_norms(_drop_unread(self._nodes, frozenset(held)))
        graph = Graph(nodes, self._sizes, self._inputs, tuple(held))
        shapes = tuple(tuple(tensor.shape) for tensor in _tensors(output))
        return Trace(graph, tuple(self._weighted), Run(graph, shapes), self._buffer_elements)

    def _leave(self) -> None:
        self._path.pop()

    def _hold(self, tensor: Any, label: str = "") -> str:
        label = label or self._path[-1] or "forward"
        self._labels[label] += 1
        name = label if self._labels[label] == 1 else f"{label} ({self._labels[label]})"
        self._names[_storage(tensor)] = name
        elements = tensor.untyped_storage().nbytes() // tensor.element_size() * (1 + tensor.is_complex())
        self._sizes[name] = ceil(elements * self._element_bytes)
        self._alive.append(tensor)
        return name

    def _take_params(self, read: list[int], *, statistics: bool) -> tuple[int, int]:
        """Elements of the parameters that this call is the first to read; their bytes and those of buffers.

        Args:
            read: storages of what the call reads.
            statistics: whether the buffers among them are those of a batch norm.
        """
        used = dict.fromkeys(origin for s in read for origin in sorted(self._origins.get(s, ())))
        new = [self._unseen_params.pop(s) for s in used if s in self._unseen_params]
        elements = sum(count_elements(p) for p in new)
        buffers = [self._unseen_buffers.pop(s) for s in read if s in self._unseen_buffers and not statistics]
        more = sum(count_elements(b) for b in buffers)
        self._buffer_elements += more
        return elements, ceil((elements + more) * self._element_bytes)


def _drop_unread(nodes: list[Node], held: frozenset[str]) -> list[Node]:
    """Leave out second outputs that only training reads, such as the indices of a maximum."""
    read = held.union(*(node.inputs for node in nodes))
    return [
        dataclasses.replace(node, outputs=node.outputs[:1] + tuple(n for n in node.outputs[1:] if n in read))
        for node in nodes
    ]


def _fold_batch_norms(nodes: list[Node]) -> tuple[Node, ...]:
    """Batch norm costs nothing where a convolution or a linear layer made its input for it alone."""
    makers = {name: node for node in nodes for name in node.outputs}
    readers = Counter(name for node in nodes for name in node.inputs)
    return tuple(
        dataclasses.replace(node, work=Work())
        if node.op in BATCH_NORMS
        and readers[node.inputs[0]] == 1
        and node.inputs[0] in makers
        and makers[node.inputs[0]].op in ("convolution", "addmm", "mm")
        else node
        for node in nodes
    )


def _writes_in_place(operator: Any) -> bool:
    name = name_of(operator)
    pointwise = any(tag.name == "pointwise" for tag in operator.tags) and name != "clone"
    return pointwise or name in BATCH_NORMS or "softmax" in name


def _is_data(buffer: Any) -> bool:
    return bool(buffer.is_floating_point() or buffer.is_complex())


def count_elements(tensor: Any) -> int:
    """Real numbers in a tensor: two for each complex one."""
    return int(tensor.numel()) * (1 + int(tensor.is_complex()))


def _tensors(values: Any) -> Iterator[Any]:
    if hasattr(values, "untyped_storage"):
        yield values
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from _tensors(value)
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))


def _storage(tensor: Any) -> int:
    return int(tensor.untyped_storage()._cdata)
