"""Parquet, Arrow and Excel."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from everloop.core.errors import BadInput
from everloop.core.ports import Place
from everloop.data.sources import columnar
from everloop.data.sources.files import Files
from everloop.data.sources.union import collect

KINDS = pl.DataFrame(
    {
        "i": [1, None, -(2**63)],
        "u": pl.Series([2**64 - 1, 0, None], dtype=pl.UInt64),
        "f": [0.5, float("nan"), None],
        "b": [True, None, False],
        "t": ["a", "", None],
        "c": pl.Series(["x", "y", "x"], dtype=pl.Categorical),
        "d": [dt.date(2026, 1, 2), None, dt.date(1, 1, 1)],
        "z": pl.Series([dt.datetime(2026, 1, 2, 3, 4, 5, 6), None, None], dtype=pl.Datetime("us", "Europe/Rome")),
        "l": [[1, 2], None, []],
        "s": [{"k": 1, "v": "x"}, {"k": None, "v": None}, {"k": 2, "v": "y"}],
        "y": [b"\x00\xff", None, b""],
        "n": pl.Series([None, None, None], dtype=pl.Null),
    }
)


@pytest.mark.parametrize("write", ["parquet", "arrow", "stream", "feather", "pyarrow"])
def test_every_kind_of_column_is_the_same_from_each_format(place: Place, write: str) -> None:
    from everloop.data.kinds import normalise

    path = place.project / "a.parquet"
    match write:
        case "parquet":
            KINDS.write_parquet(path)
        case "arrow":
            KINDS.write_ipc(path := path.with_suffix(".arrow"))
        case "stream":
            KINDS.write_ipc_stream(path := path.with_suffix(".arrows"))
        case "feather":
            pyarrow.feather.write_feather(KINDS.to_arrow(), path := path.with_suffix(".feather"))
        case _:
            pq.write_table(KINDS.to_arrow(), path)
    found = collect(Files(path.name).read(place))
    wanted = normalise(KINDS)
    assert found.schema == wanted.schema
    assert found.equals(wanted)


@pytest.mark.parametrize("format", ["parquet", "arrow", "stream"])
def test_batches_are_bounded_and_make_the_whole(tmp_path: Path, format: str) -> None:
    table = pl.DataFrame({"n": range(20_000), "t": [f"text {at}" * 5 for at in range(20_000)]})
    data = io.BytesIO()
    if format == "parquet":
        table.write_parquet(data, row_group_size=7_000)
    elif format == "arrow":
        table.write_ipc(data)
    else:
        table.write_ipc_stream(data)
    data.seek(0)
    read = columnar.parquet if format == "parquet" else columnar.arrow
    batches = list(read(data, name="a", batch_bytes=100_000))
    assert len(batches) > 5
    assert max(int(batch.estimated_size()) for batch in batches) < 300_000
    assert pl.concat(batches).equals(table)


def test_files_without_rows_have_columns(place: Place) -> None:
    KINDS.clear().write_parquet(place.project / "a.parquet")
    KINDS.clear().write_ipc(place.project / "b.arrow")
    (place.project / "c.csv").write_text("i\n7\n")
    for name in ("a.parquet", "b.arrow"):
        with pytest.raises(BadInput, match="holds no rows"):
            collect(Files(name).read(place))
    assert collect(Files("*").read(place)).rows() == [(7,)]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.arrows", "a.xlsx"])
@pytest.mark.parametrize("data", [b"", b"PAR1", b"ARROW1\0\0", b"PK\x03\x04 no", b"x" * 100])
def test_what_is_no_such_file(place: Place, name: str, data: bytes) -> None:
    (place.project / name).write_bytes(data)
    with pytest.raises(BadInput, match=rf"{name} is not a whole (Parquet|Arrow|zip|workbook)|holds no rows"):
        collect(Files(name).read(place))


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_half_of_a_file(place: Place, suffix: str) -> None:
    path = place.project / f"a.{suffix}"
    pl.DataFrame({"a": range(1000)}).write_parquet(path) if suffix == "parquet" else pl.DataFrame({"a": range(1000)}).write_ipc(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadInput, match="not a whole"):
        collect(Files(path.name).read(place))


def test_two_columns_of_one_name(place: Place) -> None:
    table = pa.table([[1], [2]], names=["a", "a"])
    pq.write_table(table, place.project / "a.parquet")
    pyarrow.feather.write_feather(table, place.project / "a.feather")
    for name in ("a.parquet", "a.feather"):
        with pytest.raises(BadInput, match=f"{name}: several columns are named 'a'"):
            collect(Files(name).read(place))


def workbook(path: Path, *sheets: list[list[Any]]) -> None:
    book = openpyxl.Workbook()
    book.remove(book.active)  # type: ignore[arg-type]
    for at, rows in enumerate(sheets, 1):
        sheet = book.create_sheet(f"sheet {at}")
        for row in rows:
            sheet.append(row)
    book.save(path)


def test_a_sheet_is_read_by_its_cells_types(place: Place) -> None:
    workbook(
        place.project / "a.xlsx",
        [
            [],
            ["n", "x", "t", "b", "d", "mixed", "id", None],
            [1, 0.5, "a", True, dt.datetime(2026, 1, 2, 3, 4), 1, "007", None],
            [None, 3, None, False, dt.datetime(2026, 1, 3), "x", "8", None],
            [3, 1e20, "c", None, None, 2.5, "9", None],
        ],
        [["k"], [7]],
    )
    extract = Files("a.xlsx").read(place)
    table = collect(extract)
    assert table.to_dict(as_series=False) == {
        "n": [1, None, 3],
        "x": [0.5, 3.0, 1e20],
        "t": ["a", None, "c"],
        "b": [True, False, None],
        "d": [dt.datetime(2026, 1, 2, 3, 4), dt.datetime(2026, 1, 3), None],
        "mixed": ["1", "x", "2.5"],
        "id": ["007", "8", "9"],
    }
    assert table.schema["n"] == pl.Int64
    assert extract.origins[0]["rows"] == 3
    assert collect(Files("a.xlsx", sheet=2).read(place)).rows() == [(7,)]
    assert collect(Files("a.xlsx", sheet="sheet 2").read(place)).rows() == [(7,)]
    assert collect(Files("a.xlsx", sheet=2, columns=("c",)).read(place)).rows() == [("k",), ("7",)]
    with pytest.raises(BadInput, match="Did you mean 'sheet 2'"):
        collect(Files("a.xlsx", sheet="sheet2").read(place))
    with pytest.raises(BadInput, match=r"a.xlsx has 2 sheets \('sheet 1', 'sheet 2'\), none with the number 3"):
        collect(Files("a.xlsx", sheet=3).read(place))


def test_headers_of_a_sheet(place: Place) -> None:
    workbook(place.project / "twice.xlsx", [["a", "a"], [1, 2]])
    with pytest.raises(BadInput, match="several columns are named 'a'"):
        collect(Files("twice.xlsx").read(place))
    workbook(place.project / "blank.xlsx", [["a", None], [1, 2]])
    assert collect(Files("blank.xlsx").read(place)).columns == ["a", "column_2"]
    workbook(place.project / "empty.xlsx", [])
    with pytest.raises(BadInput, match="holds no rows"):
        collect(Files("empty.xlsx").read(place))


def test_a_workbook_made_to_fill_a_memory(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from everloop.data.sources import excel

    monkeypatch.setattr(excel, "_FREE_BYTES", 1_000_000)
    workbook(place.project / "a.xlsx", [["a"], [1]])
    with zipfile.ZipFile(place.project / "a.xlsx", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/bomb.xml", bytes(30_000_000))
    with pytest.raises(BadInput, match="made to fill a memory"):
        collect(Files("a.xlsx").read(place))
