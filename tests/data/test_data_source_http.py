from __future__ import annotations

import gzip
import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from web_server import Web, serving

from everloop.core.errors import BadInput, Busy, NotFound
from everloop.core.ports import Place, Source
from everloop.data.sources import retry
from everloop.data.sources.exchange import retry_after_s
from everloop.data.sources.http import Http
from everloop.data.sources.union import collect
from everloop.testing.sources import LARGE_BYTES, SourceSuite

TOKEN = "tok-5up3r-s3cret-4711"


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_S", 0.001)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as running:
        yield running


def read(source: Source, place: Place) -> pl.DataFrame:
    return collect(source.read(place))


class TestHttp(SourceSuite):
    secret = TOKEN
    web: Web

    @pytest.fixture(autouse=True)
    def server(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setenv("FEED_TOKEN", TOKEN)
        with serving() as type(self).web:
            yield

    def source(self, place: Place) -> Source:
        return Http(self.web.url("/t.csv"), headers={"Authorization": "Bearer env:FEED_TOKEN"}, timeout_s=5)

    def begin(self, place: Place) -> None:
        self.web.token = TOKEN
        self.web.put("/t.csv", b"n,t\n1,a\n2,b\n")

    def add(self, place: Place) -> None:
        self.web.put("/t.csv", self.web.files["/t.csv"] + b"3,c\n")

    def change(self, place: Place) -> None:
        self.web.put("/t.csv", self.web.files["/t.csv"].replace(b"1,a", b"7,a"))

    def remove(self, place: Place) -> None:
        self.web.put("/t.csv", self.web.files["/t.csv"].replace(b"2,b\n", b""))

    def vanish(self, place: Place) -> None:
        del self.web.files["/t.csv"]

    def enlarge(self, place: Place) -> None:
        rows = "".join(f"{at},{str(at).rjust(99_999, 'x')}\n" for at in range(LARGE_BYTES // 99_999 + 1))
        self.web.put("/t.csv", b"n,t\n" + rows.encode())

    def bytes_served(self) -> int:
        return self.web.sent


class TestWithoutMarks(TestHttp):
    """A server that tells nothing of a file but the file, and knows no HEAD."""

    def begin(self, place: Place) -> None:
        self.web.etags = self.web.heads = False
        super().begin(place)

    def test_its_stamp_stays_while_nothing_changes(self, tmp_path: Path) -> None:
        pytest.skip("nobody can tell whether something is new")

    def test_its_stamp_reads_no_rows(self, tmp_path: Path) -> None:
        pytest.skip("a server that knows no HEAD begins to send")


class TestBehindSignedUrl(TestHttp):
    """The whole URL is a secret, as one with a signature in its query is."""

    secret = "sig-9f8e7d6c5b4a"

    @pytest.fixture(autouse=True)
    def signed(self, server: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FEED_URL", self.web.url(f"/t.csv?X-Amz-Signature={self.secret}"))

    def source(self, place: Place) -> Source:
        return Http("env:FEED_URL", timeout_s=5)

    def begin(self, place: Place) -> None:
        self.web.put("/t.csv", b"n,t\n1,a\n2,b\n")


def test_formats_are_told_by_the_url_or_the_answer_or_the_user(web: Web, place: Place) -> None:
    table = pl.DataFrame({"n": [1, 2], "t": ["a", "b"]})
    parquet = io.BytesIO()
    table.write_parquet(parquet)
    web.put("/t.parquet", parquet.getvalue())
    web.put("/rows", b'{"n": 1, "t": "a"}\n{"n": 2, "t": "b"}\n')
    web.types["/rows"] = "application/x-ndjson; charset=utf-8"
    web.put("/plain", b"n;t\n1;a\n2;b\n")
    web.put("/t.csv.gz", gzip.compress(b"n,t\n1,a\n2,b\n"))
    for source in (
        Http(web.url("/t.parquet")),
        Http(web.url("/rows")),
        Http(web.url("/plain"), format="csv"),
        Http(web.url("/t.csv.gz?v=2")),
    ):
        assert read(source, place).equals(table)
    with pytest.raises(BadInput, match=r"tells the format.*format='csv'"):
        read(Http(web.url("/plain")), place)


def test_a_column_of_two_types_is_fetched_once(web: Web, place: Place) -> None:
    """The types are known at the end; what was fetched is read again then, not fetched again."""
    web.put("/t.csv", b"n\n" + b"1000000\n" * 1_200_000 + b"x\n")
    found = read(Http(web.url("/t.csv")), place)
    assert found.dtypes == [pl.String]
    assert found.height == 1_200_001
    assert len(web.gets()) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408])
def test_a_busy_server_is_asked_again(status: int, web: Web, place: Place) -> None:
    web.put("/t.csv", b"n\n1\n")
    web.plans = [lambda handler: handler.answer(status)] * 2
    assert read(Http(web.url("/t.csv")), place).height == 1
    web.plans = [lambda handler: handler.answer(status)] * retry.TRIES
    with pytest.raises(Busy, match=rf"/t.csv answers {status} .*\(5 tries\)"):
        read(Http(web.url("/t.csv")), place)
    assert not web.plans


def test_who_wants_to_be_left_alone_is(web: Web, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", pauses.append)
    web.put("/t.csv", b"n\n1\n")
    web.plans = [lambda handler: handler.answer(429, headers={"Retry-After": "7"})]
    assert read(Http(web.url("/t.csv")), place).height == 1
    assert pauses == [7.0]
    web.plans = [lambda handler: handler.answer(503, headers={"Retry-After": "3600"})]
    with pytest.raises(Busy, match=r"wants to be left alone for 3,600 s"):
        read(Http(web.url("/t.csv")), place)
    assert pauses == [7.0]


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after_s("120", now=0) == 120
    assert retry_after_s("Wed, 25 Nov 2026 12:00:00 GMT", now=1795608000 - 60) == pytest.approx(60)
    assert retry_after_s("Wed, 25 Nov 2020 12:00:00 GMT", now=1795608000) == 0
    assert retry_after_s("soon", now=0) is None


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [(401, BadInput, "does not let us in"), (403, BadInput, "FEED_TOKEN"), (404, NotFound, "there is nothing"), (410, NotFound, "410"), (418, BadInput, "Expected 200")],
)  # fmt: skip
def test_refusals_are_sentences(
    status: int, error: type[Exception], said: str, web: Web, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEED_TOKEN", TOKEN)
    web.plans = [lambda handler: handler.answer(status)]
    with pytest.raises(error, match=said):
        read(Http(web.url("/t.csv"), headers={"X-Token": "env:FEED_TOKEN"}), place)
    assert len(web.seen) == 1


def test_a_broken_line_is_taken_up_where_it_broke(web: Web, place: Place) -> None:
    data = b"n\n" + b"".join(b"%d\n" % at for at in range(100_000))
    web.put("/t.csv", data)
    half = {"ETag": '"1"', "Accept-Ranges": "bytes"}
    web.plans = [lambda handler: handler.answer(200, data, half, only=300_000)]
    assert read(Http(web.url("/t.csv")), place)["n"].to_list() == list(range(100_000))
    assert web.gets()[1]["range"] == "bytes=300000-"


def test_a_file_that_changed_meanwhile_is_begun_anew(web: Web, place: Place) -> None:
    old = b"n\n" + b"1\n" * 300_000
    web.put("/t.csv", b"n\n" + b"2\n" * 300_000)
    web.plans = [lambda handler: handler.answer(200, old, {"ETag": '"0"', "Accept-Ranges": "bytes"}, only=300_000)]
    found = read(Http(web.url("/t.csv")), place)
    assert found["n"].unique().to_list() == [2]
    assert found.height == 300_000


@pytest.mark.parametrize("only", [0, 5, 11])
def test_a_body_that_is_cut_short_is_never_a_table(only: int, web: Web, place: Place) -> None:
    web.plans = [lambda handler: handler.answer(200, b"n,t\n1,a\n2,b\n", only=only)] * retry.TRIES
    with pytest.raises(Busy, match="connection broke before all was there"):
        read(Http(web.url("/t.csv")), place)


def test_a_chunked_body_without_its_end_is_never_a_table(web: Web, place: Place) -> None:
    def chunked(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"c\r\nn,t\n1,a\n2,b\n\r\n")
        handler.wfile.flush()
        handler.close_connection = True

    web.plans = [chunked] * retry.TRIES
    with pytest.raises(Busy, match="connection broke"):
        read(Http(web.url("/t.csv")), place)


def test_a_silent_server_is_given_up(place: Place) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with pytest.raises(Busy, match=r"did not answer for 0.05 s \(5 tries\)"):
            read(Http(f"http://127.0.0.1:{server.getsockname()[1]}/t.csv", timeout_s=0.05), place)


def test_a_server_killed_in_the_middle_is_given_up(place: Place) -> None:
    """Its port is closed while it sends."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    port = server.getsockname()[1]

    def begin_and_die() -> None:
        connection, _ = server.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nn\n1\n")
        server.close()
        connection.close()

    thread = threading.Thread(target=begin_and_die)
    thread.start()
    with pytest.raises(Busy, match=r"no server answers at 127.0.0.1"):
        read(Http(f"http://127.0.0.1:{port}/t.csv"), place)
    thread.join()


def test_what_is_too_large_is_not_fetched(web: Web, place: Place) -> None:
    web.put("/t.csv", b"n\n" + b"1\n" * 1_000_000)
    with pytest.raises(BadInput, match=r"more than 1 MB.*max_mb"):
        read(Http(web.url("/t.csv"), max_mb=1), place)
    endless = threading.Event()

    def flood(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while not endless.is_set():
                handler.wfile.write(b"1\n" * 100_000)
        except OSError:
            pass
        handler.close_connection = True

    web.plans = [flood]
    with pytest.raises(BadInput, match="more than 1 MB"):
        read(Http(web.url("/t.csv"), max_mb=1), place)
    endless.set()


def test_credentials_stay_with_their_host(web: Web, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEED_TOKEN", TOKEN)
    with serving() as other:
        other.put("/t.csv", b"n\n1\n")
        web.plans = [
            lambda handler: handler.answer(302, headers={"Location": "/again.csv"}),
            lambda handler: handler.answer(307, headers={"Location": other.url("/t.csv")}),
        ]
        found = read(Http(web.url("/t.csv"), headers={"Authorization": "Bearer env:FEED_TOKEN", "X-Key": "env:FEED_TOKEN"}), place)
        assert found.height == 1
        assert [TOKEN in str(headers) for _, _, headers in web.seen] == [True, True]
        assert [TOKEN in str(headers) for _, _, headers in other.seen] == [False]


def test_a_password_in_the_environments_url_stays_with_its_host(web: Web, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEED_URL", web.address.replace("http://", f"http://me:{TOKEN}@") + "/t.csv")
    with serving() as other:
        other.put("/t.csv", b"n\n1\n")
        web.plans = [lambda handler: handler.answer(302, headers={"Location": other.url("/t.csv")})]
        assert read(Http("env:FEED_URL"), place).height == 1
        assert web.seen[0][2]["authorization"].startswith("Basic ")
        assert "authorization" not in other.seen[0][2]


def test_redirects_are_few_and_lead_to_servers(web: Web, place: Place) -> None:
    web.plans = [lambda handler: handler.answer(302, headers={"Location": "/t.csv"})] * 10
    with pytest.raises(BadInput, match="redirects more than 5 times"):
        read(Http(web.url("/t.csv")), place)
    web.plans = [lambda handler: handler.answer(302, headers={"Location": "file:///etc/passwd"})]
    with pytest.raises(BadInput, match=r"redirects from http:// to file://"):
        read(Http(web.url("/t.csv")), place)


def test_a_web_page_is_no_table(web: Web, place: Place) -> None:
    web.put("/t.csv", b"\n<!doctype html><title>Log in</title>")
    web.types["/t.csv"] = "text/html; charset=utf-8"
    with pytest.raises(BadInput, match="web page"):
        read(Http(web.url("/t.csv")), place)
    web.put("/t.csv", b"n\n1\n")
    assert read(Http(web.url("/t.csv")), place).height == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///etc/passwd", r"Files\(…\)"),
        ("ftp://host/t.csv", "not ftp"),
        ("s3://bucket/t.csv", r"Objects\(…\)"),
        ("t.csv", "not this"),
        (f"https://me:{TOKEN}@host/t.csv", "holds a password"),
        (f"https://host/t.csv?api_key={TOKEN}", "the value of api_key"),
        (f"https://host/t.csv?X-Amz-Signature={TOKEN}", "X-Amz-Signature"),
    ],
)
def test_what_is_not_asked(url: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as raised:
        Http(url)
    assert TOKEN not in str(raised.value)


def test_a_header_that_opens_doors_is_named_not_written(place: Place) -> None:
    with pytest.raises(BadInput, match="Authorization holds what opens doors") as raised:
        Http("https://host/t.csv", headers={"Authorization": f"Bearer {TOKEN}"})
    assert TOKEN not in str(raised.value)
    with pytest.raises(NotFound, match="NO_SUCH_TOKEN is not set"):
        read(Http("http://127.0.0.1:1/t.csv", headers={"Authorization": "env:NO_SUCH_TOKEN"}), place)


def test_nobody_at_the_port(place: Place) -> None:
    with pytest.raises(Busy, match=r"no server answers at 127.0.0.1 .*\(5 tries\)"):
        Http("http://127.0.0.1:1/t.csv").stamp(place)


def test_a_time_column_and_bad_rows_are_told_by_the_url(web: Web, place: Place) -> None:
    web.put("/t.csv", b"n,at\n1,2026-01-01\n2,2026-01-02\n")
    assert read(Http(web.url("/t.csv"), time="at"), place).dtypes == [pl.Int64, pl.Datetime("us")]
    with pytest.raises(BadInput, match=r"Time column 'when'"):
        read(Http(web.url("/t.csv"), time="when"), place)
    web.put("/t.csv", b"n,t\n1,a\n2\n")
    with pytest.raises(BadInput, match=r"/t.csv.*line 3"):
        read(Http(web.url("/t.csv")), place)
    web.put("/t.csv", b"n,t\n")
    with pytest.raises(BadInput, match="holds no rows"):
        read(Http(web.url("/t.csv")), place)
