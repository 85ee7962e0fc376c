"""What the headers of a shared library say: whether it is whole, and for which processor it was compiled.

The loader of Linux ends the process where an ELF file is cut off.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

_MAGIC = b"\x7fELF"
_ORDERS = {1: "<", 2: ">"}  # by the byte EI_DATA
# by the byte EI_CLASS, 32 and 64 bits: the file's header; offset and size of a segment in a program header
_LAYOUTS = {1: ("24xIIIIHHHHHH", "4xI8xI"), 2: ("24xQQQIHHHHHH", "8xQ16xQ")}

_PROCESSORS = {3: "x86", 40: "ARM", 62: "x86-64", 183: "aarch64", 243: "RISC-V"}  # by e_machine


def processor(path: Path) -> str:
    """The processor that an ELF file was compiled for, such as ``x86-64``; empty for another file.

    Raises:
        OSError: where it cannot be read.
    """
    with path.open("rb") as file:
        begin = file.read(20)
    if len(begin) < 20 or not begin.startswith(_MAGIC) or (order := _ORDERS.get(begin[5])) is None:
        return ""
    (machine,) = struct.unpack_from(f"{order}H", begin, 18)
    return _PROCESSORS.get(machine, f"processor {machine} of the ELF format")


def needed_bytes(path: Path) -> int:
    """How long an ELF file has to be by its headers; 0 for another file, which is left to the loader.

    Raises:
        OSError: where it cannot be read.
    """
    with path.open("rb") as file:
        begin = file.read(64)
        if len(begin) < 6 or not begin.startswith(_MAGIC):
            return 0
        order, layout = _ORDERS.get(begin[5]), _LAYOUTS.get(begin[4])
        if order is None or layout is None:
            return 0
        header, segment = (struct.Struct(order + fields) for fields in layout)
        if len(begin) < header.size:
            return header.size
        _, place, sections, _, _, entry, count, section_entry, section_count, _ = header.unpack_from(begin)
        needed: int = max(place + entry * count, sections + section_entry * section_count)
        if needed > os.fstat(file.fileno()).st_size:
            return needed
        file.seek(place)
        table = file.read(entry * count)
    starts = range(0, len(table) - segment.size + 1, max(entry, segment.size))
    segments = (segment.unpack_from(table, start) for start in starts)
    ends: list[int] = [place + size for place, size in segments if size]  # an empty one may lie anywhere
    return max([needed, *ends])
