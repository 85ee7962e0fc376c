"""Random small networks and their cost, computed by sliding windows: without formulas of the package."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

layers = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["conv", "depthwise", "pool", "relu"]),
            "out": st.integers(1, 5),
            "kernel": st.integers(1, 3),
            "stride": st.integers(1, 2),
            "bias": st.booleans(),
        }
    ),
    min_size=1,
    max_size=5,
)


@dataclass
class Expected:
    """Totals of a network, and the channels that each layer reads."""

    macs: int = 0
    official: int = 0
    params: int = 0
    elementwise: int = 0
    channels: list[int] = field(default_factory=list)
    features: int = 0


def expect(layers, channels, size, classes):
    """What a network of ``layers`` and a linear layer costs on an input [channels, size, size + 3]."""
    total, shape = Expected(), [channels, size, size + 3]
    for layer in layers:
        total.channels.append(shape[0])
        kernel, stride, pad = layer["kernel"], layer["stride"], layer["kernel"] // 2
        if layer["kind"] == "relu":
            total.elementwise += shape[0] * shape[1] * shape[2]
            continue
        after = [_positions(length, kernel, stride, pad) for length in shape[1:]]
        area = after[0] * after[1]
        if layer["kind"] == "pool":
            total.elementwise += shape[0] * area * kernel * kernel
            shape = [shape[0], *after]
            continue
        depthwise = layer["kind"] == "depthwise"
        out = shape[0] if depthwise else layer["out"]
        weights = out * kernel * kernel * (1 if depthwise else shape[0])
        total.macs += weights * area
        total.params += weights + out * layer["bias"]
        total.official += (weights + out * layer["bias"]) * area
        shape = [out, *after]
    total.features = shape[0] * shape[1] * shape[2]
    for name in ("macs", "official", "params"):
        setattr(total, name, getattr(total, name) + total.features * classes)
    return total


def _positions(length, kernel, stride, pad):
    """Output positions of a window that slides over one axis, by sliding it."""
    return sum(1 for _ in range(-pad, length + pad - kernel + 1, stride))
