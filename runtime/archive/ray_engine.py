"""Recordings classified on a Ray cluster, by Ray Data, in actors that load the model once.

Paths, and the model, have to be the same on all machines, as on a shared file system. Ray's usage statistics
are switched off in a cluster that is started here.
"""

from __future__ import annotations

import dataclasses
import io
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from runtime.archive.job import ArchiveJob, FileClassifier
from runtime.archive.result import FileResult, Identity
from runtime.entry_point import require
from runtime.files import printable

_MAX_BLOCKS = 10_000  # a block of files is Ray's unit of work: one file where there are not more than that


def classify_on_ray(job: ArchiveJob, paths: Sequence[str], actors: int | None) -> Iterator[FileResult]:
    """Yield the results of files as they come.

    Connects to the cluster of this process or of ``RAY_ADDRESS``; starts one on this machine where there is
    none.

    Args:
        job: how to classify.
        paths: of the files, the longest first.
        actors: to use at most; as many as the cluster has cores where None.

    Raises:
        MissingExtraError: where Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before Ray is imported
    ray, data = require("ray", extra="ray"), require("ray.data", extra="ray")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False, logging_level="error")
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # a file that ends its process must not end the others
    size = max(1, min(len(paths), actors or int(ray.cluster_resources().get("CPU", 1))))
    files = data.from_items(list(map(_item, paths)), override_num_blocks=min(len(paths), _MAX_BLOCKS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray about how it will be called in later releases
        results = files.map(
            _Actor, fn_constructor_args=(job,), compute=data.ActorPoolStrategy(size=size), num_cpus=1,
            max_task_retries=0,  # a file that ends its process would do so again, for ever
        )  # fmt: skip
    missing = dict.fromkeys(paths)
    for row in results.iter_rows():
        result = _read(row["record"])
        missing.pop(result.path, None)
        yield result
    for path in missing:
        text = f"{printable(path)} ended the Ray actor that read it: leave it out."
        yield FileResult(path, Identity.of(path), error=text)


def _item(path: str) -> dict[str, bytes]:
    """A path as it was given, and what an actor finds it by: bytes, because Arrow's text is UTF-8."""
    absolute = os.path.abspath(path)  # noqa: PTH100 - keeps links
    return {"path": os.fsencode(path), "absolute": os.fsencode(absolute)}


class _Actor:
    """What runs on the cluster."""

    def __init__(self, job: ArchiveJob) -> None:
        self._classify = FileClassifier(job)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        result = self._classify(os.fsdecode(row["absolute"]))
        return {"record": dataclasses.replace(result, path=os.fsdecode(row["path"])).to_record()}


def _read(record: bytes) -> FileResult:
    result = FileResult.read(io.BytesIO(record))
    assert result is not None
    return result
