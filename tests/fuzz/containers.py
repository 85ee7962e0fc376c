"""Valid changes to the bytes of audio files: more chunks, and lengths that were never filled in."""

from __future__ import annotations

import struct

import numpy as np

Chunks = list[tuple[bytes, bytes]]
_UNKNOWN = 0xFFFFFFFF
_WAVE_NAMES = (b"LIST", b"bext", b"id3 ", b"JUNK", b"PAD ", b"cue ", b"iXML", b"_PMX", b"abcd")
_AIFF_NAMES = (b"NAME", b"ANNO", b"ID3 ", b"APPL", b"(c) ")
_NAMES = {
    b"RIFF": _WAVE_NAMES, b"RIFX": _WAVE_NAMES, b"RF64": _WAVE_NAMES,
    b"AIFF": _AIFF_NAMES, b"AIFC": _AIFF_NAMES,
}  # fmt: skip


def with_chunks(data: bytes, rng: np.random.Generator, *, samples_last: bool = False) -> bytes:
    """Add metadata where the container has room for it; the file itself where it has none.

    Args:
        data: a file.
        rng: what and where is drawn from it.
        samples_last: whether nothing may follow the samples.
    """
    magic = data[:4]
    names = _NAMES.get(data[8:12] if magic == b"FORM" else magic)
    if names is not None:
        head, chunks = _split_iff(data)
        return _join_iff(head, _insert(chunks, names, rng, samples_last, first=magic == b"RF64"))
    add = {b"fLaC": _flac_blocks, b".snd": _au_annotation, b"caff": _caf_chunks}.get(magic)
    if magic[:3] == b"ID3" or magic[:1] == b"\xff":
        add = _mp3_tags
    return data if add is None else add(data, rng)


def unfinished(data: bytes, rng: np.random.Generator) -> bytes:
    """Lengths as a recorder leaves them that was killed, or that writes into a pipe."""
    magic, out = data[:4], bytearray(data)
    if magic in (b"RIFF", b"RIFX"):
        order = "<" if magic == b"RIFF" else ">"
        place = _place(data, b"data")
        riff, samples = [
            (0, 0), (_UNKNOWN, _UNKNOWN), (0, _UNKNOWN), (place, 0), (0x7FFFFF24, 0x7FFFFF00), (_UNKNOWN, 0),
        ][rng.integers(6)]  # fmt: skip
        out[4:8], out[place + 4 : place + 8] = (
            struct.pack(order + "I", riff),
            struct.pack(order + "I", samples),
        )
    elif magic == b"RF64":
        out[20:36] = bytes(16)
    elif data[8:12] in (b"AIFF", b"AIFC"):
        place = _place(data, b"SSND")
        out[4:8], out[place + 4 : place + 8] = bytes(4), struct.pack(">I", int(rng.choice([0, 8])))
    elif magic == b"fLaC":
        out[21], out[22:26] = out[21] & 0xF0, bytes(4)
    elif magic in (b".snd", b"dns."):
        out[8:12] = (b"\xff" if rng.random() < 0.5 else b"\0") * 4
    elif magic == b"caff":
        place = data.index(b"data", 8)
        out[place + 4 : place + 12] = struct.pack(">q", -1)
    return bytes(out)


def _body(rng: np.random.Generator) -> bytes:
    """The content of a chunk: text, zeros or noise, often of an odd length."""
    size = int(rng.choice([0, 1, 3, 4, 17, 602, 4001]))
    return [bytes(size), rng.bytes(size), (b"INFOISFT" + b"tinyscene " * 401)[:size]][rng.integers(3)]


def _insert(
    chunks: Chunks, names: tuple[bytes, ...], rng: np.random.Generator, samples_last: bool, first: int = 0
) -> Chunks:
    """Some chunks at random places, from ``first`` on."""
    changed = list(chunks)
    for _ in range(int(rng.integers(1, 5))):
        name = names[rng.integers(len(names))]
        body = _body(rng)
        if name == b"LIST":
            text = body[: len(body) // 2 * 2]
            body = b"INFO" + (b"ISFT" + struct.pack("<I", len(text)) + text)
        elif name in (b"ID3 ", b"id3 "):
            body = _id3v2(rng)
        elif name == b"cue ":
            body = bytes(4)
        elif name == b"bext":
            body = bytes(602)
        elif name == b"APPL":
            body = b"stoc" + body
        changed.insert(int(rng.integers(first, len(changed) + (not samples_last))), (name, body))
    return changed


def _split_iff(data: bytes) -> tuple[bytes, Chunks]:
    order = ">" if data[:4] in (b"RIFX", b"FORM") else "<"
    chunks, place = [], 12
    while place + 8 <= len(data):
        name, (size,) = data[place : place + 4], struct.unpack_from(order + "I", data, place + 4)
        if size == _UNKNOWN:  # RF64: the samples, in ds64
            (size,) = struct.unpack_from("<Q", data, 28)
        chunks.append((name, data[place + 8 : place + 8 + size]))
        place += 8 + size + size % 2
    return data[:12], chunks


def _join_iff(head: bytes, chunks: Chunks) -> bytes:
    order = ">" if head[:4] in (b"RIFX", b"FORM") else "<"
    parts, long = [], head[:4] == b"RF64"
    for name, body in chunks:
        size = _UNKNOWN if long and name == b"data" else len(body)
        parts += [name, struct.pack(order + "I", size), body, bytes(len(body) % 2)]
    whole = head[8:12] + b"".join(parts)
    out = bytearray(head[:4] + struct.pack(order + "I", _UNKNOWN if long else len(whole)) + whole)
    if long:
        out[20:28] = struct.pack("<Q", len(whole))
    return bytes(out)


def _place(data: bytes, wanted: bytes) -> int:
    order = ">" if data[:4] in (b"RIFX", b"FORM") else "<"
    place = 12
    while data[place : place + 4] != wanted:
        (size,) = struct.unpack_from(order + "I", data, place + 4)
        place += 8 + size + size % 2
    return place


def _mp3_tags(data: bytes, rng: np.random.Generator) -> bytes:
    """ID3v2 before the frames and ID3v1 behind them."""
    front = b"" if data[:3] == b"ID3" else _id3v2(rng)
    return front + data + (b"TAG" + rng.bytes(125) if rng.random() < 0.5 else b"")


def _flac_blocks(data: bytes, rng: np.random.Generator) -> bytes:
    """Padding, application data and a comment behind STREAMINFO (RFC 9639)."""
    blocks = b""
    for _ in range(int(rng.integers(1, 4))):
        kind, body = [(1, _body(rng)), (2, b"abcd" + _body(rng))][rng.integers(2)]
        blocks += bytes([kind]) + len(body).to_bytes(3, "big") + body
    front = _id3v2(rng) if rng.random() < 0.2 else b""
    return front + data[:42] + blocks + data[42:]


def _au_annotation(data: bytes, rng: np.random.Generator) -> bytes:
    (begin,) = struct.unpack_from(">I", data, 4)
    note = _body(rng)
    return data[:4] + struct.pack(">I", begin + len(note)) + data[8:begin] + note + data[begin:]


def _caf_chunks(data: bytes, rng: np.random.Generator) -> bytes:
    """A chunk behind the description, which comes first."""
    (size,) = struct.unpack_from(">q", data, 12)
    body, end = _body(rng), 20 + size
    return data[:end] + b"free" + struct.pack(">q", len(body)) + body + data[end:]


def _id3v2(rng: np.random.Generator) -> bytes:
    """A tag with one private frame."""
    content = b"someone\0" + rng.bytes(int(rng.choice([1, 90, 2001])))
    frame = b"PRIV" + struct.pack(">I", len(content)) + b"\0\0" + content
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frame
