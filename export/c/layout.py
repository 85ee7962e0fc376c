"""Where the files of a C library lie: in one folder, or as a library of Arduino and PlatformIO."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files

_FOLDERS = {"sources": "", "cortex_m": "cortex_m/", "examples": "examples/"}
FRONT_ENDS = ("float_front_end", "fixed_front_end")  # each has the files that the sources include
_HOST_ONLY = ("self_test.c", "model_library.c", "model_library.h", "model_spec.c", "model_spec.h")
_NAME = "tinyscene_model"
_SENTENCE = "An audio classifier in plain C: log-mel front end, INT8 network and stream."
_WITHOUT_CONTRACTION = """\
/* Arduino's builds lack -ffp-contract=off, which the front end needs: see ts_front_end.h. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#elif defined __GNUC__
#pragma GCC optimize("fp-contract=off")
#endif

"""


def _read(folder: str) -> dict[str, str]:
    entries = files("export").joinpath("c", folder).iterdir()
    return {file.name: file.read_text() for file in entries if file.is_file()}


def plain_layout(texts: Mapping[str, str], front_end: str) -> dict[str, str]:
    """The files by their path: C in the folder itself, examples and start-up code for Cortex-M in folders.

    Args:
        texts: the files that follow from the model, by name.
        front_end: one of `FRONT_ENDS`.
    """
    fixed: dict[str, str] = {}
    for folder, prefix in {**_FOLDERS, front_end: ""}.items():
        fixed |= {prefix + name: text for name, text in _read(folder).items()}
    return {**fixed, **texts}


def arduino_layout(texts: Mapping[str, str], front_end: str) -> dict[str, str]:
    """The files by their path as Arduino and PlatformIO look for them.

    Args:
        texts: the files that follow from the model, by name.
        front_end: one of `FRONT_ENDS`.
    """
    sources = {**_read("sources"), **_read(front_end), **texts}
    code = {
        name: text for name, text in sources.items() if name.endswith((".c", ".h")) and name not in _HOST_ONLY
    }
    for name in ("model.c", "ts_front_end.c"):
        code[name] = _WITHOUT_CONTRACTION + code[name]
    sketches = {
        f"examples/{name.removesuffix('.ino')}/{name}": text for name, text in _read("arduino").items()
    }
    return {
        **{f"src/{name}": text for name, text in code.items()},
        **sketches,
        "library.properties": _properties(),
        "library.json": _json(),
    }


def _properties() -> str:
    fields = {
        "name": _NAME, "version": version("tinyscene"), "author": "tinyscene",
        "maintainer": "whoever exported the model", "sentence": _SENTENCE,
        "paragraph": "Written by `tinyscene c --layout arduino`.", "category": "Signal Input/Output",
        "url": "https://pypi.org/project/tinyscene", "architectures": "*", "includes": "model.h",
    }  # fmt: skip
    return "".join(f"{key}={value}\n" for key, value in fields.items())


def _json() -> str:
    fields = {
        "name": _NAME, "version": version("tinyscene"), "description": _SENTENCE, "keywords": "audio, tinyml",
        "frameworks": "*", "platforms": "*", "headers": "model.h",
        "build": {"flags": ["-ffp-contract=off"]},
    }  # fmt: skip
    return json.dumps(fields, indent=2) + "\n"
