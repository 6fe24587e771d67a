"""Objects in S3's own protocol, as moto's server speaks it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import obstore
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import S3Store
from web_server import serving

from everloop.core.errors import BadInput, Busy, NotFound
from everloop.core.ports import Place, Restart, Source
from everloop.data.sources import objects, remote, retry
from everloop.data.sources.objects import Objects, pattern
from everloop.data.sources.union import collect
from everloop.testing.sources import LARGE_BYTES, SourceSuite

SECRET = "aws-s3cret-key-0815"
BUCKET = "rides-of-the-city"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A loopback server that speaks S3; its address."""
    server = pytest.importorskip("moto.server", reason="moto's server is not installed: pip install 'moto[server]'")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture(autouse=True)
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    for name, value in {
        "AWS_ENDPOINT_URL": s3,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(retry, "FIRST_S", 0.001)
    monkeypatch.setattr(remote, "_PAUSE_S", 0.001)
    httpx.post(f"{s3}/moto-api/reset").raise_for_status()
    httpx.put(f"{s3}/{BUCKET}").raise_for_status()
    return S3Store(BUCKET)


def read(source: Source, place: Place) -> pl.DataFrame:
    return collect(source.read(place))


def parquet(table: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    table.write_parquet(file, row_group_size=100)
    return file.getvalue()


class TestObjects(SourceSuite):
    secret = SECRET
    incremental = True
    store: Any

    @pytest.fixture(autouse=True)
    def there(self, bucket: S3Store) -> None:
        type(self).store = bucket

    def source(self, place: Place) -> Source:
        return Objects(f"s3://{BUCKET}/data/**/*.parquet")

    def names(self, place: Place) -> list[str]:
        return [entry["path"] for page in obstore.list(self.store, prefix=place.project.parent.name) for entry in page]

    def put(self, name: str, table: pl.DataFrame) -> None:
        obstore.put(self.store, f"data/{name}.parquet", parquet(table))

    def begin(self, place: Place) -> None:
        for page in list(obstore.list(self.store)):
            obstore.delete(self.store, [entry["path"] for entry in page])
        obstore.put(self.store, "data/read.me", b"not these")
        for at in range(2):
            self.put(f"2026/{at}", pl.DataFrame({"n": [at, at + 10, at + 20], "t": ["a", "b", None]}))

    def add(self, place: Place) -> None:
        count = sum(len(page) for page in obstore.list(self.store))
        self.put(f"2027/{count:03}", pl.DataFrame({"n": [count], "t": ["c"]}))

    def change(self, place: Place) -> None:
        self.put("2026/0", pl.DataFrame({"n": [9, 10, 20], "t": ["a", "b", None]}))

    def remove(self, place: Place) -> None:
        obstore.delete(self.store, "data/2026/1.parquet")

    def vanish(self, place: Place) -> None:
        obstore.delete(self.store, [entry["path"] for page in obstore.list(self.store, prefix="data") for entry in page])

    def enlarge(self, place: Place) -> None:
        texts = [str(at).rjust(99_999, "x") for at in range(LARGE_BYTES // 99_999 + 1)]
        self.put("large", pl.DataFrame({"n": range(len(texts)), "t": texts}))


def test_one_object_and_formats(bucket: S3Store, place: Place) -> None:
    obstore.put(bucket, "a/t.csv", b"n,t\n1,a\n2,b\n")
    obstore.put(bucket, "a/t", b"n;t\n1;a\n2;b\n")
    table = pl.DataFrame({"n": [1, 2], "t": ["a", "b"]})
    assert read(Objects(f"s3://{BUCKET}/a/t.csv"), place).equals(table)
    assert read(Objects(f"s3://{BUCKET}/a/t", format="csv", separator=";"), place).equals(table)
    with pytest.raises(BadInput, match="no suffix that tells its format"):
        read(Objects(f"s3://{BUCKET}/a/t"), place)


def test_what_is_not_there_is_said_with_what_is(bucket: S3Store, place: Place) -> None:
    obstore.put(bucket, "a/t.csv", b"n\n1\n")
    with pytest.raises(NotFound, match=r"No object matches .*There: a/t.csv"):
        read(Objects(f"s3://{BUCKET}/a/*.parquet"), place)
    with pytest.raises(NotFound, match=r"a/u.csv.*There: a/t.csv"):
        read(Objects(f"s3://{BUCKET}/a/u.csv"), place)
    for key in ("a/*.csv", "a/t.csv"):
        with pytest.raises(NotFound, match="There is no bucket s3://no-such-bucket-here"):
            read(Objects(f"s3://no-such-bucket-here/{key}"), place)


def test_wrong_credentials_say_what_to_set(s3: str, bucket: S3Store, place: Place) -> None:
    obstore.put(bucket, "a/t.csv", b"n\n1\n")
    httpx.post(f"{s3}/moto-api/reset-auth", content=b"0").raise_for_status()
    try:
        for key in ("a/*.csv", "a/t.csv"):
            with pytest.raises(BadInput, match=r"does not let us in.*AWS_SECRET_ACCESS_KEY") as raised:
                read(Objects(f"s3://{BUCKET}/{key}"), place)
            assert SECRET not in str(raised.value)
        with pytest.raises(BadInput, match="InvalidAccessKeyId"):
            Objects(f"s3://{BUCKET}/a/*.csv").stamp(place)
    finally:
        httpx.post(f"{s3}/moto-api/reset-auth", content=b"inf").raise_for_status()


@pytest.mark.parametrize(
    ("said", "denied"),
    [
        ("Server returned non-2xx status code: 403 : ", True), ("status: 401, body", True), ("403 Forbidden", True), ("<Code>AccessDenied</Code>", True),
        ("GET http://127.0.0.1:1/b in 403.2ms - HTTP error: error sending request", False), ("elapsed: 401ms, retries: 1", False),
    ],
)  # fmt: skip
def test_a_duration_is_no_refusal(said: str, denied: bool) -> None:
    assert bool(objects._DENIED.search(said)) is denied


def test_nobody_at_the_endpoint(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(retry, "TRIES", 2)
    with pytest.raises(Busy, match=r"does not answer as it should .*AWS_ENDPOINT_URL \(2 tries\)"):
        read(Objects(f"s3://{BUCKET}/a/*.csv"), place)


def test_an_object_replaced_between_listing_and_reading_is_read_anew(bucket: S3Store, place: Place) -> None:
    obstore.put(bucket, "a/1.csv", b"n\n" + b"1\n" * 5)
    obstore.put(bucket, "a/2.csv", b"n\n1\n")
    batches = (extract := Objects(f"s3://{BUCKET}/a/*.csv").read(place)).batches()
    assert next(batches).height == 5
    obstore.put(bucket, "a/2.csv", b"n\n2\n")
    with pytest.raises(Restart):
        list(batches)
    assert collect(extract)["n"].to_list() == [1, 1, 1, 1, 1, 2]
    assert [origin["rows"] for origin in extract.origins] == [5, 1]


def test_a_bucket_that_keeps_versions(s3: str, bucket: S3Store, place: Place) -> None:
    """There an answer tells more of an object than a listing does."""
    enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    httpx.put(f"{s3}/{BUCKET}?versioning", content=enabled).raise_for_status()
    for at in (1, 2):
        obstore.put(bucket, "a/1.csv", b"n\n%d\n" % at)
    assert obstore.get(bucket, "a/1.csv").meta["version"]
    extract = Objects(f"s3://{BUCKET}/a/*.csv").read(place)
    assert collect(extract)["n"].to_list() == [2]
    assert not Objects(f"s3://{BUCKET}/a/*.csv").read(place, since=tuple(extract.origins)).whole


def test_an_object_that_is_gone_before_it_is_read_is_left_out(bucket: S3Store, place: Place) -> None:
    for at in (1, 2):
        obstore.put(bucket, f"a/{at}.csv", b"n\n%d\n" % at)
    batches = (extract := Objects(f"s3://{BUCKET}/a/*.csv").read(place)).batches()
    next(batches)
    obstore.delete(bucket, "a/2.csv")
    with pytest.raises(Restart):
        list(batches)
    assert collect(extract)["n"].to_list() == [1]


def test_objects_that_change_at_each_reading_are_given_up(bucket: S3Store, place: Place) -> None:
    for at in (1, 2):
        obstore.put(bucket, f"a/{at}.csv", b"n\n1\n")
    extract = Objects(f"s3://{BUCKET}/a/*.csv").read(place)
    for at in range(remote._TRIES):
        batches = extract.batches()
        next(batches)
        obstore.put(bucket, "a/2.csv", b"n\n%d\n" % (at + 7))
        with pytest.raises(Restart if at + 1 < remote._TRIES else Busy):
            list(batches)


@pytest.mark.parametrize("code", ["ExpiredToken", "SignatureDoesNotMatch", "AccessDenied"])
def test_credentials_that_expired_are_said_to_have(code: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    body = f"<Error><Code>{code}</Code><Message>of {SECRET}</Message></Error>".encode()
    with serving() as web:
        monkeypatch.setenv("AWS_ENDPOINT_URL", web.address)
        for ask in (Objects(f"s3://{BUCKET}/a/*.csv").stamp, lambda place: read(Objects(f"s3://{BUCKET}/a/*.csv"), place)):
            web.plans = [lambda handler: handler.answer(400 if code == "ExpiredToken" else 403, body)]
            with pytest.raises(BadInput, match=rf"does not let us in \({code}\)") as raised:
                ask(place)
            assert SECRET not in str(raised.value)
            assert ("They have expired" in str(raised.value)) is (code == "ExpiredToken")


def test_a_body_cut_short_is_fetched_again_and_never_a_table(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = b"n\n" + b"1\n" * 100_000
    with serving() as web:
        monkeypatch.setenv("AWS_ENDPOINT_URL", web.address)
        web.extra = {"Last-Modified": "Wed, 25 Nov 2026 12:00:00 GMT"}
        web.ranges = False
        web.put(f"/{BUCKET}/t.csv", rows)
        headers = {"ETag": '"1"', **web.extra}
        web.plans = [lambda handler: handler.answer(200, rows, headers, only=70_000)]
        assert read(Objects(f"s3://{BUCKET}/t.csv"), place).height == 100_000
        monkeypatch.setattr(retry, "TRIES", 2)
        web.plans = [lambda handler: handler.answer(200, rows, headers, only=70_000)] * 50
        with pytest.raises(Busy, match=r"does not answer as it should"):
            read(Objects(f"s3://{BUCKET}/t.csv"), place)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("data/*.csv", "s3://, gs:// and az://"),
        ("https://host/t.csv", r"Http\(…\)"),
        ("file:///t.csv", r"Files\(…\)"),
        ("s3://bucket", "is a folder"),
        ("s3://bucket/rides/", r"s3://bucket/rides/\*.parquet"),
        ("s3:///rides/*.csv", "names no bucket"),
        (f"s3://AKID:{SECRET}@bucket/t.csv", "Credentials come from the environment"),
        (f"az://c/t.csv?sig={SECRET}", "Credentials come from the environment"),
        ("s3://bucket/../other/t.csv", "no '..'"),
    ],
)
def test_what_is_not_a_pattern(url: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as raised:
        Objects(url)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "names"), [("gs://bucket/t.csv", "GOOGLE_SERVICE_ACCOUNT"), ("az://c/t.csv", "AZURE_STORAGE_ACCOUNT_NAME")]
)
def test_other_stores_say_what_to_set(url: str, names: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_ACCOUNT_NAME"):
        monkeypatch.delenv(name, raising=False)
    if url.startswith("gs"):
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", "/no/such/key.json")
    with pytest.raises(BadInput, match=names):
        read(Objects(url), place)


_NAMES = st.lists(st.text("ab.", min_size=1, max_size=3).filter(lambda name: set(name) != {"."}), min_size=1, max_size=3).map("/".join)
_PARTS = (
    st.lists(st.sampled_from(["*", "?", "a", "b", ".", "[ab]", "a*"]), min_size=1, max_size=3)
    .map("".join)
    .filter(
        # A store has no folders to go up from.
        lambda part: set(part) != {"."}
    )
)
_PATTERNS = st.lists(st.one_of(_PARTS, st.just("**")), min_size=0, max_size=2).flatmap(
    lambda folders: _PARTS.map(lambda last: "/".join([*folders, last]))
)


@settings(max_examples=60, deadline=None)
@given(text=_PATTERNS, names=st.sets(_NAMES, max_size=8))
def test_a_pattern_means_what_it_means_for_files(text: str, names: set[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """As Python's glob, which local files are found by, but for its hidden files."""
    import glob

    folder: Path = tmp_path_factory.mktemp("glob")
    names = {name for name in names if not any(part.startswith(".") for part in name.split("/"))}
    put = set[str]()
    for name in sorted(names):
        path = folder / name
        if any(parent.is_file() for parent in path.parents) or path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        put.add(name)
    expected = {name for name in glob.glob(text, root_dir=folder, recursive=True) if (folder / name).is_file()}
    match = pattern(text)
    assert {name for name in put if match.fullmatch(name)} == expected
