"""The logit store: teacher logits by clip id, in one HDF5 file.

A row is one window of a clip, named by the clip's id and the window's first sample, never by a position in a
list. Rows of view -1 (`UNAUGMENTED`) are plain windows; a row of view ``v`` is a window as the student is
shown it in epoch ``v``: its crop, augmentation and MixUp partner depend on ``seed``, ``v`` and ``batch``
alone (`train.training.lightning_module.Classifier.view`). Logits are float16: all of them, or the k largest
with one for the rest (`train.distillation.losses.keep_top_k`).
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from runtime.entry_point import require
from runtime.errors import ConfigError, DataError
from runtime.files import write_beside
from runtime.spec import Task
from train.distillation.losses import expand_top_k, keep_top_k

SCHEMA = 1
_MAGIC = "tinyscene.logits"
_LARGEST = 65_504.0  # of float16
UNAUGMENTED = -1

Ints = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Header:
    """What all rows of a store have in common.

    Attributes:
        labels: class names in the order of the logits.
        task: how logits become probabilities.
        sample_rate: Hz, of the clips as the student reads them; window starts count its samples.
        window: samples of a window.
        view: what the views depend on, as JSON values; empty where all rows are unaugmented.
        views: number of views.
        mixed: whether MixUp was applied to the teacher's input; otherwise it is to be applied to its output.
        top_k: number of logits stored a window; None is all.
        provenance: the teachers, as JSON values.
    """

    labels: tuple[str, ...]
    task: Task
    sample_rate: int
    window: int
    view: dict[str, Any] = field(default_factory=dict)
    views: int = 0
    mixed: bool = False
    top_k: int | None = None
    provenance: list[dict[str, Any]] = field(default_factory=list)


class Rows(NamedTuple):
    """Windows and their logits: the columns of a store.

    Attributes:
        clip: int32 [rows], position in the store's own list of clip ids.
        start: int64 [rows], first sample.
        view: int16 [rows], `UNAUGMENTED` or the epoch.
        batch: int32 [rows], number of the batch within the epoch, -1 without augmentation.
        logits: float16 [rows, classes]; or values [rows, k], where only the largest are stored.
        indices: int32 [rows, k], their classes; [rows, 0] where all are stored.
        rest: float16 [rows], the logit of all other classes.
    """

    clip: Ints
    start: Ints
    view: Ints
    batch: Ints
    logits: npt.NDArray[np.float16]
    indices: Ints
    rest: npt.NDArray[np.float16]

    @classmethod
    def of(
        cls, clip: Ints, start: Ints, view: int, batch: int, logits: Tensor, top_k: int | None, task: Task
    ) -> Rows:
        """The rows of one batch, from logits [batch, classes]."""
        count = len(logits)
        indices, rest = torch.zeros(count, 0), torch.zeros(count)
        if top_k is not None:
            logits, indices, rest = keep_top_k(logits, top_k, task)
        return cls(
            np.asarray(clip, np.int32),
            np.asarray(start, np.int64),
            np.full(count, view, np.int16),
            np.full(count, batch, np.int32),
            _half(logits),
            indices.cpu().numpy().astype(np.int32),
            _half(rest),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Rows]) -> Rows:
        """Concatenate rows in order."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _half(values: Tensor) -> npt.NDArray[np.float16]:
    return values.float().clamp(-_LARGEST, _LARGEST).cpu().numpy().astype(np.float16)


def write(path: str | Path, header: Header, clip_ids: Sequence[str], rows: Rows) -> None:
    """Write a store, whole or not at all."""
    h5py = require("h5py", extra="train")
    with write_beside(path) as partial, h5py.File(partial, "w") as file:
        file.attrs["magic"], file.attrs["schema"] = _MAGIC, SCHEMA
        file.attrs["header"] = json.dumps(dataclasses.asdict(header))
        file["clip_id"] = np.array(clip_ids, h5py.string_dtype())
        for name, column in rows._asdict().items():
            file[name] = column


class Store:
    """A store opened for reading.

    Args:
        path: the file.

    Raises:
        DataError: where it is missing, damaged, cut short or of another kind.
    """

    def __init__(self, path: str | Path) -> None:
        h5py = require("h5py", extra="train")
        self.path = Path(path)
        if not self.path.is_file():
            raise DataError(f"There is no file {path}: `python -m train teach` makes a store of logits.")
        try:
            with h5py.File(self.path, "r") as file:
                if file.attrs.get("magic") != _MAGIC or file.attrs.get("schema") != SCHEMA:
                    raise DataError(
                        f"{path} is no store of logits of this release: make one with "
                        "`python -m train teach`, or from a .pt tensor with `python -m train import-logits`."
                    )
                values = json.loads(file.attrs["header"])
                self.header = Header(**{**values, "labels": tuple(values["labels"])})
                self.clip_ids: list[str] = file["clip_id"].asstr()[:].tolist()
                rows = Rows(*(file[name][:] for name in Rows._fields))
        except OSError as error:
            raise DataError(
                f"{path} is no HDF5 file, or is damaged or cut short: make it again with "
                "`python -m train teach`."
            ) from error
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path} lacks parts of a logit store ({error}): make it again with `python -m train teach`."
            ) from error
        order = np.lexsort((rows.batch, rows.start, rows.view, rows.clip))  # stable: equal rows stay in order
        self.rows = Rows._make(column[order] for column in rows)
        self._group = self._group_of(self.rows.clip, self.rows.view)

    def _group_of(self, clip: Ints, view: Ints | int) -> Ints:
        """One number for a clip in a view; rows are sorted by it."""
        return np.asarray(clip, np.int64) * (self.header.views + 1) + np.asarray(view, np.int64) + 1

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.clip_ids)}

    def find(self, clip_ids: Sequence[str]) -> Ints:
        """Positions of clips in this store: int64 [clips], -1 for a clip that it lacks."""
        return np.array([self._place.get(name, -1) for name in clip_ids], np.int64)

    def has_unaugmented(self, clip: Ints) -> bool:
        """Whether every one of these clips, [n] as returned by `find`, has unaugmented rows."""
        group = self._group_of(clip, UNAUGMENTED)
        first, last = (np.searchsorted(self._group, group, side) for side in ("left", "right"))
        return bool((clip >= 0).all() and (first < last).all())

    def lookup(self, clip: Ints, start: Ints, view: int, window: int, batch: int = -1) -> Tensor:
        """Logits of windows.

        Args:
            clip: [batch], as returned by `find`.
            start: [batch], first samples of the windows.
            view: of the training, or `UNAUGMENTED`; without augmentation the row with the nearest middle is
                taken, so a teacher of 10-s clips serves every second in them.
            window: samples of a window.
            batch: number of the batch within the epoch that is the view: windows with one clip and start may
                stand in several batches, and several times in one, each with its own augmentation.

        Returns:
            Logits, float32 [batch, classes].

        Raises:
            DataError: where a clip has no rows, or a view was never scored.
        """
        group = self._group_of(clip, view)
        first = np.searchsorted(self._group, group, "left")
        last = np.searchsorted(self._group, group, "right")
        # first sample of the row whose middle would be the window's middle
        middle = np.asarray(start) + (window - self.header.window) / 2
        places = np.empty(len(group), np.int64)
        shown: Counter[tuple[int, int]] = Counter()
        for i, (begin, end) in enumerate(zip(first, last, strict=True)):
            starts = self.rows.start[begin:end]
            if view == UNAUGMENTED:
                rows = np.abs(starts - middle[i]).argsort(kind="stable")[:1]
            else:
                same = (starts == start[i]) & (self.rows.batch[begin:end] == batch)
                rows = np.flatnonzero(same)[shown[clip[i], start[i]] :]
                shown[clip[i], start[i]] += 1
            if not len(rows):
                where = "without augmentation" if view == UNAUGMENTED else f"in batch {batch} of view {view}"
                raise DataError(
                    f"{self.path} has no logits for {self.clip_ids[clip[i]]} at sample {start[i]} {where}: "
                    "make the store again with this recipe."
                )
            places[i] = begin + rows[0]
        logits = torch.from_numpy(self.rows.logits[places]).float()
        if self.header.top_k is None:
            return logits
        indices = torch.from_numpy(self.rows.indices[places]).long()
        rest = torch.from_numpy(self.rows.rest[places]).float()
        return expand_top_k(logits, indices, rest, len(self.header.labels))

    def check(self, labels: Sequence[str], sample_rate: int, view: dict[str, Any]) -> None:
        """Make sure that the store was made for this training.

        Args:
            labels: of the student.
            sample_rate: of the student's clips, Hz.
            view: what the student's views depend on.

        Raises:
            ConfigError: naming what differs.
        """
        data, store = set(labels), set(self.header.labels)
        if data != store:
            only = [f"{', '.join(sorted(data - store))} is not in the store"] if data - store else []
            only += [f"{', '.join(sorted(store - data))} is not in the data"] if store - data else []
            raise ConfigError(
                f"{self.path} was made for other labels ({'; '.join(only)}): make it again with a teacher "
                "of these labels."
            )
        if sample_rate != self.header.sample_rate:
            raise ConfigError(
                f"{self.path} was made at {self.header.sample_rate} Hz and the student's front end takes "
                f"{sample_rate} Hz: make it again with this recipe."
            )
        made = self.header.view
        for key in {**made, **view} if made else ():
            if made.get(key) != view.get(key):
                raise ConfigError(
                    f"{self.path} holds views made with {key} = {_short(made.get(key))}, but the "
                    f"recipe has {_short(view.get(key))}: make the store again with this recipe."
                )

    def order_of(self, labels: Sequence[str]) -> list[int]:
        """The columns that put the logits into the order of ``labels``."""
        return [self.header.labels.index(label) for label in labels]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
