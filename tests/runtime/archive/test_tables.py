"""Tables in the formats that others read, by the published rules of each."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from runtime.archive.output import Output, common_folder
from runtime.archive.result import FileResult, Identity, Row, pack_rows
from runtime.archive.summary import HourSummary, draw
from runtime.archive.tables.table_file import check_output, open_table
from runtime.errors import ConfigError, TinysceneError
from runtime.spec import FrontEndSpec

FRONTEND = FrontEndSpec.preset("cp_mel")
LABELS = ("dog", "rain")
ZONE = timezone(timedelta(hours=2))


def results(root: Path = Path("/card")) -> list[FileResult]:
    """Three recordings: one with a time and zone, one that is silent, one with neither name nor zone."""
    first = [Row(0.0, 1.0, "dog", 0.75, "ok", (0.75, 0.25)), Row(1.0, 2.0, None, None, "no_signal")]
    last = [Row(0.25, 1.5, "rain", 0.123456789, "ok", (0.876543, 0.123457))]
    began = datetime(2024, 6, 1, 23, 59, 59, tzinfo=ZONE)
    return [
        FileResult(str(root / "a" / "one.wav"), Identity(1, 1), 2.0, began, pack_rows(first)),
        FileResult(
            str(root / "b.wav"), Identity(1, 1), 5.0, None, pack_rows([Row(0, 5, None, None, "no_signal")])
        ),
        FileResult(str(root / "caf\udce9, bar.wav"), Identity(1, 1), 3.0, None, pack_rows(last)),
    ]


def write(path: Path, format_name: str | None = None, labels: tuple[str, ...] = ()) -> Path:
    output = Output.of(str(path), format_name)
    check_output(output)
    with open_table(output, FRONTEND, labels, "/card") as table:
        for result in results():
            table.add(result)
    return output.table


def test_csv(tmp_path: Path) -> None:
    with write(tmp_path / "t.csv", labels=LABELS).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [
        "/card/a/one.wav", "/card/a/one.wav", "/card/b.wav", r"/card/caf\xe9, bar.wav"
    ]  # fmt: skip
    assert [row["time"] for row in rows] == ["2024-06-01T23:59:59.000", "2024-06-02T00:00:00.000", "", ""]
    assert rows[0]["utc_offset"] == "+02:00" and rows[3]["utc_offset"] == ""
    assert (rows[3]["start_s"], rows[3]["end_s"], rows[3]["probability"]) == ("0.25", "1.5", "0.123457")
    assert (rows[0]["score_dog"], rows[1]["score_dog"], rows[1]["label"]) == ("0.75", "", "")
    assert rows[1]["state"] == "no_signal"


def test_json_lines(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in write(tmp_path / "t.jsonl", labels=LABELS).read_text().splitlines()]
    assert rows[0]["scores"] == {"dog": 0.75, "rain": 0.25} and rows[1]["scores"] == {}
    assert rows[0]["time"] == "2024-06-01T23:59:59.000" and rows[2]["time"] is None
    assert "scores" not in json.loads(write(tmp_path / "u.jsonl").read_text().splitlines()[0])


def test_parquet_opens_in_pandas(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet is written by pyarrow")
    pandas = pytest.importorskip("pandas", reason="pandas reads the table")
    table = pandas.read_parquet(write(tmp_path / "t.parquet", labels=LABELS))
    assert list(table["label"].fillna("")) == ["dog", "", "", "rain"]
    assert list(table["time"].dt.hour.dropna()) == [23, 0]
    assert table["probability"].dtype == "float64" and table["score_dog"].iloc[0] == 0.75
    assert table["probability"].isna().tolist() == [False, True, True, False]
    text = pandas.read_csv(write(tmp_path / "t.csv", labels=LABELS), parse_dates=["time"])
    assert list(table.columns) == list(text.columns)
    for column in table.columns:
        both = table[column].isna() & text[column].isna()
        assert (both | (table[column] == text[column])).all(), column


def test_a_parquet_table_does_not_depend_on_how_rows_are_spread_over_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyarrow = pytest.importorskip("pyarrow.parquet", reason="Parquet is written by pyarrow")
    monkeypatch.setattr("runtime.archive.tables.parquet_table._GROUP_ROWS", 2)
    path = write(tmp_path / "t.parquet", labels=LABELS)
    assert pyarrow.ParquetFile(path).num_row_groups == 2  # four rows of three files
    assert path.read_bytes() == write(tmp_path / "u.parquet", labels=LABELS).read_bytes()


def test_the_selection_table_is_ravens(tmp_path: Path) -> None:
    """Tabs, names of columns first, selections from 1 on, times across files one after the other."""
    lines = write(tmp_path / "t.selections.txt").read_text().splitlines()
    columns = lines[0].split("\t")
    assert columns[:7] == [
        "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"
    ]  # fmt: skip
    rows = [dict(zip(columns, line.split("\t"), strict=True)) for line in lines[1:]]
    assert [row["Selection"] for row in rows] == ["1", "2"]  # without the windows that have no label
    assert {row["View"] for row in rows} == {"Spectrogram 1"} and {row["Channel"] for row in rows} == {"1"}
    assert [float(row["Begin Time (s)"]) for row in rows] == [
        0.0,
        2.25,
    ]  # one.wav has 2 s; b.wav is not opened
    assert [float(row["End Time (s)"]) for row in rows] == [1.0, 3.5]
    assert [float(row["File Offset (s)"]) for row in rows] == [0.0, 0.25]
    assert rows[0]["Begin Path"] == "/card/a/one.wav" and rows[0]["Begin File"] == "one.wav"
    assert (
        float(rows[0]["Low Freq (Hz)"]) == FRONTEND.f_min
        and float(rows[0]["High Freq (Hz)"]) == FRONTEND.f_max
    )
    assert [row["Label"] for row in rows] == ["dog", "rain"]


def test_label_tracks_are_audacitys(tmp_path: Path) -> None:
    """A text file for each recording: start, end and label, tabs between them, seconds with a point."""
    folder = write(tmp_path / "labels", "audacity")
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.txt")) == [
        "a/one.wav.txt", "b.wav.txt", "caf\udce9, bar.wav.txt"
    ]  # fmt: skip
    assert (folder / "a" / "one.wav.txt").read_text() == "0.000000\t1.000000\tdog\n"
    assert (folder / "b.wav.txt").read_text() == ""


def test_the_summary_counts_rows_by_hour_and_draws_them(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib draws")
    summary = HourSummary()
    for result in results():
        summary.add(result)
    assert summary.rows == {("dog", 23): 1, ("rain", 24): 1}
    assert (summary.seconds[23], summary.seconds[0], summary.seconds[24]) == (1.0, 1.0, 8.0)
    assert summary.labels(("rain", "hum", "dog")) == ["rain", "dog"] and summary.rate("dog", 23) == 3600
    draw(summary, LABELS, "windows", tmp_path / "t.png")
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    draw(HourSummary(), LABELS, "events", tmp_path / "empty.png")


def test_a_long_recording_is_shared_out_among_its_hours() -> None:
    summary = HourSummary()
    summary.add(FileResult("a", Identity(0, 0), 26.5 * 3600, datetime(2024, 6, 1, 22, 45), pack_rows([])))
    assert (
        summary.seconds[22] == 3600 + 900 and summary.seconds[23] == 7200 and summary.seconds[1] == 3600 + 900
    )


@pytest.mark.parametrize("path", ["", "table", "table.txt", "table.xls"])
def test_a_format_that_nothing_says_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match=r"\.csv"):
        Output.of(path)
    assert Output.of("table.txt", "raven").format == "raven"


@pytest.mark.parametrize("path", [".", "..", "/", "../.."])
def test_an_output_without_a_name_of_its_own_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="no name of its own"):
        Output.of(path, "audacity")


def test_a_folder_in_the_place_of_the_table_and_a_file_in_that_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(TinysceneError, match="is a folder"):
        check_output(Output.of(str(tmp_path / "t.csv")))
    (tmp_path / "labels").write_text("")
    with pytest.raises(TinysceneError, match="Cannot make"):
        check_output(Output.of(str(tmp_path / "labels"), "audacity"))


def test_the_common_folder_of_names(tmp_path: Path) -> None:
    for name in ("a/b", "a/c"):
        (tmp_path / name).mkdir(parents=True)
    assert common_folder([str(tmp_path / "a")]) == str(tmp_path / "a")
    assert common_folder([str(tmp_path / "a" / "b"), str(tmp_path / "a" / "c" / "x.wav")]) == str(
        tmp_path / "a"
    )
