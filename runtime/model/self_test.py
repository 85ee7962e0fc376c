"""Self-test vectors: their inputs, and how far the logits of one may be from those that are stored.

Inputs are named by formula and seed: they cost a model file bytes, not kilobytes.

Export stores the logits that exact integer arithmetic gives for these inputs; the runtime computes them
again when it loads the file. The inputs are log-mels, made by integer arithmetic alone and exact in
float32, so every CPU gives the network the same bits, and logits can differ only by the network's kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from runtime.errors import ModelFileError
from runtime.spec import ModelSpec

Array = npt.NDArray[np.float32]
Shape = tuple[int, int, int, int]

_OUTPUT_STEPS = 2  # fused requantization rounds otherwise: so many were measured
# The result of float arithmetic may lie near a tie, where two implementations round to different sides, which
# later layers amplify.
_OUTPUT_STEPS_WITH_FLOAT = 8
_STEP = np.float32(1 / 64)  # a power of two: multiples of it up to +-2 are exact in any float format


def allowed_steps(spec: ModelSpec) -> int:
    """Output steps by which a logit of an INT8 model may differ from one implementation to another."""
    has_float = spec.quantization.get("keep_float") or spec.quantization.get("float_statistics")
    return _OUTPUT_STEPS_WITH_FLOAT if has_float else _OUTPUT_STEPS


def int8_tolerance(spec: ModelSpec, path: Path) -> float:
    """How far a logit of an INT8 model may be from that of a self-test vector, whatever runs the model.

    It is half a step beyond the allowed steps, because logits in float32 are no exact multiples of a step.

    Args:
        spec: of the model.
        path: of its file, for the message.

    Raises:
        ModelFileError: where the spec has no self-test vectors, or no finite output step above 0.
    """
    step = spec.quantization.get("output_scale")
    if not isinstance(step, float) or not 0 < step < float("inf") or not spec.self_test_vectors:
        raise ModelFileError(
            f"{path} is an INT8 model without self-test vectors (goldens), which show whether this CPU "
            "computes it right: export it again."
        )
    return (allowed_steps(spec) + 0.5) * step


def make_input(formula: str, seed: int, shape: Shape) -> Array:
    """The input of a self-test vector.

    Args:
        formula: one of `FORMULAS`.
        seed: any integer from 0 up.
        shape: of the network's input, [1, 1, n_mels, frames].

    Returns:
        float32 of that shape, values within the range of normalised log-mels.

    Raises:
        ModelFileError: where the formula is unknown.
    """
    if formula not in FORMULAS:
        raise ModelFileError(
            f"The model's self-test uses an input '{formula}' that this release does not have: "
            "run `pip install --upgrade tinyscene`."
        )
    return FORMULAS[formula](seed, shape)


def _patches(seed: int, shape: Shape) -> Array:
    """Rectangles of 16 bands x 8 frames at random levels under fine noise: many short events."""
    mels, frames = shape[2], shape[3]
    coarse = _integers(2 * seed, (-(-mels // 16), -(-frames // 8)), low=-80, high=80)
    fine = _integers(2 * seed + 1, (mels, frames), low=-16, high=16)
    levels = coarse.repeat(16, axis=0)[:mels].repeat(8, axis=1)[:, :frames]
    return ((levels + fine).astype(np.float32) * _STEP).reshape(shape)


def _ramp(seed: int, shape: Shape) -> Array:
    """A spectrum that falls with frequency and rises with time: an approaching fan."""
    mel, frame = np.meshgrid(np.arange(shape[2]), np.arange(shape[3]), indexing="ij")
    levels = 64 - (mel * 128) // shape[2] + (frame * (seed % 64)) // shape[3]
    return (levels.astype(np.float32) * _STEP).reshape(shape)


FORMULAS: dict[str, Callable[[int, Shape], Array]] = {"patches": _patches, "ramp": _ramp}


def _integers(seed: int, shape: tuple[int, int], *, low: int, high: int) -> npt.NDArray[np.int64]:
    """Integers in [low, high] by SplitMix64 (Steele et al., OOPSLA 2014).

    numpy's own generators do not promise the same numbers in every release.
    """
    x = np.arange(1, shape[0] * shape[1] + 1, dtype=np.uint64) + np.uint64(seed << 32)
    x *= np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return (x % np.uint64(high - low + 1)).astype(np.int64).reshape(shape) + low
