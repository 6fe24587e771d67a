"""`everloop up`: serve, watch, trigger and roll out, until stopped."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.output import emit_json, say


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000, help="port of the data plane (default 8000)")
    parser.add_argument("--control-host", default="127.0.0.1", help="address of the pages; another than this machine needs EVERLOOP_TOKEN")
    parser.add_argument("--control-port", type=int, default=8700, help="port of the control plane's pages (default 8700)")
    parser.add_argument("--workers", type=int, default=1, help="data plane processes (default 1)")
    parser.add_argument("--runs", type=int, help="how many runs at a time (default: one a core)")
    parser.add_argument("--tick", type=float, default=1.0, metavar="SECONDS", help="how often to watch (default 1)")


def run(args: Namespace) -> int:
    from pathlib import Path

    from everloop.core.errors import BadInput
    from everloop.project import must_exist
    from everloop.serve import listen
    from everloop.server.supervisor import supervise, tree
    from everloop.store.locks import file_lock
    from everloop.store.workspace import Workspace

    must_exist(args.project)
    if args.runs is not None and args.runs < 1:
        raise BadInput(f"--runs {args.runs}: at least one run at a time is needed.")
    # Asked before processes are started that would each fail in their own words, again and again.
    listen.bind(args.host, args.port).close()
    listen.bind(args.control_host, args.control_port, option="--control-port").close()
    with Workspace(args.project) as workspace:
        lock = workspace.home / "up.lock"
    with file_lock(lock):
        say(
            f"Watching the loops of {Path(args.project).absolute() / 'loop.py'}.",
            f"  predictions  http://{args.host}:{args.port}/predict/<loop>",
            f"  pages        http://{args.control_host}:{args.control_port}/",
            "Ctrl-C ends it.",
        )
        if args.json:
            emit_json({"predictions": f"http://{args.host}:{args.port}", "pages": f"http://{args.control_host}:{args.control_port}"})
        project = str(Path(args.project).absolute())
        children = tree(
            project,
            host=args.host,
            port=args.port,
            workers=args.workers,
            control_host=args.control_host,
            control_port=args.control_port,
            tick_s=args.tick,
            runs=args.runs,
        )
        return supervise(children, say=lambda text: say(f"everloop: {text}"))
