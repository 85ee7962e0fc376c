"""The greatest depth of a stack, from the call graphs that GCC writes with ``-fcallgraph-info=su``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

_INDIRECT = "__indirect_call"
# of functions of the compiler's and the C library (64-bit division, memcpy), which come without sizes
_LIBRARY_BYTES = 64
_NODE = re.compile(r'^node: \{ title: "([^"]+)" label: "([^"\\]+)[^"]*?(?:\\n(\d+) bytes[^"]*)?"', re.M)
_EDGE = re.compile(r'^edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', re.M)


def greatest_depth(graphs: Iterable[str], linked: Iterable[str], start: str = "main") -> int:
    """Bytes of the deepest chain of calls from a function.

    A call through a pointer may reach every linked function that no other calls by its name.

    Args:
        graphs: the contents of the .ci files of a program.
        linked: the symbols of the program.
        start: the function.
    """
    sizes: dict[str, int] = {}
    names: dict[str, str] = {}
    calls: dict[str, set[str]] = defaultdict(set)
    for graph in graphs:
        for title, name, size in _NODE.findall(graph):
            names[title] = name
            if size:
                sizes[title] = int(size)
        for source, target in _EDGE.findall(graph):
            calls[source].add(target)
    symbols = set(linked)
    called = {target for targets in calls.values() for target in targets}
    by_pointer = {title for title in sizes if title not in called and names[title] in symbols} - {start}

    def depth(title: str, path: frozenset[str]) -> int:
        if title not in sizes:
            return _LIBRARY_BYTES
        targets = calls[title] - {_INDIRECT} | (by_pointer if _INDIRECT in calls[title] else set())
        below = [depth(target, path | {title}) for target in targets - path - {title}]
        return sizes[title] + max(below, default=0)

    return depth(start, frozenset())
