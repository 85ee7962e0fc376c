"""The folder of captures: written by a thread of its own, so that no disk stops the audio."""

from __future__ import annotations

import dataclasses
import queue
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from runtime.capture.capture_name import CaptureName
from runtime.errors import ConfigError, TinysceneError
from runtime.files import make_folder
from runtime.live.recorder import HEADER_BYTES
from runtime.live.takes import Pcm, write_wav

_QUEUE = 32  # captures that wait for the disk: some 200 kB each
_END_S = 10.0  # the wait for a disk that hangs when listening ends


@dataclass(frozen=True)
class Capture:
    """A stretch of sound to store.

    Attributes:
        name: of its file; a number is added where that exists.
        samples: int16 [samples].
        sample_rate: Hz.
    """

    name: CaptureName
    samples: Pcm
    sample_rate: int


class CaptureFolder:
    """A folder of captures with a limit: the oldest give way to new ones.

    What cannot be written is left out: one warning on stderr, and nothing waits for the disk. Files that are
    no captures neither count nor are removed.

    Args:
        path: made if it does not exist.
        limit_bytes: of all captures in it, those of earlier runs included.

    Raises:
        ConfigError: where the limit leaves room for nothing or the folder cannot be made.

    Example:
        >>> captures = CaptureFolder(folder, limit_bytes=1_000_000)
        >>> name = CaptureName("dog", "20261126T230000", "231742", "event", 0.93)
        >>> captures.put(Capture(name, np.zeros(64000, np.int16), 32000))
        >>> captures.close()
        >>> [path.name for path in folder.iterdir()]
        ['dog_20261126T230000_231742-event-0.93.wav']
    """

    def __init__(self, path: str | Path, limit_bytes: float) -> None:
        self.path, self._limit = Path(path), limit_bytes
        if not limit_bytes > HEADER_BYTES:  # nan fails, too
            raise ConfigError(f"Captures of at most {limit_bytes:.0f} bytes hold nothing: allow more.")
        make_folder(path)
        self._queue: queue.Queue[Capture | None] = queue.Queue(_QUEUE)
        self._warned: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="captures", daemon=True)

    def put(self, capture: Capture, *, wait: bool = False) -> None:
        """Store a capture soon.

        Args:
            capture: to store.
            wait: until the disk keeps up, as the source is a file; otherwise the capture is left out.
        """
        if not self._thread.is_alive():
            self._thread.start()
        try:
            self._queue.put(capture, block=wait)
        except queue.Full:
            self._warn("slow", f"captures are left out: {self.path} is written too slowly")

    def close(self) -> None:
        """Write what is still to be written; wait for a disk that hangs only so long."""
        if not self._thread.is_alive():
            return
        try:
            self._queue.put(None, timeout=_END_S)
        except queue.Full:
            return
        self._thread.join(_END_S)

    def _run(self) -> None:
        while (capture := self._queue.get()) is not None:
            try:
                self._write(capture)
            except (OSError, TinysceneError) as error:
                why = getattr(error, "strerror", None) or error
                self._warn("error", f"captures are left out, as {self.path} cannot be written: {why}")

    def _write(self, capture: Capture) -> None:
        size = HEADER_BYTES + capture.samples.nbytes
        if size > self._limit:
            self._warn("size", f"captures are left out: one has {size} bytes, which is more than the limit")
            return
        self.path.mkdir(parents=True, exist_ok=True)  # it may have been removed since
        self._make_room(size)
        name = capture.name
        while (self.path / str(name)).exists():
            name = dataclasses.replace(name, number=name.number + 1)
        write_wav(self.path / str(name), capture.samples, capture.sample_rate)

    def _make_room(self, size: int) -> None:
        found = sorted(_stored(self.path))
        used = sum(stored_bytes for _, _, stored_bytes, _ in found)
        while found and used + size > self._limit:
            _, _, stored_bytes, path = found.pop(0)
            path.unlink(missing_ok=True)
            used -= stored_bytes
            self._warn("limit", f"the captures in {self.path} reached their limit: the oldest are removed")

    def _warn(self, about: str, sentence: str) -> None:
        """Print a sentence the first time that there is something to say about a matter."""
        if about not in self._warned:
            self._warned.add(about)
            print(f"warning: {sentence}", file=sys.stderr, flush=True)


def _stored(folder: Path) -> list[tuple[int, str, int, Path]]:
    """Time, name, bytes and path of every capture, those included that a killed process left half written."""
    found = []
    for path in folder.iterdir():
        if CaptureName.parse(path.name) is None and not _is_partial(path.name):
            continue
        try:
            status = path.stat()
        except FileNotFoundError:  # sorted or deleted meanwhile
            continue
        found.append((status.st_mtime_ns, path.name, status.st_size, path))
    return found


def _is_partial(name: str) -> bool:
    """Whether `write_beside` made the name for a capture: ``.STEM-xxxxxxxx.partial.wav``."""
    stem = name.removeprefix(".").removesuffix(".partial.wav").rpartition("-")[0]
    is_hidden = name.startswith(".") and name.endswith(".partial.wav")
    return is_hidden and CaptureName.parse(f"{stem}.wav") is not None
