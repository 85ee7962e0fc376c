"""10,000 random windows of every student: all kinds of kernels against numpy."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from export.c import reference
from export.c.read_graph import read_network
from runtime.model.native_session import NativeSession
from tests.export.c.conftest import STUDENTS, kinds_of
from tests.small_students import SHAPE

_WINDOWS, _AT_A_TIME = 10_000, 500


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDENTS)
def test_ten_thousand_windows_give_the_bytes_of_the_reference(student, library, name):
    session, network = NativeSession(library(name)), read_network(onnx.load(student(name)))
    generator = np.random.default_rng(1)
    for _ in range(_WINDOWS // _AT_A_TIME):
        spread = generator.uniform(0.1, 8, (_AT_A_TIME, 1, 1, 1))
        inputs = generator.normal(scale=spread, size=(_AT_A_TIME, *SHAPE[1:])).astype(np.float32)
        expected = reference.logits(network, inputs)
        for kind in kinds_of(session):
            session._library.model_use(kind.encode())
            np.testing.assert_array_equal(session.logits(inputs), expected, err_msg=kind)
