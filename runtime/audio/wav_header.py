"""What a WAV header says of its samples, for files and pipes alike."""

from __future__ import annotations

import struct

CONTAINERS = (b"RIFF", b"RF64", b"BW64")
PCM = 1  # the tag of integer samples


def has_low_24_bits(body: bytes) -> bool:
    """Whether samples are ALSA's S24_LE: the lower 24 of 32 bits, and not, as elsewhere, the upper ones.

    Args:
        body: of the ``fmt `` chunk, at least 16 bytes.
    """
    tag, channels, _, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", body)
    return bool(tag == PCM and bits == 24 and frame_bytes == 4 * channels)
