"""Numbers and tables of a README that come from the results files.

A number stands between ``<!-- = FILE KEY[/KEY...] FORMAT -->`` and ``<!-- / -->``: FILE is the name of a
results file without its suffix, a KEY is one of an object or a position in a list, FORMAT is that of Python's
`format`, such as ``.2f``; ``.1%`` gives percent without the sign. A section stands between
``<!-- begin NAME -->`` and ``<!-- end NAME -->``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from runtime.errors import TinysceneError

_NUMBER = re.compile(r"<!-- = (?P<file>\S+) (?P<key>.+?) (?P<format>\S+) -->(?P<text>.*?)<!-- / -->")
_MEASURED = re.compile(r"<!-- begin measured -->(.*?)<!-- end measured -->", re.DOTALL)
_CLASSES = re.compile(r"\b(?:INT8|FP32|AVX-?512|x86-64)\b")  # names, not measurements

Read = Callable[[str], "dict[str, Any] | None"]


def fill_numbers(text: str, read: Read) -> str:
    """The text with every marked number as its results file has it.

    Args:
        text: of a README.
        read: gives the values of a results file by its name; None where there is no such file.

    Raises:
        TinysceneError: where a file or a key does not exist.
    """
    return _NUMBER.sub(lambda match: _filled(match, read), text)


def fill_section(text: str, name: str, content: str) -> str:
    """The text with another content between the markers of a section.

    Raises:
        TinysceneError: where the text has no such section.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise TinysceneError(f"The README has no section {begin} ... {end}: add it where the table belongs.")
    return f"{before}{begin}\n{content.strip()}\n{end}{after}"


def unmarked_numbers(text: str) -> list[str]:
    """Numbers in the second column of the tables between the markers ``measured`` that have no marker."""
    found = []
    for section in _MEASURED.findall(text):
        for line in section.splitlines():
            cells = _NUMBER.sub("", line).split("|")
            if len(cells) > 3 and not set(cells[2].strip()) <= set("-: "):
                found += re.findall(r"\d[\d.,]*", _CLASSES.sub("", cells[2]))
    return found


def _filled(match: re.Match[str], read: Read) -> str:
    file, key, form = match["file"], match["key"], match["format"]
    values: Any = read(file)
    if values is None:
        raise TinysceneError(f"A README names results/{file}.json, which does not exist: measure it.")
    for part in key.split("/"):
        try:
            values = values[int(part)] if isinstance(values, list) else values[part]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise TinysceneError(f"results/{file}.json has no {key}, which a README names.") from error
    return f"{match[0][: match[0].index('-->') + 3]}{format_value(values, form)}<!-- / -->"


def format_value(value: Any, form: str) -> str:
    """A value in a format; ``%`` without its sign."""
    return format(value, form).rstrip("%") if form.endswith("%") else format(value, form)
