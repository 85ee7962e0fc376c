"""Build the API reference with pdoc: ``python .ci/docs.py FOLDER``. A warning is an error."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import typing
import warnings
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("runtime", "complexity", "train", "export", "benchmarks")


def build(folder: Path) -> None:
    """Write one HTML page a module into a folder."""
    import pdoc
    from pdoc import render

    modules = list(PACKAGES)
    for package in map(importlib.import_module, PACKAGES):
        for name in getattr(package, "__all__", ()):
            setattr(package, name, getattr(package, name))  # pdoc does not look for lazy attributes
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith(".__main__"):
                continue
            _resolve_named_tuples(importlib.import_module(module.name))
            if hasattr(sys.modules[module.name.rpartition(".")[0]], "__all__"):
                modules.append(module.name)  # pdoc leaves the modules of such a package out
    render.configure(docformat="google", footer_text="tinyscene")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module=r"pdoc\b")
        pdoc.pdoc(*modules, output_directory=folder)


def _resolve_named_tuples(module: object) -> None:
    """Replace annotations that are text: pdoc does not find the module of a NamedTuple's constructor."""
    for _, found in inspect.getmembers(module, inspect.isclass):
        if issubclass(found, tuple) and hasattr(found, "_fields") and found.__module__ == module.__name__:
            found.__new__.__annotations__ = typing.get_type_hints(found)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    build(Path(sys.argv[1]))
