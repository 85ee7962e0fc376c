"""The logit store: what it refuses, and the average of several."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from runtime.errors import DataError
from tests.train.distillation.student import make_data, make_student, write_store
from train.data import Synthetic
from train.distillation.config import Distillation
from train.distillation.ensemble import TeacherEnsemble
from train.distillation.logit_store import Store


def test_a_store_that_is_cut_short_or_foreign_is_refused(tmp_path):
    path = write_store(tmp_path / "logits.h5")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged or cut short"):
        Store(path)
    with pytest.raises(DataError, match="There is no file"):
        Store(tmp_path / "none.h5")


def test_stores_are_averaged_by_weight_and_by_label(tmp_path):
    one = write_store(tmp_path / "one.h5")
    other = write_store(tmp_path / "other.h5", labels=tuple(reversed(Synthetic().labels)))
    data = make_data(jitter=False)
    data.setup("fit")
    dataset, student = data.datasets["train"], make_student(data)
    batch = dataset.at_rest([0, 5])
    ensemble = TeacherEnsemble(
        Distillation(stores=(str(one), str(other)), weights=(3, 1)), labels=data.labels, task="single_label",
        spec=student.spec, train=dataset, window=32_000, view_key={}, device=torch.device("cpu"),
    )  # fmt: skip
    first, second = (Store(path).rows.logits.astype(np.float32)[batch.clip] for path in (one, other))
    expected = 0.75 * first + 0.25 * second[:, ::-1]
    np.testing.assert_allclose(ensemble.logits(batch, student.view(batch, dataset)), expected, rtol=1e-5)
