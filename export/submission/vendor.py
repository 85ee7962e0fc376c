"""Copies modules of this project, and those that they import, into a package of another name."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGES = ("runtime", "complexity", "train", "export")
_IMPORT = re.compile(rf"^(\s*)from ({'|'.join(PACKAGES)})\b(?=.* import )", re.M)


def vendor(modules: Iterable[str], folder: Path, package: str) -> set[str]:
    """Copy modules and what they import from the packages of this project.

    Every copy keeps its place below ``folder`` and imports the other copies, so that packages of different
    releases of this project can be installed side by side. ``__init__.py`` of a package is copied where a
    module imports from the package itself, and is empty elsewhere.

    Args:
        modules: dotted names.
        folder: where the copies go; it has to be importable as ``package``.
        package: dotted name.

    Returns:
        Names of the top-level modules of others that the copies import.
    """
    sources = dict(_closure(modules))
    for name, path in sources.items():
        target = folder / Path(*name.split(".")).with_suffix(".py")
        if path.name == "__init__.py":
            target = target.with_suffix("") / "__init__.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_IMPORT.sub(rf"\1from {package}.\2", path.read_text("utf-8")), "utf-8")
    for inner in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        (inner / "__init__.py").touch()
    imported = {name.partition(".")[0] for path in sources.values() for name in _imports(path)}
    return imported - set(PACKAGES)


def _closure(modules: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """The modules and, transitively, all modules of this project that they import: names and files."""
    seen: set[str] = set()
    queue = list(modules)
    while queue:
        name = queue.pop()
        if name in seen or name.partition(".")[0] not in PACKAGES:
            continue
        seen.add(name)
        path = _file(name)
        if path is not None:  # else it is a name inside a module, which is in the list by itself
            yield name, path
            queue += _imports(path)


def _file(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # its parent is no package
        return None
    return Path(spec.origin) if spec and spec.origin else None


def _imports(path: Path) -> Iterator[str]:
    """What a file imports, wherever in it: modules, and the names taken from them as if they were modules."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name for name in submodules if node.module.partition(".")[0] in PACKAGES and _file(name)]
            yield from found
            if len(found) < len(submodules):
                yield node.module
