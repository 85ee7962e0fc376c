"""Mutated files through ``classify``, in a process of its own: ``python -m tests.runtime.fuzz``.

A case passes where the command ends with 0, or with one sentence and 2. The process prints what it saw
as JSON: anything else that was raised, the slowest case (processor time) and the peak of its memory.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from runtime.classifier import load_model
from runtime.cli import classify
from runtime.cli.main import main
from runtime.errors import TinysceneError
from runtime.model.model_file import append_checksum

AUDIO_KINDS = (
    ("wav", "PCM_16"), ("wav", "FLOAT"), ("wav", "PCM_24"), ("wav", "IMA_ADPCM"), ("wav", "ULAW"),
    ("caf", "PCM_16"), ("flac", "PCM_16"), ("ogg", "VORBIS"), ("ogg", "OPUS"), ("mp3", "MPEG_LAYER_III"),
)  # fmt: skip


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage a file as a disk, a cable or an enemy would."""
    mutated = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        if not mutated:
            break
        reach = min(len(mutated), int(rng.choice([48, 512, len(mutated)])))  # headers, mostly
        at, size = int(rng.integers(reach)), int(rng.integers(1, 9))
        kind = rng.integers(6)
        if kind == 0:
            mutated[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            mutated[at : at + size] = rng.bytes(size)
        elif kind == 2:
            mutated[at : at + size] = bytes([int(rng.choice([0, 127, 128, 255]))]) * size
        elif kind == 3:
            del mutated[at : at + size]
        elif kind == 4:
            mutated[at:at] = mutated[at : at + 64]
        else:
            del mutated[int(rng.integers(len(mutated))) :]
    return bytes(mutated)


def audio_files(rng: np.random.Generator) -> list[tuple[str, bytes]]:
    """Small files of every kind, one and two channels, and FLAC files that end with their header."""
    files = []
    for kind, subtype in AUDIO_KINDS:
        for channels in (1, 2):
            file = io.BytesIO()
            soundfile.write(
                file, rng.normal(scale=0.1, size=(16_000, channels)), 16_000, format=kind, subtype=subtype
            )
            files.append((kind, file.getvalue()))
    # killed before the first frame: a header, and one whose lengths are still 0
    headers = [(kind, data[:42]) for kind, data in files if kind == "flac"]
    return files + headers + [(kind, data[:8] + bytes(34)) for kind, data in headers]


def attempt(case: Callable[[], int]) -> str:
    """What a case came to: ``0``, ``2``, or the traceback's last word."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            code = case()
        except TinysceneError as error:
            code, text = 2, f"error: {error}\n"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        else:
            text = errors.getvalue()
    sentence = text.startswith("error: ") and text.count("\n") == 1 and text.endswith(".\n")
    return str(code) if code == 0 or sentence else f"not a sentence: {text!r}"


def run(count: int, seed: int, model: Path, folder: Path, what: str) -> dict[str, object]:
    """Mutate, classify, count."""
    rng = np.random.default_rng(seed)
    if what == "audio":
        loaded = load_model(model)
        classify.load_model = lambda *_: loaded  # type: ignore[assignment]
        bases = audio_files(rng)
    else:
        soundfile.write(folder / "good.wav", rng.normal(scale=0.1, size=16_000), 16_000)
        bases = [("onnx", model.read_bytes())]
    outcomes: Counter[str] = Counter()
    slowest_s = 0.0
    for index in range(count):
        kind, data = bases[index % len(bases)]
        path = folder / f"case.{kind}"
        mutated = mutate(data, rng)
        # the checksum finds accidents, not enemies: every other model gets a new one
        path.write_bytes(append_checksum(mutated) if what == "model" and index % 2 else mutated)
        files = [str(path)] if what == "audio" else [str(folder / "good.wav")]
        arguments = ["classify", *files, "--model", str(model if what == "audio" else path)]
        begun = time.process_time()  # what hangs is ended from outside; what starves is no fault of ours
        outcomes[attempt(lambda arguments=arguments: main(arguments))] += 1  # type: ignore[misc]
        slowest_s = max(slowest_s, time.process_time() - begun)
    return {"outcomes": outcomes, "slowest_s": slowest_s, "peak_mb": peak_mb()}


def peak_mb() -> float:
    """The most memory that this process had resident, in MB.

    Not `resource.getrusage`: its figure begins with that of the process that started this one.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found, "no VmHWM in /proc/self/status"
    return int(found[1]) / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("audio", "model"))
    parser.add_argument("count", type=int)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders write to stderr themselves
    result = run(arguments.count, arguments.seed, arguments.model, arguments.folder, arguments.what)
    json.dump(result, sys.stdout)
