from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from everloop.core.errors import BadInput, NotFound
from everloop.core.ports import Place, Source
from everloop.data.sources import retry
from everloop.data.sources.delta import Delta
from everloop.data.sources.union import collect
from everloop.testing.sources import LARGE_BYTES, SourceSuite

deltalake = pytest.importorskip("deltalake", reason="deltalake is not installed: pip install 'everloop[delta]'")
SECRET = "aws-s3cret-key-0815"


def read(source: Source, place: Place) -> pl.DataFrame:
    return collect(source.read(place))


def write(path: Path | str, table: pl.DataFrame, **options: Any) -> None:
    deltalake.write_deltalake(str(path), table, **options)


class TestDelta(SourceSuite):
    incremental = True

    def source(self, place: Place) -> Source:
        return Delta("rides")

    def begin(self, place: Place) -> None:
        write(place.project / "rides", pl.DataFrame({"n": [1, 2, 3], "t": ["a", "b", None], "p": ["x", "x", "y"]}), partition_by=["p"])

    def add(self, place: Place) -> None:
        count = read(self.source(place), place).height
        write(place.project / "rides", pl.DataFrame({"n": [count, count], "t": ["c", "d"], "p": ["x", "z"]}), mode="append")

    def change(self, place: Place) -> None:
        deltalake.DeltaTable(str(place.project / "rides")).update(updates={"t": "'z'"}, predicate="n = 1")

    def remove(self, place: Place) -> None:
        deltalake.DeltaTable(str(place.project / "rides")).delete("n = 2")

    def vanish(self, place: Place) -> None:
        (place.project / "rides").rename(place.project / "elsewhere")

    def enlarge(self, place: Place) -> None:
        texts = [str(at).rjust(99_999, "x") for at in range(LARGE_BYTES // 99_999 + 1)]
        write(place.project / "rides", pl.DataFrame({"n": range(len(texts)), "t": texts, "p": ["x"] * len(texts)}), mode="append")


class TestWithRowsDeletedApart(TestDelta):
    """A table whose writers may mark rows as deleted, and not rewrite the file: it is read as a whole each time."""

    incremental = False

    def begin(self, place: Place) -> None:
        table = pl.DataFrame({"n": [1, 2, 3], "t": ["a", "b", None], "p": ["x", "x", "y"]})
        write(place.project / "rides", table, partition_by=["p"], configuration={"delta.enableDeletionVectors": "true"})


def test_versions_and_times(place: Place) -> None:
    for at in range(3):
        write(place.project / "rides", pl.DataFrame({"n": [at]}), mode="append")
    assert read(Delta("rides", version=1), place)["n"].to_list() == [0, 1]
    assert read(Delta("rides"), place)["n"].to_list() == [0, 1, 2]
    times = [entry["timestamp"] for entry in deltalake.DeltaTable(str(place.project / "rides")).history()]
    last = datetime.fromtimestamp(times[0] / 1000, UTC).isoformat()
    assert read(Delta("rides", version=last), place).height == 3
    assert Delta("rides", version=1).stamp(place) != Delta("rides").stamp(place)
    with pytest.raises(NotFound, match="not there yet"):
        read(Delta("rides", version="2020-01-01"), place)
    with pytest.raises(NotFound, match="version 9 is not there"):
        read(Delta("rides", version=9), place)
    for wrong in (-1, True, "yesterday"):
        with pytest.raises(BadInput, match="version="):
            Delta("rides", version=wrong)


def test_rows_come_file_by_file_the_oldest_first(place: Place) -> None:
    for at in range(6):
        write(place.project / "rides", pl.DataFrame({"n": [at]}), mode="append")
    assert read(Delta("rides"), place)["n"].to_list() == list(range(6))


def test_a_new_column_is_null_in_old_rows(place: Place) -> None:
    write(place.project / "rides", pl.DataFrame({"n": [1]}))
    first = Delta("rides").read(place)
    collect(first)
    write(place.project / "rides", pl.DataFrame({"n": [2], "m": ["x"]}), mode="append", schema_mode="merge")
    then = Delta("rides").read(place, since=tuple(first.origins))
    assert collect(then).to_dict(as_series=False) == {"n": [2], "m": ["x"]}
    assert not then.whole
    assert read(Delta("rides"), place).to_dict(as_series=False) == {"n": [1, 2], "m": [None, "x"]}


def test_a_table_written_over_or_compacted_is_read_as_a_whole(place: Place) -> None:
    path = place.project / "rides"
    for at in range(3):
        write(path, pl.DataFrame({"n": [at]}), mode="append")
    first = Delta("rides").read(place)
    collect(first)
    table = deltalake.DeltaTable(str(path))
    table.optimize.compact()
    second = Delta("rides").read(place, since=tuple(first.origins))
    assert sorted(collect(second)["n"]) == [0, 1, 2]
    assert second.whole
    write(path, pl.DataFrame({"n": [7]}), mode="overwrite")
    third = Delta("rides").read(place, since=tuple(second.origins))
    assert collect(third)["n"].to_list() == [7]
    assert third.whole


def test_files_cleaned_up_while_they_are_read(place: Place) -> None:
    """The newest version is read instead, and a version that was asked for is said to be gone."""
    path = place.project / "rides"
    write(path, pl.DataFrame({"n": [1]}))
    newest, asked = Delta("rides").read(place), Delta("rides", version=0).read(place)
    write(path, pl.DataFrame({"n": [2]}), mode="overwrite")
    deltalake.DeltaTable(str(path)).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert collect(newest)["n"].to_list() == [2]
    with pytest.raises(NotFound, match="a file of version 0 is gone"):
        collect(asked)


def test_what_is_no_table(place: Place) -> None:
    (place.project / "empty").mkdir()
    (place.project / "t.csv").write_text("n\n1\n")
    for path in ("nowhere", "empty", "t.csv"):
        with pytest.raises(NotFound, match=rf"delta {path}.* is no Delta table"):
            read(Delta(path), place)
    with pytest.raises(BadInput, match="holds a password") as raised:
        Delta(f"https://me:{SECRET}@host/t")
    assert SECRET not in str(raised.value)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Any:
    server = pytest.importorskip("moto.server", reason="moto's server is not installed: pip install 'moto[server]'")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    address = f"http://{host}:{port}"
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(retry, "FIRST_S", 0.001)
    monkeypatch.setattr(retry, "TRIES", 2)
    httpx.put(f"{address}/delta-bucket").raise_for_status()
    yield address
    running.stop()


def test_in_a_bucket(s3: str, place: Place) -> None:
    write("s3://delta-bucket/rides", pl.DataFrame({"n": [1, 2]}))
    first = Delta("s3://delta-bucket/rides").read(place)
    assert collect(first)["n"].to_list() == [1, 2]
    assert SECRET not in repr(first.origins)
    write("s3://delta-bucket/rides", pl.DataFrame({"n": [3]}), mode="append")
    then = Delta("s3://delta-bucket/rides").read(place, since=tuple(first.origins))
    assert collect(then)["n"].to_list() == [3]
    with pytest.raises(NotFound):
        read(Delta("s3://delta-bucket/other"), place)
    httpx.post(f"{s3}/moto-api/reset-auth", content=b"0").raise_for_status()
    try:
        with pytest.raises(BadInput, match="does not let us in") as raised:
            read(Delta("s3://delta-bucket/rides"), place)
        assert SECRET not in str(raised.value)
    finally:
        httpx.post(f"{s3}/moto-api/reset-auth", content=b"inf").raise_for_status()
