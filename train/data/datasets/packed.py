"""A packed corpus: one HDF5 file of int16 audio, written by ``python -m train pack``, read as any corpus.

Packing rounds samples to int16 (`runtime.audio.samples.to_int16`), which the runtime never does: the log-mel
of a window (cp_mel, ESC-10's ogg files) changes by at most 0.02 in the median window and 0.30 in the worst,
in bands without energy. Mono files of 16 bits at the rate of the pack are not changed.

The file holds ``samples`` (all clips one after the other, in chunks of a second), ``offsets`` (where each
begins), the id, labels, recording, device and city of each clip, and a CRC of each, which is checked at every
read.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.entry_point import require
from runtime.errors import AudioError, DataError
from train.data.corpus import SPLITS, Clip, Corpus, Samples, Split

SCHEMA = 2
_MAGIC = "tinyscene.pack"
_TEXTS = ("id", "targets", "group", "device", "city")


class Packed(Corpus):
    """A corpus in one file, at one sample rate.

    Args:
        path: the file.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._opened: tuple[int, Any] | None = None  # process, file
        described = json.loads(self._attribute("corpus"))
        self.labels = tuple(described["labels"])
        self.task = described["task"]
        self.licence = described["licence"]
        self.device_groups = described["device_groups"]
        self.sample_rate = int(self._attribute("sample_rate"))
        self._description = described["describe"]

    def clips(self, split: Split) -> Sequence[Clip]:
        """The clips of a split, in the order of the corpus that was packed."""
        return [clip for clip in self._clips if self._split_of[clip.id] == split]

    def read(self, clip: Clip, sample_rate: int) -> Samples:
        """Cut a clip out of the file. Raises AudioError where it is damaged, DataError at another rate."""
        if sample_rate != self.sample_rate:
            raise DataError(
                f"{self._path} was packed at {self.sample_rate} Hz and {sample_rate} Hz are needed: pack "
                f"the corpus again with --sample-rate {sample_rate}."
            )
        index = self._place[clip.id]
        start, end = self._offsets[index : index + 2]
        try:
            samples: Samples = self._file["samples"][start:end]
        except OSError as error:
            raise AudioError(
                f"Clip {clip.id} of {self._path} cannot be read: pack the corpus again."
            ) from error
        if zlib.crc32(samples.tobytes()) != self._crcs[index]:
            raise AudioError(f"Clip {clip.id} of {self._path} is damaged: pack the corpus again.")
        return samples

    def describe(self) -> dict[str, Any]:
        """The description of the corpus that was packed, and a checksum of this file."""
        return {**self._description, "packed": self._attribute("checksum")}

    @property
    def _file(self) -> Any:
        """The open file; each process opens its own, as HDF5 asks for."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), self._open())
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        """Without the open file, which cannot be sent to another process."""
        return {**self.__dict__, "_opened": None}

    def _open(self) -> Any:
        h5py = require("h5py", extra="train")
        if not self._path.is_file():
            raise DataError(f"There is no file {self._path}: `python -m train pack` makes one of any corpus.")
        try:
            file = h5py.File(self._path, "r")
        except OSError as error:
            raise DataError(f"{self._path} is no HDF5 file, or cut short: pack the corpus again.") from error
        if file.attrs.get("magic") != _MAGIC or file.attrs.get("schema") != SCHEMA:
            raise DataError(f"{self._path} was not packed by this release: pack the corpus again.")
        return file

    def _attribute(self, name: str) -> Any:
        return self._file.attrs[name]

    @cached_property
    def _offsets(self) -> npt.NDArray[np.int64]:
        offsets: npt.NDArray[np.int64] = self._file["offsets"][:]
        return offsets

    @cached_property
    def _crcs(self) -> npt.NDArray[np.uint32]:
        crcs: npt.NDArray[np.uint32] = self._file["crc32"][:]
        return crcs

    @cached_property
    def _clips(self) -> list[Clip]:
        texts = zip(*(self._file[name].asstr()[:] for name in _TEXTS), strict=True)
        return [
            Clip(id=id, targets=_tuple(json.loads(targets)), group=group, device=device, city=city)
            for id, targets, group, device, city in texts
        ]

    @cached_property
    def _place(self) -> dict[str, int]:
        """Position of every clip, by its id."""
        return {clip.id: index for index, clip in enumerate(self._clips)}

    @cached_property
    def _split_of(self) -> dict[str, Split]:
        names = [SPLITS[index] for index in self._file["split"][:]]
        return {clip.id: split for clip, split in zip(self._clips, names, strict=True)}


def _tuple(targets: list[int] | None) -> tuple[int, ...] | None:
    return None if targets is None else tuple(targets)


def write(
    path: Path,
    corpus: Corpus,
    sample_rate: int,
    clips: Sequence[tuple[Split, Clip]],
    waves: Iterable[Samples],
    total: int,
) -> None:
    """Write a packed corpus to ``path``.

    Args:
        path: the file.
        corpus: where labels, licence and description come from.
        sample_rate: of the samples, Hz.
        clips: with their splits.
        waves: their samples, in the same order.
        total: samples of them all.
    """
    h5py = require("h5py", extra="train")
    offsets, crcs = [0], []
    with h5py.File(path, "w") as file:
        samples = file.create_dataset(
            "samples", (total,), np.int16, chunks=(min(sample_rate, max(total, 1)),)
        )
        for wave in waves:
            samples[offsets[-1] : offsets[-1] + len(wave)] = wave
            offsets.append(offsets[-1] + len(wave))
            crcs.append(zlib.crc32(wave.tobytes()))
        file["offsets"], file["crc32"] = np.array(offsets), np.array(crcs, np.uint32)
        file["split"] = np.array([SPLITS.index(split) for split, _ in clips], np.uint8)
        for name in _TEXTS:
            texts = [getattr(clip, name) for _, clip in clips]
            if name == "targets":
                texts = [json.dumps(targets) for targets in texts]
            file[name] = np.array(texts, h5py.string_dtype())
        described = {
            "labels": corpus.labels,
            "task": corpus.task,
            "licence": corpus.licence,
            "device_groups": dict(corpus.device_groups),
            "describe": corpus.describe(),
        }
        ids = "\n".join(clip.id for _, clip in clips)
        file.attrs["checksum"] = hashlib.sha256(ids.encode() + np.array(crcs, "<u4").tobytes()).hexdigest()
        file.attrs["corpus"] = json.dumps(described)
        file.attrs["sample_rate"], file.attrs["magic"], file.attrs["schema"] = sample_rate, _MAGIC, SCHEMA
