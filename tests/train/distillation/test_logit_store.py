"""The logit store: what it refuses, and the average of several."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from runtime.errors import ConfigError, DataError
from tests.train.distillation.student import make_data, make_student, write_store
from train.data import Synthetic
from train.distillation.config import Distillation
from train.distillation.ensemble import TeacherEnsemble
from train.distillation.logit_store import Header, Rows, Store, write


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


def test_windows_of_one_clip_and_start_keep_the_logits_of_their_place(tmp_path):
    path, given = tmp_path / "views.h5", torch.eye(4)
    places = np.zeros(2, int)  # twice in each of two batches
    rows = [Rows.of(places, places, 0, k, given[2 * k :][:2], None, "single_label") for k in range(2)]
    header = Header(tuple("abcd"), "single_label", 32_000, 32_000, view={"seed": 1}, views=1)
    write(path, header, ["clip"], Rows.concatenate(rows))
    store = Store(path)
    for number in range(2):
        assert torch.equal(store.lookup(places, places, 0, 32_000, number), given[2 * number :][:2])
    with pytest.raises(DataError, match="in batch 2 of view 0: make the store again"):
        store.lookup(places, places, 0, 32_000, 2)


def test_a_store_of_other_quiet_windows_is_refused(tmp_path):
    keys = []
    for quiet_db in (None, 20.0):
        data = make_data(quiet_db=quiet_db)
        data.setup("fit")
        keys.append(make_student(data).view_key(data.datasets["train"], data.batch_size))
    assert "quiet_db" not in keys[0]  # stores of release 0.1, which has no quiet_db, stay valid
    store = Store(write_store(tmp_path / "logits.h5", views=1, view=keys[0]))
    store.check(Synthetic().labels, 32_000, keys[0])
    with pytest.raises(ConfigError, match=r"quiet_db = null, but the recipe has 20\.0"):
        store.check(Synthetic().labels, 32_000, keys[1])
