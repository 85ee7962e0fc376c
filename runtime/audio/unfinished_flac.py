"""The length of a FLAC file whose encoder wrote to a pipe or was killed (RFC 9639).

STREAMINFO holds 0 for the number of samples then. The head of the last frame says where that frame begins.
"""

from __future__ import annotations

import struct
from typing import Any

_LAST_BYTES = 2**20  # in which the last frame of a file begins
_BLOCK_SIZES = (0, 192, 576, 1152, 2304, 4608, 0, 0, *(256 << power for power in range(8)))  # RFC 9639, 9.1.1


def flac_patches(file: Any, size: int) -> dict[int, bytes]:
    """The number of samples for STREAMINFO, by offset; nothing where it is there or no frame is found."""
    file.seek(0)
    info = bytearray(file.read(26))
    if len(info) < 26 or info[4] & 0x7F or info[21] & 0x0F or any(info[22:26]):
        return {}
    place, last = 4, False
    while not last:
        file.seek(place)
        kind, length = struct.unpack(">B3s", file.read(4))
        last, place = bool(kind & 0x80), place + 4 + int.from_bytes(length, "big")
    file.seek(place)
    first = file.read(4)
    if len(first) < 4:  # no frame was written
        return {}
    file.seek(max(place, size - _LAST_BYTES))
    data = file.read()
    samples = _flac_end(data, first, int.from_bytes(info[8:10], "big"))
    if not samples:
        return {}
    return {21: bytes([info[21] | samples >> 32 & 0x0F]) + struct.pack(">I", samples & 0xFFFFFFFF)}


def _flac_end(data: bytes, first: bytes, block_size: int) -> int:
    """The sample after the last whole frame that begins in ``data``; 0 where none is found.

    Args:
        data: the end of the file.
        first: the head of the file's first frame, with whose sync code, rate and sample size others agree.
        block_size: samples of every frame but the last, where the frames are numbered and not the samples.
    """
    place = len(data)
    while (place := data.rfind(first[:2], 0, place)) >= 0:
        head = data[place : place + 16]
        if len(head) < 16 or (head[2] ^ first[2]) & 0x0F or (head[3] ^ first[3]) & 0x0F:
            continue
        number, end = _coded_number(head)
        code = head[2] >> 4
        extra = {6: 1, 7: 2}.get(code, 0)  # bytes of the block size; the rate's follow
        check = end + extra + {12: 1, 13: 2, 14: 2}.get(head[2] & 0x0F, 0)
        if not end or check >= len(head) or _crc(head[:check], 8, 0x07) != head[check]:
            continue
        count = int.from_bytes(head[end : end + extra], "big") + 1 if extra else _BLOCK_SIZES[code]
        begin = number if first[1] & 1 else number * block_size
        whole = _crc(data[place:-2], 16, 0x8005) == int.from_bytes(data[-2:], "big")
        return begin + count if whole else begin
    return 0


def _coded_number(head: bytes) -> tuple[int, int]:
    """The frame or sample number after the first four bytes, coded as in UTF-8, and where it ends; (0, 0)."""
    lead = head[4]
    ones = 8 - (lead ^ 0xFF).bit_length()
    if ones == 0:
        return lead, 5
    if ones == 1 or ones == 8:
        return 0, 0
    number = lead & (0x7F >> ones)
    for byte in head[5 : 4 + ones]:
        number = number << 6 | byte & 0x3F
    return number, 4 + ones


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    """Cyclic redundancy check with a start value of 0."""
    crc, top, mask = 0, 1 << bits - 1, (1 << bits) - 1
    for byte in data:
        crc ^= byte << bits - 8
        for _ in range(8):
            crc = (crc << 1 ^ polynomial if crc & top else crc << 1) & mask
    return crc
