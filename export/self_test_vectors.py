"""Self-test vectors: inputs by formula and seed, and the logits that a file has to give for them."""

from __future__ import annotations

import numpy as np

from runtime.model.self_test import make_input
from runtime.model.session import run_optimized, run_unoptimized
from runtime.spec import SelfTestVector

_CANDIDATES = (*(("patches", seed) for seed in range(1, 9)), ("ramp", 20), ("ramp", 40))
_COUNT = 3


def choose_self_test_vectors(
    model: bytes, input_shape: tuple[int, int, int, int]
) -> tuple[SelfTestVector, ...]:
    """The candidates for which optimized kernels come nearest to the exact logits.

    The result of a float layer may lie near a tie, where kernels round to different sides. Where that does
    not happen on this machine, a difference on another machine is caused by that machine. Integer networks
    have no ties.

    Args:
        model: a serialized ModelProto with input ``log_mel`` and output ``logits``.
        input_shape: [1, 1, n_mels, frames].
    """
    candidates = []
    for formula, seed in _CANDIDATES:
        log_mel = make_input(formula, seed, input_shape)
        exact = run_unoptimized(model, log_mel)[0][0]
        error = float(np.abs(run_optimized(model, log_mel)[0][0] - exact).max())
        candidates.append((error, SelfTestVector(formula, seed, tuple(float(logit) for logit in exact))))
    return tuple(vector for _, vector in sorted(candidates, key=lambda pair: pair[0])[:_COUNT])
