"""Recordings classified in processes of this machine, one file at a time each.

Processes and not threads: most of the time goes into numpy and soxr, which hold Python's lock in between. A
process that dies, as of a file that crashes a decoder, costs that file; another one takes its place.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from runtime.archive.job import ArchiveJob, FileClassifier
from runtime.archive.result import FileResult, Identity
from runtime.errors import TinysceneError
from runtime.files import printable

# One thread a process: the linear algebra of numpy would start as many in each as there are cores.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def classify_in_processes(job: ArchiveJob, paths: Sequence[str], processes: int) -> Iterator[FileResult]:
    """Yield the results of files as they come.

    Args:
        job: how to classify.
        paths: of the files, the longest first for the shortest time in all.
        processes: to use at most.

    Raises:
        TinysceneError: where the processes cannot use the model.
    """
    waiting = deque(paths)
    workers = [_Worker(job) for _ in range(min(processes, len(paths)))]
    try:
        for worker in workers:
            worker.give(waiting)
        while busy := {worker.connection: worker for worker in workers if worker.path is not None}:
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index]
                result = worker.take()
                if not worker.alive:
                    workers.remove(worker)
                    if waiting:
                        workers.append(worker := _Worker(job))
                if worker.alive:
                    worker.give(waiting)
                yield result
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process, and this end of the connection to it."""

    def __init__(self, job: ArchiveJob) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks of ONNX Runtime
        self.connection, theirs = context.Pipe()
        self.path: str | None = None
        self.alive = True
        self._process = context.Process(target=_work, args=(job, theirs), daemon=True)
        with _environment(_ONE_THREAD), _interrupts_blocked():
            self._process.start()
        theirs.close()  # so that the connection ends with the process

    def give(self, waiting: deque[str]) -> None:
        """Let it classify the next file, if there is one."""
        self.path = waiting.popleft() if waiting else None
        if self.path is not None:
            with suppress(OSError):  # it died, which `take` finds
                self.connection.send(self.path)

    def take(self) -> FileResult:
        """The result that is there; an error where the process died."""
        assert self.path is not None
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):
            self._process.join(1)
            self.end()
            text = f"{printable(self.path)} ended the process that read it ({self._cause()}): leave it out."
            return FileResult(self.path, Identity.of(self.path), error=text)
        if isinstance(answer, TinysceneError):
            raise answer
        result: FileResult = answer
        return result

    def end(self) -> None:
        """Stop the process, whatever it does."""
        self.alive = False
        self._process.terminate()
        self._process.join()
        self.connection.close()

    def _cause(self) -> str:
        code = self._process.exitcode or 0
        with suppress(ValueError):
            return signal.Signals(-code).name
        return f"exit code {code}"


def _work(job: ArchiveJob, connection: Connection) -> None:
    """Classify the files whose paths arrive, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    classify = None
    with suppress(EOFError, OSError):
        while True:
            path = connection.recv()
            try:
                classify = classify or FileClassifier(job)
            except TinysceneError as error:
                connection.send(error)
                return
            connection.send(classify(path))


def _end_with_parent() -> None:
    """Leave no process behind a parent that was killed, even in the middle of a file."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """A process started here does not receive Ctrl-C while it starts, which a terminal sends to all."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker  # POSIX

    resource_tracker.ensure_running()  # which multiprocessing starts before its first process, unblocking all
    before: Any = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
