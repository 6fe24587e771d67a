"""A small HTTP server whose answers, and faults, a test decides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Web:
    """`files` are what is served, by path; `plans` are called instead, with the handler, one a request, as long as there are any."""

    files: dict[str, bytes] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    plans: list[Callable[[Any], None]] = field(default_factory=list)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)
    token: str = ""
    etags: bool = True
    heads: bool = True
    ranges: bool = True
    sent: int = 0
    address: str = ""
    changes: dict[str, int] = field(default_factory=dict)

    def put(self, path: str, data: bytes) -> None:
        self.files[path] = data
        self.changes[path] = self.changes.get(path, 0) + 1

    def url(self, path: str) -> str:
        return f"{self.address}{path}"

    def gets(self) -> list[dict[str, str]]:
        return [headers for method, _, headers in self.seen if method == "GET"]


@contextmanager
def serving() -> Iterator[Web]:
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            web.seen.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
            if web.plans and self.command == "GET":
                web.plans.pop(0)(self)
                return
            path = self.path.partition("?")[0]
            if self.command == "HEAD" and not web.heads:
                self.answer(405)
            elif web.token and self.headers.get("authorization") != f"Bearer {web.token}":
                self.answer(401)
            elif path not in web.files:
                self.answer(404)
            else:
                self.file(path)

        do_HEAD = do_GET

        def file(self, path: str) -> None:
            data, etag = web.files[path], f'"{web.changes.get(path, 0)}"'
            headers = {"Content-Type": web.types.get(path, "application/octet-stream"), **web.extra}
            if web.etags:
                headers |= {"ETag": etag}
            if web.ranges:
                headers |= {"Accept-Ranges": "bytes"}
            asked = self.headers.get("range", "")
            if web.ranges and asked and self.headers.get("if-range") == etag:
                start = int(asked.removeprefix("bytes=").partition("-")[0])
                self.answer(206, data[start:], {**headers, "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})
            else:
                self.answer(200, data, headers)

        def answer(self, status: int, data: bytes = b"", headers: dict[str, str] | None = None, *, only: int | None = None) -> None:
            """`only` so many bytes of what was promised, then the line is cut."""
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                body = data if only is None else data[:only]
                self.wfile.write(body)
                web.sent += len(body)
            if only is not None:
                self.wfile.flush()
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Whoever asked has gone."""

    server = Server(("127.0.0.1", 0), Handler)
    web.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
