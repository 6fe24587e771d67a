"""`everloop serve`: the data plane, answering predictions over HTTP."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.output import emit_json, say


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default 8000; 0 takes a free one)")
    parser.add_argument("--workers", type=int, default=1, help="processes that answer on the one port (default 1)")
    parser.add_argument("--loop", action="append", help="only this loop (may be repeated; default: all)")


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.serve.server import run as serve

    def ready(url: str) -> None:
        if args.json:
            emit_json({"url": url})
        else:
            say(f"Answering on {url} (POST /predict/<loop>, /labels/<loop>; GET /models, /metrics). Ctrl-C ends it.")

    with existing(args.project) as workspace:
        serve(workspace, host=args.host, port=args.port, workers=args.workers, loops=args.loop, ready=ready)
    return 0
