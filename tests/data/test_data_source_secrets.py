"""Passwords, tokens and keys of a real project: nothing that it keeps, prints or logs has them."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from obstore import put
from obstore.store import S3Store
from web_server import Web, serving

from everloop.core.errors import BadInput, NotFound
from everloop.data.sources.secrets import is_secret, refuse_secret, resolved, scrubbed, secrets_of

TOKEN, SIGNATURE, KEY, PASSWORD = "tok-5up3r/s3cret+4711", "sig-9f8e7d6c5b4a", "aws-s3cret-key-0815", "p@ss w0rd/of:pg"

LOOP = """
from sklearn.linear_model import LogisticRegression
from everloop import Http, Loop, Objects, Sql, gates

loop = Loop(
    "cells",
    source=Http("{web}/rows.csv", headers={{"Authorization": "Bearer env:FEED_TOKEN"}}, timeout_s=5)
    + Http("env:FEED_URL", timeout_s=5)
    + Objects("s3://cells-bucket/*.csv"){sql},
    target="kind",
    model=LogisticRegression(max_iter=200),
    metrics=["accuracy"],
    gates=[gates.at_least("accuracy", 0.2)],
)
"""


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as running:
        yield running


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = pytest.importorskip("moto.server", reason="moto's server is not installed: pip install 'moto[server]'")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": KEY,
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def warehouse(monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine | None]:
    """A role that logs in with a password, where there is a server."""
    server = os.environ.get("EVERLOOP_TEST_POSTGRES")
    if not server:
        yield None
        return
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"create role secretive login password '{PASSWORD}'")
    url = sa.make_url(server).set(drivername="postgresql", username="secretive")
    monkeypatch.setenv("WAREHOUSE_URL", str(url).replace("secretive", f"secretive:{quote(PASSWORD, safe='')}"))
    yield engine
    with engine.connect() as connection:
        connection.exec_driver_sql("drop role secretive")
    engine.dispose()


def csv(start: int) -> bytes:
    rows = [f"{at % 7},{at % 3},{'ab'[at % 2]}" for at in range(start, start + 120)]
    return ("size,shape,kind\n" + "\n".join(rows) + "\n").encode()


def test_no_secret_is_kept_printed_or_logged(
    web: Web, s3: str, warehouse: sa.Engine | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEED_TOKEN", TOKEN)
    monkeypatch.setenv("FEED_URL", web.url(f"/signed.csv?X-Amz-Signature={SIGNATURE}"))
    web.put("/rows.csv", csv(0))
    web.put("/signed.csv", csv(120))
    httpx.put(f"{s3}/cells-bucket").raise_for_status()
    put(S3Store("cells-bucket"), "a.csv", csv(240))
    sql = '\n    + Sql("select i % 7 as size, i % 3 as shape, chr(97 + i % 2) as kind from generate_series(1, 120) i", url="env:WAREHOUSE_URL")'
    (tmp_path / "loop.py").write_text(LOOP.format(web=web.address, sql=sql if warehouse is not None else ""))
    shown = ""

    def everloop(*words: str) -> int:
        nonlocal shown
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-m", "everloop", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        shown += f"$ {' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.returncode

    assert everloop("run") == 0, shown
    for words in (
        ["explain", "ingest"],
        ["explain", "ingest", "--json"],
        ["runs", "--json"],
        ["data", "history", "cells", "--json"],
        ["data", "show", "cells"],
    ):
        everloop(*words)
    assert "env:FEED_URL" in shown
    # And what is said when they are wrong.
    web.put("/rows.csv", csv(1))
    web.plans = [lambda handler: handler.answer(401)] * 2
    assert everloop("data", "take") != 0, shown
    del web.files["/signed.csv"]
    assert everloop("run") != 0, shown
    httpx.post(f"{s3}/moto-api/reset-auth", content=b"0").raise_for_status()
    web.put("/signed.csv", csv(120))
    assert everloop("run") != 0, shown
    httpx.post(f"{s3}/moto-api/reset-auth", content=b"inf").raise_for_status()

    secrets = [TOKEN, SIGNATURE, KEY, PASSWORD]
    forms = [
        form for secret in secrets for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("="))
    ]
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(file.suffix == ".db" for file in files)
    for form in forms:
        assert form not in shown
        assert [str(file) for file in files if form.encode() in file.read_bytes()] == []


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "X-Api-Key",
        "Authorization",
        "api_key",
        "sasl.password".rpartition(".")[2],
        "sig",
        "X-Amz-Signature",
        "AWSSecretKey",
        "cookie",
        "client_secret",
    ],
)
def test_names_that_open_doors(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["Accept", "page", "sslmode", "user", "monkey", "design", "options", "version", "format", "X-Request-Id"])
def test_names_that_do_not(name: str) -> None:
    assert not is_secret(name)


def test_the_environment_is_asked_when_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "x")
    assert resolved("Bearer env:A_TOKEN", of="it") == "Bearer x"
    monkeypatch.delenv("A_TOKEN")
    with pytest.raises(NotFound, match="it takes env:A_TOKEN from the environment, where A_TOKEN is not set"):
        resolved("Bearer env:A_TOKEN", of="it")


_WORDS = st.text("abcXYZ019-_.~@:/ %+&=?#", min_size=4, max_size=20)


@given(password=_WORDS, token=_WORDS)
def test_whatever_a_library_says_of_a_url_is_blacked_out(password: str, token: str) -> None:
    """As it stands in the URL, and as it means."""
    url = f"postgresql://me:{quote(password, safe='')}@host:5432/db?sslpassword={quote(token, safe='')}"
    said = scrubbed(f"cannot connect to {url} with {password!s} ({quote(password, safe='')}), {token}", secrets_of(url))
    for secret in (password, token, quote(password, safe=""), quote(token, safe="")):
        if len(secret) > 3 and secret not in "cannot connect to  with  (), …":
            assert secret not in said.replace("…", "\0")
    with pytest.raises(BadInput, match="holds a password") as raised:
        refuse_secret(url, of="Sql")
    assert quote(password, safe="") not in str(raised.value).replace("Sql: the URL for host holds a password", "")
