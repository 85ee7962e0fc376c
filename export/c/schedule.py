"""From operators to the steps of the C code: fused chains of convolutions, and a plan of the arena.

An inverted residual block (1x1, depthwise, 1x1) is one step that computes row by row: only a few rows of its
wide inner tensors exist at a time, as in TinyEngine's patch-free half (Lin et al., MCUNetV2, NeurIPS 2021).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from export.c.operators import (
    Add,
    Affine,
    Convolution,
    Lookup,
    MaxPool,
    Network,
    Operator,
    Reshape,
    Tensor,
    results_of,
    sources_of,
)
from runtime.errors import ModelFileError

MAX_KERNEL_HEIGHT = 16  # of convolutions: the C code keeps a pointer to every row on its stack
_GREATEST = 255  # of sizes that ts_network.h has as uint8_t
_ALIGNMENT = 16


@dataclass(frozen=True, eq=False)
class Chain:
    """Convolutions that pass rows to each other; at least one of the last two is there.

    Attributes:
        expand: pointwise, before the spatial one.
        spatial: any other kernel or stride.
        project: pointwise, after the spatial one or alone.
    """

    expand: Convolution | None
    spatial: Convolution | None
    project: Convolution | None

    @property
    def convolutions(self) -> tuple[Convolution, ...]:
        """Those that are there, in order."""
        return tuple(conv for conv in (self.expand, self.spatial, self.project) if conv is not None)

    @property
    def source(self) -> Tensor:
        """What the chain reads."""
        return self.convolutions[0].source

    @property
    def result(self) -> Tensor:
        """What it writes."""
        return self.convolutions[-1].result

    @property
    def scratch_bytes(self) -> int:
        """Bytes of the rows between its convolutions, for the portable kernels."""
        conv = self.spatial
        if conv is None:
            return 0
        ring = conv.kernel[0] * (conv.source.width + conv.pads[1] + conv.pads[3]) * conv.source.channels
        return ring + (conv.result.width * conv.result.channels if self.project else 0)


@dataclass(frozen=True, eq=False)
class Step:
    """One step: an operator, or convolutions that are computed together."""

    operator: Operator | Chain
    sources: tuple[Tensor, ...]
    results: tuple[Tensor, ...]


@dataclass(frozen=True)
class Plan:
    """Where the tensors lie in the arena.

    Attributes:
        offsets: of every tensor, bytes.
        scratch: of every step that has rows between its convolutions, by its index.
        arena_bytes: size of the arena.
    """

    offsets: dict[str, int]
    scratch: dict[int, int]
    arena_bytes: int


def make_steps(network: Network) -> list[Step]:
    """The steps of a network, convolutions fused; views of the same bytes are not among them.

    Raises:
        ModelFileError: where a kernel, a stride or a padding is larger than the C code can store.
    """
    for op in network.operators:
        if isinstance(op, Convolution | MaxPool):
            _refuse_too_large(op)
    reads = Counter(tensor.name for op in network.operators for tensor in sources_of(op))
    reads[network.logits.name] += 1
    following = {op.source.name: op for op in network.operators if isinstance(op, Convolution)}
    done: set[int] = set()
    steps = []

    def then(conv: Convolution | None) -> Convolution | None:
        """The convolution that alone reads the result of another."""
        if conv is None or reads[conv.result.name] != 1:
            return None
        return following.get(conv.result.name)

    for op in network.operators:
        if id(op) in done or isinstance(op, Reshape):
            continue
        if not isinstance(op, Convolution):
            steps.append(Step(op, sources_of(op), results_of(op)))
            continue
        expand = op if op.pointwise else None
        spatial = then(op) if expand else op
        if spatial is None or spatial.pointwise:
            chain = Chain(None, None, op)
        else:
            project = then(spatial)
            chain = Chain(expand, spatial, project if project is not None and project.pointwise else None)
        done.update(id(conv) for conv in chain.convolutions)
        steps.append(Step(chain, (chain.source,), (chain.result,)))
    return steps


def _refuse_too_large(op: Convolution | MaxPool) -> None:
    high, wide = op.kernel
    pads = op.pads if isinstance(op, Convolution) else ()
    too_high = isinstance(op, Convolution) and high > MAX_KERNEL_HEIGHT
    if too_high or max(high, wide, *op.strides, *pads) > _GREATEST:
        raise ModelFileError(
            f"The C export takes convolutions of at most {MAX_KERNEL_HEIGHT} rows, and kernels, strides and "
            f"padding of at most {_GREATEST}; the operator that gives '{op.result.name}' has a kernel of "
            f"{high} x {wide}: export a network with smaller ones, or with a mean before its linear layer."
        )


def plan_memory(network: Network, steps: list[Step]) -> Plan:
    """Place the tensors so that those which are needed at the same time do not overlap.

    Greedy, the largest first, each at the lowest place that is free while it is needed. Element-wise
    operators write over their first operand where nothing reads it afterwards.
    """
    owner = _owners(network, steps)
    blocks: dict[str, _Block] = {}
    names = {tensor.name for step in steps for tensor in (*step.sources, *step.results)}
    names |= {network.log_mel.name, network.logits.name}
    for index, step in enumerate(steps):
        for tensor in (*step.sources, *step.results):
            block = blocks.setdefault(owner[tensor.name], _Block(index, index, 0))
            block.last, block.size = index, max(block.size, tensor.size)
    blocks[owner[network.log_mel.name]].first = -1
    blocks[owner[network.logits.name]].last = len(steps)
    scratch = {
        index: _Block(index, index, step.operator.scratch_bytes)
        for index, step in enumerate(steps)
        if isinstance(step.operator, Chain) and step.operator.scratch_bytes
    }
    arena_bytes = _place([*blocks.values(), *scratch.values()])
    return Plan(
        {name: blocks[owner[name]].offset for name in names},
        {index: block.offset for index, block in scratch.items()},
        arena_bytes,
    )


@dataclass
class _Block:
    """Bytes that are needed from one step to another."""

    first: int
    last: int
    size: int
    offset: int = 0


def _owners(network: Network, steps: list[Step]) -> dict[str, str]:
    """Which tensor's bytes every tensor uses: its own, those of another shape, or those of an operand."""
    names = {tensor.name for step in steps for tensor in (*step.sources, *step.results)}
    names |= {network.log_mel.name, network.logits.name}
    last_read = dict.fromkeys(names, -1)
    last_read |= {tensor.name: index for index, step in enumerate(steps) for tensor in step.sources}
    last_read[network.logits.name] = len(steps)
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while name in parent:
            name = parent[name]
        return name

    def share(name: str, other: str) -> None:
        last_read[root(other)] = max(last_read.get(root(other), -1), last_read.get(name, -1))
        parent[name] = root(other)

    for op in network.operators:
        if isinstance(op, Reshape):
            share(op.result.name, op.source.name)
    for index, step in enumerate(steps):
        if not isinstance(step.operator, Add | Affine | Lookup):
            continue
        result, operand = step.results[0], step.sources[0]
        if last_read[root(operand.name)] == index and operand.size == result.size:
            share(result.name, operand.name)
    return {name: root(name) for name in (*names, *last_read)}


def _place(blocks: list[_Block]) -> int:
    placed: list[_Block] = []
    for block in sorted(blocks, key=lambda block: -block.size):
        others = [other for other in placed if other.first <= block.last and block.first <= other.last]
        block.offset = 0
        for other in sorted(others, key=lambda other: other.offset):
            if other.offset < block.offset + block.size:
                block.offset = max(block.offset, -(-(other.offset + other.size) // _ALIGNMENT) * _ALIGNMENT)
        placed.append(block)
    return max(block.offset + block.size for block in placed)
