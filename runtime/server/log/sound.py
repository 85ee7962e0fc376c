"""The sound of an event, taken from the recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtime.live.recorder import HEADER_BYTES, RecordedBlock, wav_header

MARGIN_S = 0.5  # on both sides of an event
_LONGEST_S = 60.0


def wav_of(folder: Path, blocks: Sequence[RecordedBlock]) -> bytes | None:
    """Parts of recordings as one WAV file, mono, 16 bit, up to a minute; None where nothing is left of them.

    Args:
        folder: of the recordings.
        blocks: of one sample rate, from the log: no client names a file.
    """
    parts = [data for block in blocks if (data := _read(folder / Path(block.file).name, block))]
    if not parts:
        return None
    rate = blocks[0].sample_rate
    data = b"".join(parts)[: round(_LONGEST_S * rate) * 2]
    return wav_header(rate, len(data)) + data


def _read(path: Path, block: RecordedBlock) -> bytes:
    """Samples of a file that `runtime.live.recorder.WavWriter` wrote; nothing where it was deleted."""
    try:
        with path.open("rb") as file:
            file.seek(HEADER_BYTES + 2 * block.first_frame)
            return file.read(2 * min(block.frames, round(_LONGEST_S * block.sample_rate)))
    except OSError:
        return b""
