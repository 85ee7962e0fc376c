"""One set of labelled clips as many folders and tables that describe it, each read by its corpus.

A case is right where the corpus has the pairs (content of a file, label) of the reference, or where it is
refused in one sentence that names the file which makes it impossible (`Case.refusal`).
"""

from __future__ import annotations

import csv
import io
import os
import unicodedata
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from runtime.errors import TinysceneError
from train.data import Folder, Table
from train.data.classes import clean_label
from train.data.corpus import SPLITS, FileCorpus

RATE = 8_000
LABELS = ("cat", "Dog", "dog bark", "Müll", "сирена", "雨", "01", "a+b (c)", "train_station", "café", "NA",
          "#1", "rock'n'roll", "🎧", "x" * 60)  # fmt: skip
TABLE_LABELS = (*LABELS, "a, b; c", 'say "x"', "half\\back", "100%")
STEMS = ("{}", "take {}", "Take.{}.final", "ä{}", "a\u0308{}", "-{}", "{}&co", "it's {}", "[{}]",
         "x" * 90 + "{}", "comma, {}", "semi; {}", "音{}", "%s{}", "~{}")  # fmt: skip
SUFFIXES = (".wav", ".WAV", ".Wav", ".flac", ".FLAC", ".aif", ".AIFF", ".ogg", ".au", ".caf", ".w64")
SYSTEM = ("._{}", ".DS_Store", "Thumbs.db", "THUMBS.DB", "desktop.ini", ".hidden.wav")
SYSTEM_FOLDERS = ("__MACOSX", ".git", "@eaDir", "$RECYCLE.BIN", ".AppleDouble")
OTHERS = ("notes.txt", "x.json", "README", "cover.JPG", "a.wav.asd", "a.wav.bak")
FORMATS = {"aif": "AIFF"}


@dataclass
class Case:
    """Clips on disk, what they should be read as, and what was drawn.

    Attributes:
        pairs: (content, label) of each clip.
        refusal: part of a sentence that refuses the case rightly; None where it has to be read.
        drawn: for the report.
    """

    root: Path
    pairs: Counter[tuple[bytes, str]]
    drawn: list[str] = field(default_factory=list)
    refusal: str | None = None


def audio(index: int, suffix: str) -> bytes:
    """A clip whose content no other index has."""
    file, kind = io.BytesIO(), suffix.lower().lstrip(".")
    wave = np.random.default_rng(index).normal(scale=0.1, size=400)
    soundfile.write(file, wave, RATE, format=FORMATS.get(kind, kind.upper()))
    return file.getvalue()


def draw_labels(rng: np.random.Generator, labels: tuple[str, ...]) -> list[str]:
    count = int(rng.integers(2, 5))
    return [labels[index] for index in rng.permutation(len(labels))[:count]]


def folder_case(seed: int, top: Path) -> Case:
    """Class folders with what people's folders have."""
    rng = np.random.default_rng((18, seed))
    root, elsewhere = top / "root", top / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    case = Case(root, Counter())
    for label in draw_labels(rng, LABELS):
        shown = unicodedata.normalize(str(rng.choice(["NFC", "NFD"])), label)
        shown = str(rng.choice([shown, shown, f" {shown}", f"{shown} "]))
        place = folder = root / shown
        if rng.random() < 0.2:
            place = elsewhere / f"of {len(case.pairs)}"
            folder.symlink_to(place)
            case.drawn.append("linked class folder")
        place.mkdir()
        for _ in range(int(rng.integers(1, 5))):
            _put_clip(case, rng, place, elsewhere, label)
        _put_clutter(case, rng, place)
    _put_clutter(case, rng, root)
    if rng.random() < 0.15:
        _spoil(case, rng)
    return case


def _put_clip(case: Case, rng: np.random.Generator, folder: Path, elsewhere: Path, label: str) -> None:
    index, suffix = sum(case.pairs.values()), str(rng.choice(SUFFIXES))
    data = audio(index, suffix)
    stem = os.fsdecode(b"\xe9\xff %d" % index) if rng.random() < 0.1 else str(rng.choice(STEMS)).format(index)
    for depth in range(int(rng.choice([0, 0, 0, 1, 2, 12]))):
        folder = folder / str(rng.choice(["deep", "Session 1", "a.wav", "ü", "2024-01-01", f"d{depth}"]))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (stem + suffix)
    if rng.random() < 0.2:
        target = elsewhere / f"target {index}"
        target.write_bytes(data)
        path.symlink_to(target)
        case.drawn.append("linked file")
    else:
        path.write_bytes(data)
    if rng.random() < 0.1:
        (folder / f"again {index}.wav").symlink_to(path)  # one file counts once
        case.drawn.append("second link")
    case.pairs[data, clean_label(label)] += 1


def _put_clutter(case: Case, rng: np.random.Generator, folder: Path) -> None:
    """Files of operating systems, files that are no audio, empty folders below a class."""
    for _ in range(int(rng.integers(0, 4))):
        kind = int(rng.integers(4))
        if kind == 0:
            (folder / str(rng.choice(SYSTEM)).format("1.wav")).write_bytes(b"\0\5\x16\7")
        elif kind == 1:
            inner = folder / str(rng.choice(SYSTEM_FOLDERS)) / "cat"
            inner.mkdir(parents=True, exist_ok=True)
            (inner / "._0.wav").write_bytes(b"\0\5\x16\7")
            (inner / "0.wav").write_bytes(audio(10_000, ".wav"))
        elif kind == 2:
            (folder / str(rng.choice(OTHERS))).write_bytes(b"x")
        elif folder != case.root:
            (folder / "empty" / "emptier").mkdir(parents=True, exist_ok=True)


def _spoil(case: Case, rng: np.random.Generator) -> None:
    """What no corpus can be made of."""
    folders = sorted(path for path in case.root.iterdir() if path.is_dir() and path.name[0] not in "._@$")
    kind = int(rng.integers(3))
    if kind == 0:
        (case.root / "nothing in it").mkdir()
        case.refusal = "nothing in it holds no audio file"
    elif kind == 1:
        (folders[0] / "loop").symlink_to(case.root)
        case.refusal = "is a link to a folder that it lies in"
    else:
        first = next(p for p in sorted(folders[0].rglob("*")) if p.is_file() and p.suffix.lower() in SUFFIXES)
        (folders[1] / "both.wav").symlink_to(first)
        case.refusal = "both.wav"
    case.drawn.append(case.refusal)


def table_case(seed: int, top: Path) -> Case:
    """A table as a spreadsheet, an editor or a script writes it."""
    rng = np.random.default_rng((19, seed))
    case = Case(top, Counter())
    labels, rows = draw_labels(rng, TABLE_LABELS), []
    for index in range(int(rng.integers(4, 12))):
        label, suffix = labels[index % len(labels)], str(rng.choice(SUFFIXES))
        folder = top / str(rng.choice(["", "audio", "Fold 1/x", "ü"]))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / (str(rng.choice(STEMS)).format(index) + suffix)
        data = audio(index, suffix)
        path.write_bytes(data)
        case.pairs[data, clean_label(label)] += 1
        rows.append({"path": _shown(case, rng, path), "label": _padded(rng, label), "group": f"g{index}"})
    (top / "table.csv").write_bytes(_table_bytes(case, rng, rows))
    return case


def _padded(rng: np.random.Generator, label: str) -> str:
    shown = unicodedata.normalize(str(rng.choice(["NFC", "NFC", "NFD"])), label)
    return str(rng.choice([shown, shown, shown, f" {shown}", f"{shown}  "]))


def _shown(case: Case, rng: np.random.Generator, path: Path) -> str:
    """A path as tables have it: with backslashes, absolute, from here, or with composed accents."""
    name = path.relative_to(case.root).as_posix()
    kind = int(rng.integers(8))
    if kind == 0:
        name = name.replace("/", "\\")
    elif kind == 1:
        name = path.as_posix()
    elif kind == 2:
        name = f"./{name}"
    elif kind == 3:
        name = f".\\{name}".replace("/", "\\")
    elif kind == 4:
        name = unicodedata.normalize(str(rng.choice(["NFC", "NFD"])), name)
    return name


def _table_bytes(case: Case, rng: np.random.Generator, rows: list[dict[str, str]]) -> bytes:
    delimiter, end = str(rng.choice([",", ";", "\t"])), str(rng.choice(["\n", "\r\n", "\r"]))
    extra = {"comment": "ok", "n": "1", "": "0", "notes, free": "a, b; c\td", "size;kB": "3", "empty": ""}
    columns = ["path", "label", "group"]
    for name in rng.permutation(list(extra))[: int(rng.integers(0, 4))]:
        columns.append(str(name))
    columns = [columns[index] for index in rng.permutation(len(columns))]
    quoting = int(rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end)
    blank = rng.random() < 0.3
    if blank and rng.random() < 0.5:
        text.write(end)
    writer.writerow([f" {name} " if rng.random() < 0.1 and name else name for name in columns])
    for row in [rows[index] for index in rng.permutation(len(rows))]:
        writer.writerow([row[name] if name in row else extra[name] for name in columns])
        if blank and rng.random() < 0.3:
            text.write(str(rng.choice(["", "  ", delimiter * (len(columns) - 1)])) + end)
    content = text.getvalue()
    if rng.random() < 0.2:
        content = content.rstrip("\r\n")
    if rng.random() < 0.1:
        content = f"sep={delimiter}{end}{content}"
    encoding = str(
        rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "utf-32", "cp1252"])
    )
    if encoding == "cp1252" and not _encodes(content, encoding):
        encoding = "utf-8"
    mark = {"utf-16-be": b"\xfe\xff", "utf-16-le": b"\xff\xfe"}.get(encoding, b"")
    case.drawn += [
        encoding,
        f"delimiter {delimiter!r}",
        f"end {end!r}",
        f"quoting {quoting}",
        f"columns {columns}",
    ]
    return mark + content.encode(encoding)


def _encodes(content: str, encoding: str) -> bool:
    try:
        content.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def pairs_of(corpus: FileCorpus) -> Counter[tuple[bytes, str]]:
    """(content, label) of every clip, each of which is read."""
    pairs: Counter[tuple[bytes, str]] = Counter()
    for split in SPLITS:
        for clip in corpus.splits()[split]:
            assert len(corpus.read(clip, RATE))
            pairs[corpus.path(clip).read_bytes(), corpus.labels[clip.target]] += 1
    return pairs


def make(kind: str, seed: int, top: Path) -> Case:
    """A case of folders (``folder``) or of a table (``table``), in a folder that is made for it."""
    top.mkdir()
    return folder_case(seed, top) if kind == "folder" else table_case(seed, top)


def check(kind: str, case: Case) -> tuple[str, str]:
    """Outcome of a case (``same``, ``refused`` or ``wrong``), and what is wrong with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            folder, table = str(case.root), str(case.root / "table.csv")
            pairs = pairs_of(Folder(folder, no_groups=True) if kind == "folder" else Table(table))
    except TinysceneError as error:
        text = str(error)
        right = case.refusal is not None and case.refusal in text and text.endswith(".") and "\n" not in text
        return ("refused", "") if right else ("wrong", f"refused: {error} {case.drawn}")
    except Exception as error:
        return "wrong", f"{type(error).__name__}: {error} {case.drawn}"
    if case.refusal is not None:
        return "wrong", f"not refused: {case.drawn}"
    if pairs != case.pairs:
        lost = [label for _, label in (case.pairs - pairs)]
        more = [label for _, label in (pairs - case.pairs)]
        return "wrong", f"lost {lost}, more {more}, {case.drawn}"
    return "same", ""
