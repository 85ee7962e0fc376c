"""Tables as spreadsheets and editors write them, or one sentence with the row."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from runtime.errors import AudioError, DataError
from train.data import Table
from train.data.checks import examine

ROWS = [(f"{label}{n}.wav", label, f"{label}{n}") for label in ("cat", "dog") for n in range(6)]


def text(separator: str = ",", end: str = "\n") -> str:
    return end.join(separator.join(row) for row in [("path", "label", "group"), *ROWS]) + end


def table(folder: Path, content: str | bytes, **options) -> Table:
    data = content if isinstance(content, bytes) else content.encode()
    (folder / "t.csv").write_bytes(data)
    return Table(str(folder / "t.csv"), **options)


@pytest.mark.parametrize(
    "content",
    [
        text().encode("utf-8-sig"),
        text("\t").encode("utf-16"),
        text(";").encode("utf-16-le"),
        text("\t").encode("utf-16-be"),
        text().encode("utf-32"),
        text(end="\r\n").encode(),
        text(end="\r").encode(),
        ("\n\n" + text()).encode(),
        ("sep=;\n" + text(";")).encode(),
        text().replace("\n", ",,\n").encode(),
        text(" , ").encode(),
        text().replace("cat,", " cat\t,").encode(),
        text().replace("path,label", " path , label ").encode(),
        text().rstrip("\n").encode(),
        ("sep=;\r" + text(";", "\r")).encode(),
        text(";", "\r").encode(),
        text(";").replace("\n", ";x\n").replace("group;x", 'group;"notes, free, text, of, mine"', 1).encode(),
    ],
    ids=["BOM", "UTF-16", "UTF-16LE", "UTF-16BE", "UTF-32", "CRLF", "CR", "blank lines", "sep=",
         "empty cells", "spaces", "spaces in labels", "spaces in the header", "no last newline",
         "sep= and CR", "semicolons and CR", "commas in the header"],
)  # fmt: skip
def test_a_table_is_read_however_it_was_written(tmp_path, content):
    corpus = table(tmp_path, content)
    expected = table(tmp_path, text())
    assert corpus.labels == ("cat", "dog") and corpus.splits() == expected.splits()


def test_a_table_in_windows_1252_is_read_with_a_warning(tmp_path):
    with pytest.warns(UserWarning, match=r"t\.csv is not UTF-8 \(row 14\).*Müll"):
        corpus = table(tmp_path, text().encode() + "a.wav,Müll,a\n".encode("cp1252"))
    assert corpus.labels == ("Müll", "cat", "dog")


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("path,label,group\n", "has no rows"),
        (text().replace("label", "group", 1), "lacks the columns label"),
        (text().replace("group", "label", 1), "names the column 'label' twice"),
        (text() + text(), "row 14, repeats the header"),
        (text() + "a,b.wav,cat,g\n", "row 14, has 4 cells and the header has 3"),
        (text() + '"c9.wav,dog,g\n' + "c8.wav,cat,g\n" * 15_000, "row 14, opens a quote that never closes"),
        (text() + '"c9.wav,dog,g', "row 14, opens a quote that never closes"),
        (text() + '"c9.wav,dog,g\nc8.wav,cat,g\n"c7.wav",cat,g\n', "row 14, opens a quote that never closes"),
        (text() + '"c9" x.wav,dog,g\n', "row 14, is not quoted"),
        (text() + '"c9\n.wav",dog,g\n', "row 14: the cell of 'path' runs over several lines"),
        (text() + "c9.wav,,g\n", "row 14, lacks a cell of label"),
        (text().encode() + b"\x81.wav,M\xfcll,g\n", "row 14, is not UTF-8"),
        (b"PK\x03\x04" + bytes(100), "Excel"),
        (text().encode()[:100] + bytes(3) + text().encode(), "NUL byte in row"),
        (text().replace(",dog,", ",cat,"), "one label, 'cat'"),
        (text() + "./cat0.wav,cat,g\n", "lists cat0.wav more than once"),
    ],
)
def test_a_table_that_cannot_be_used_says_where(tmp_path, content, fact):
    with pytest.raises(DataError) as caught:
        table(tmp_path, content)
    assert fact in str(caught.value) and "t.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_instead_of_a_table_is_named(tmp_path):
    with pytest.raises(DataError, match="is a folder"):
        Table(str(tmp_path))


def test_paths_of_windows_are_found(tmp_path):
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "audio" / "cat0.wav", np.full(800, 0.1), 8_000)
    corpus = table(tmp_path, text().replace("\ncat0", "\naudio\\cat0"), val_share=0, test_share=0)
    clip = next(clip for clip in corpus.clips("train") if clip.id == "audio/cat0.wav")
    assert len(corpus.read(clip, 8_000)) == 800


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_table", ["NFC", "NFD"])
@pytest.mark.parametrize("slash", ["/", "\\"])
def test_accents_are_found_composed_and_decomposed(tmp_path, on_disk, in_table, slash):
    folder = tmp_path / unicodedata.normalize(on_disk, "straße é")
    folder.mkdir()
    soundfile.write(folder / "ü.wav", np.full(800, 0.1), 8_000)
    name = unicodedata.normalize(in_table, f"straße é{slash}ü.wav")
    corpus = table(tmp_path, text().replace("\ncat0.wav", f"\n{name}"), val_share=0, test_share=0)
    clip = next(clip for clip in corpus.clips("train") if "ü" in unicodedata.normalize("NFC", clip.id))
    assert len(corpus.read(clip, 8_000)) == 800


def test_a_path_that_no_system_takes_is_one_sentence(tmp_path):
    corpus = table(tmp_path, text().replace("cat0.wav", "x" * 300), val_share=0, test_share=0)
    clip = next(clip for clip in corpus.clips("train") if clip.id.startswith("xxx"))
    with pytest.raises(AudioError, match=r"xxx.*too long"):
        corpus.read(clip, 8_000)


def test_a_row_of_headerless_samples_is_one_sentence_and_the_rest_goes_on(tmp_path):
    for name, _, _ in ROWS:
        soundfile.write(tmp_path / name, np.random.default_rng(0).standard_normal(800) * 0.1, 8_000)
    (tmp_path / "x.raw").write_bytes(bytes(6400))
    report = examine(table(tmp_path, text() + "x.raw,cat,x\n"), 8_000)
    assert len(report.findings["unreadable"]) == 1 and "x.raw" in report.findings["unreadable"][0]
    assert sum(report.clips.values()) == 13
