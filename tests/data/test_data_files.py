from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from everloop.core.digest import digest
from everloop.core.errors import BadInput, Busy, NotFound
from everloop.core.ports import Place, Source
from everloop.data.sources.files import Files
from everloop.data.sources.union import collect

CELL_BYTES = 30_000_000
TABLE = pl.DataFrame({"n": [1, 2, 3], "x": [0.5, None, 2.5], "t": ["a", "b,c", None], "b": [True, False, None]})


def write(frame: pl.DataFrame, path: Path) -> None:
    match path.suffix:
        case ".csv":
            frame.write_csv(path)
        case ".tsv":
            frame.write_csv(path, separator="\t")
        case ".parquet":
            frame.write_parquet(path)
        case ".jsonl":
            frame.write_ndjson(path)
        case ".json":
            frame.write_json(path)
        case ".arrow":
            frame.write_ipc(path)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "jsonl", "json", "arrow"])
def test_each_format_gives_the_same_table_and_its_provenance(place: Place, suffix: str) -> None:
    path = place.project / f"rows.{suffix}"
    write(TABLE, path)
    extract = Files(f"rows.{suffix}").read(place)
    table = collect(extract)
    assert table.equals(TABLE)
    assert table.schema == TABLE.schema
    assert len(extract.origins) == 1
    origin = dict(extract.origins[0])
    assert origin["locator"] == path.name
    assert origin["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (origin["rows"], origin["size"], origin["mtime_ns"]) == (3, path.stat().st_size, path.stat().st_mtime_ns)


def test_a_source_has_a_canonical_form_and_is_one(place: Place) -> None:
    assert digest(Files("a.csv", time="t")) == digest(Files("a.csv", time="t")) != digest(Files("a.csv"))
    assert isinstance(Files("a.csv"), Source)
    assert Files("a.csv", missing=["?"]).missing == ("?",)  # type: ignore[arg-type]


def test_gzip_and_a_format_that_the_name_does_not_tell(place: Place) -> None:
    (place.project / "a.csv.gz").write_bytes(gzip.compress(b"a\n1\n"))
    (place.project / "export").write_bytes(b"a\n1\n")
    assert collect(Files("a.csv.gz").read(place)).equals(collect(Files("export", format="csv").read(place)))
    with pytest.raises(BadInput, match="no suffix that tells its format"):
        collect(Files("export").read(place))
    with pytest.raises(BadInput, match="Did you mean 'parquet'"):
        Files("export", format="parqet")
    (place.project / "torn.csv.gz").write_bytes(gzip.compress(b"a\n1\n")[:-6])
    with pytest.raises(BadInput, match="not a whole gzip"):
        collect(Files("torn.csv.gz").read(place))


def test_files_are_read_by_name_and_united_without_losing_a_row(place: Place) -> None:
    (place.project / "b.csv").write_text("n,x,extra\n2.5,two,e\n")
    (place.project / "a.csv").write_text("n,x\n1,1\n")
    (place.project / "c.csv").write_text("n,x,extra\n,,\n")
    (place.project / "d.csv").write_text("n,x,extra\n")
    extract = Files("*.csv").read(place)
    table = collect(extract)
    assert [origin["locator"] for origin in extract.origins] == ["a.csv", "b.csv", "c.csv", "d.csv"]
    assert table.schema == {"n": pl.Float64, "x": pl.String, "extra": pl.String}
    assert table.rows() == [(1.0, "1", None), (2.5, "two", "e"), (None, None, None)]


def test_patterns_find_what_they_say(place: Place, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "[x].csv").write_text("a\n1\n")
    assert collect(Files("**/*.csv").read(place)).height == 1
    assert collect(Files("deep/er/[x].csv").read(place)).height == 1
    assert collect(Files(str(tmp_path / "deep/er/*.csv")).read(place)).height == 1
    elsewhere = Place("l", tmp_path / "deep" / "er", tmp_path)
    assert collect(Files("../er/*.csv").read(elsewhere)).height == 1


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("hour.csv", r"Did you mean 'hours.csv'\? There: hours.csv"),
        ("dta/hours.csv", "The folder .*dta does not exist"),
        ("*.parquet", "There: hours.csv"),
    ],
)
def test_nothing_found_says_what_is_there(place: Place, pattern: str, message: str) -> None:
    (place.project / "hours.csv").write_text("a\n1\n")
    with pytest.raises(NotFound, match=message):
        collect(Files(pattern).read(place))


def test_folders_and_urls_are_answered_with_what_to_write(place: Place) -> None:
    (place.project / "data").mkdir()
    with pytest.raises(BadInput, match=r"Files\('data/\*\.csv'\)"):
        collect(Files("data").read(place))
    with pytest.raises(BadInput, match="is a URL"):
        collect(Files("s3://bucket/x.csv").read(place))


def test_a_link_out_of_the_project_is_followed_only_when_named(tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("a\n1\n")
    place = Place("l", tmp_path / "project", tmp_path)
    place.project.mkdir()
    (place.project / "in.csv").symlink_to(outside)
    with pytest.raises(BadInput, match="outside the project"):
        collect(Files("*.csv").read(place))
    assert collect(Files("../outside.csv").read(place)).height == 1


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"a,b\n", "holds no rows"),
        ("a.csv", b"", "holds no rows"),
        ("a.jsonl", b'{"a":1}\n{"a":\n', "a.jsonl, line 2 is not JSON"),
        ("a.jsonl", b"[1]\n", "a.jsonl, line 1 is a list"),
        ("a.json", b'{"a":[1],"b":[1,2]}', "equally long arrays"),
        ("a.json", b"3", "one int"),
        ("a.parquet", b"PAR1 no", "not a whole Parquet file"),
        ("a.arrow", b"ARROW", "not a whole Arrow file"),
    ],
)
def test_files_that_are_no_table(place: Place, name: str, data: bytes, message: str) -> None:
    (place.project / name).write_bytes(data)
    with pytest.raises(BadInput, match=message):
        collect(Files(name).read(place))


def test_json_of_mixed_types_keeps_every_value(place: Place) -> None:
    (place.project / "a.jsonl").write_text(
        '{"a":1,"o":{"k":1}}\n{"a":"x","l":[1,2]}\n{"a":true,"n":9223372036854775808}\n{"a":0.5,"n":1}\n'
    )
    table = collect(Files("a.jsonl").read(place))
    assert table["a"].to_list() == ["1", "x", "true", "0.5"]
    assert table["o"].to_list() == ['{"k":1}', None, None, None]
    assert table["l"].to_list() == [None, [1, 2], None, None]
    assert table["n"].to_list() == [None, None, "9223372036854775808", "1"]


@pytest.mark.parametrize(
    "text", ["2026-11-20T18:30:00Z", "2026-11-20 19:30:00+01:00", "2026-11-20 18:30", "2026-11-20T18:30:00", "2026-11-20 18:30:00.000"]
)
def test_the_time_column_is_parsed_and_rows_keep_their_order(place: Place, text: str) -> None:
    other = text.replace("2026", "2025")
    (place.project / "a.csv").write_text(f"t,n\n{text},1\n{other},2\n,3\n")
    table = collect(Files("a.csv", time="t").read(place))
    assert [None if t is None else t.replace(tzinfo=UTC) for t in table["t"]] == [
        datetime(2026, 11, 20, 18, 30, tzinfo=UTC),
        datetime(2025, 11, 20, 18, 30, tzinfo=UTC),
        None,
    ]
    assert table["n"].to_list() == [1, 2, 3]


def test_a_time_that_is_none_is_shown(place: Place) -> None:
    (place.project / "a.csv").write_text("t,n\n2026-01-01,1\nsoon,2\n")
    with pytest.raises(BadInput, match=r"'soon' in the time column 't' \(row 2\)"):
        collect(Files("a.csv", time="t").read(place))
    with pytest.raises(BadInput, match="Did you mean 't'"):
        collect(Files("a.csv", time="tt").read(place))


def test_the_stamp_changes_with_content_names_and_times_only(place: Place) -> None:
    path = place.project / "a.csv"
    path.write_text("a\n1\n")
    source = Files("*.csv")
    first = source.stamp(place)
    assert source.stamp(place) == first
    os.utime(path, ns=(1, 2))
    second = source.stamp(place)
    (place.project / "b.csv").write_text("a\n1\n")
    assert len({first, second, source.stamp(place)}) == 3


def test_a_file_that_is_never_what_it_says_is_busy(place: Place) -> None:
    """The kernel's own files have a size of 0 and content all the same."""
    with pytest.raises(Busy, match=r"uptime kept changing while it was read"):
        collect(Files("/proc/uptime", format="csv").read(place))


def test_a_file_touched_again_and_again_while_it_is_read_is_busy(place: Place) -> None:
    path = place.project / "a.csv"
    path.write_bytes(b"a\n" + b"x" * CELL_BYTES + b"\n")
    program = f"import os, itertools\nfor at in itertools.count(1):\n    os.utime({str(path)!r}, ns=(at, at))\n    at == 1 and print('begun', flush=True)"
    toucher = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert toucher.stdout is not None
        assert toucher.stdout.readline() == "begun\n"
        deadline = time.monotonic() + 20
        busy = False
        # The toucher may sleep during one whole read; not during all of them.
        while not busy and time.monotonic() < deadline:
            try:
                collect(Files("a.csv").read(place))
            except Busy as error:
                busy = "a.csv kept changing" in str(error)
        assert busy
    finally:
        toucher.kill()
        toucher.communicate()
    assert collect(Files("a.csv").read(place)).height == 1
