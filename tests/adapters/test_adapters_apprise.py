"""Pages go out to a real receiver."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from everloop.adapters.apprise import URLS, deliver
from everloop.core.errors import BadInput, Busy

pytest.importorskip("apprise", reason="the extra 'apprise' is not installed")


class Page(NamedTuple):
    loop: str = "digits"
    title: str = "Accuracy fell"
    body: str = "Estimated accuracy 0.71, usual 0.95."
    decision: str = "decision-1"


class Receiver(HTTPServer):
    got: list[dict[str, str]]
    status: int = 200


class _Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver(("127.0.0.1", 0), _Answer)
    server.got = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_page_arrives(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"json://127.0.0.1:{receiver.server_port}/hook"
    monkeypatch.setenv(URLS, f"{url}, {url}")
    deliver(Page(), home=tmp_path)
    assert len(receiver.got) == 2
    assert receiver.got[0]["title"] == "digits: Accuracy fell"
    assert "everloop why decision-1" in receiver.got[0]["message"]


def test_a_service_that_refuses_is_tried_again_later(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver.status = 500
    monkeypatch.setenv(URLS, f"json://user:secret@127.0.0.1:{receiver.server_port}/")
    with pytest.raises(Busy, match="did not take the page") as caught:
        deliver(Page(), home=tmp_path)
    assert "secret" not in str(caught.value)


def test_urls_must_be_there_and_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URLS, raising=False)
    with pytest.raises(BadInput, match=f"Set {URLS}"):
        deliver(Page(), home=tmp_path)
    monkeypatch.setenv(URLS, "nonsense://user:secret@host")
    with pytest.raises(BadInput, match="URL 1 of 1") as caught:
        deliver(Page(), home=tmp_path)
    assert "secret" not in str(caught.value)


def test_without_the_library_the_line_to_install_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URLS, "json://127.0.0.1:9/")
    code = (
        "import sys; sys.modules['apprise'] = None\n"
        "from pathlib import Path; from everloop.adapters.apprise import deliver\n"
        "try: deliver(None, home=Path('.'))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert process.stdout.startswith("Missing ")
    assert "pip install 'everloop[apprise]'" in process.stdout
