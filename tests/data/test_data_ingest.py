from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from given import Given

from everloop.core.errors import BadInput, Broken
from everloop.core.ports import Place
from everloop.core.tables import Column
from everloop.data.ingest import columns_of, take
from everloop.data.kinds import normalise
from everloop.data.sources.files import Files
from everloop.store import snapshots
from everloop.store.workspace import Workspace


def test_equal_data_is_one_snapshot_whatever_the_file_format(workspace: Workspace, place: Place) -> None:
    frame = pl.DataFrame({"n": [1, 2], "t": ["a", None]})
    frame.write_csv(place.project / "a.csv")
    frame.with_columns(pl.col("n").cast(pl.Int16), pl.col("t").cast(pl.Categorical)).write_parquet(place.project / "a.parquet")
    first = take(Files("a.csv"), dataset="d", place=place)
    again = take(Files("a.csv"), dataset="d", place=place)
    other = take(Files("a.parquet"), dataset="d", place=place)
    assert first == again
    assert first.id == other.id
    assert first.columns == (Column("n", "int"), Column("t", "text"))
    assert snapshots.load(workspace.blobs, first).equals(frame)
    assert take(Files("a.csv"), dataset="e", place=place).id != first.id


@pytest.mark.parametrize("change", ["a,b\n1,3\n", "a,c\n1,2\n", "a,b\n1,2\n1,2\n", "b,a\n2,1\n", "a,b\n1,2.0\n"])
def test_any_change_of_the_table_is_another_snapshot(workspace: Workspace, place: Place, change: str) -> None:
    path = place.project / "a.csv"
    path.write_text("a,b\n1,2\n")
    before = take(Files("a.csv"), dataset="d", place=place)
    path.write_text(change)
    assert take(Files("a.csv"), dataset="d", place=place).id != before.id


def test_every_type_has_a_kind_and_one_width() -> None:
    frame = pl.DataFrame(
        {
            "i": pl.Series([1], dtype=pl.Int8),
            "u": pl.Series([2**63], dtype=pl.UInt64),
            "h": pl.Series([2**70], dtype=pl.Int128),
            "f": pl.Series([0.5], dtype=pl.Float32),
            "c": pl.Series([Decimal("1.25")]),
            "b": [True],
            "s": ["x"],
            "e": pl.Series(["x"], dtype=pl.Enum(["x"])),
            "d": [date(2026, 1, 1)],
            "t": pl.Series([datetime(2026, 1, 1, 12)]).dt.replace_time_zone("Europe/Vienna").dt.cast_time_unit("ms"),
            "g": [timedelta(seconds=90)],
            "y": [b"\x00"],
            "l": [[1, 2]],
            "o": [{"k": 1}],
            "z": [None],
        }
    )
    table = normalise(frame)
    kinds = [column.kind for column in columns_of(table)]
    assert kinds == [
        "int",
        "int",
        "text",
        "float",
        "float",
        "bool",
        "text",
        "text",
        "time",
        "time",
        "float",
        "bytes",
        "list",
        "text",
        "text",
    ]
    assert table.row(0)[2:5] == (str(2**70), 0.5, 1.25)
    assert table["t"][0].isoformat() == "2026-01-01T11:00:00+00:00"
    assert table["g"][0] == 90.0
    assert table["o"][0] == '{"k":1}'
    assert normalise(table).equals(table)


@pytest.mark.parametrize("table", [pl.DataFrame(), pl.DataFrame({"a": []})])
def test_a_source_without_rows_is_refused(workspace: Workspace, place: Place, table: pl.DataFrame) -> None:
    with pytest.raises(BadInput, match=r"'d' \(given\) has no rows"):
        take(Given(table), dataset="d", place=place)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_table_larger_than_the_disk_is_refused_before_writing(workspace: Workspace, place: Place, small_disk: Path) -> None:
    from everloop.store.workspace import using

    table = pl.DataFrame({"a": range(100_000)})
    with Workspace(place.project, blobs=str(small_disk)) as full, using(full), pytest.raises(Broken, match="No snapshot was made"):
        take(Given(table), dataset="d", place=place)
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []
