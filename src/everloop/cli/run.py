"""`everloop run`: one cycle of a loop, in the foreground."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from everloop.cli.exits import FAILED, OK, REFUSED, STOPPED
from everloop.cli.output import emit_json, say

if TYPE_CHECKING:
    from everloop.core.runs import Run
    from everloop.project import Loop
    from everloop.store.workspace import Workspace

_CODES = {"done": OK, "stopped": STOPPED, "refused": REFUSED}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--loop", help="which loop, when loop.py declares several")
    parser.add_argument(
        "--set", dest="params", action="append", default=[], metavar="NAME=VALUE", help="change a parameter of the model for this run"
    )
    parser.add_argument(
        "--snapshot",
        metavar="WHICH",
        help="train on this snapshot instead of what the source has now: an id, name@3, name@2026-11-20 or name@alias",
    )
    parser.add_argument("--executor", help="where steps run: inline (the default), processes or ray")
    parser.add_argument("--workers", type=int, help="how many steps run at once, with an executor (default: one a core)")
    parser.add_argument("--later", action="store_true", help="queue the run for 'everloop up' instead of running it here")


def run(args: Namespace) -> int:
    from everloop.project import choose, load
    from everloop.runner import request, settle, show
    from everloop.store.workspace import Workspace

    loop = choose(load(args.project), args.loop)
    options: dict[str, object] = {"params": dict(_assignment(text) for text in args.params)}
    if args.snapshot:
        options["snapshot"] = args.snapshot
    options |= {name: value for name in ("executor", "workers") if (value := getattr(args, name))}
    with Workspace(args.project) as workspace:
        settle(workspace)
        run_ = request(workspace, loop.name, options=options, foreground=not args.later)
        if args.later:
            say(f"Queued {run_.id}. 'everloop up' runs it; 'everloop runs {run_.id}' shows its steps.")
            if args.json:
                emit_json({"run": run_})
            return OK
        try:
            return _in_the_foreground(workspace, loop, run_, args.json)
        finally:
            # Last, after the person has the answer: the tracker's library takes seconds to load.
            show(workspace, loop.name)


def _in_the_foreground(workspace: Workspace, loop: Loop, run: Run, as_json: bool) -> int:
    import time

    from everloop.cli.progress import Progress
    from everloop.core.errors import EverloopError
    from everloop.runner import perform

    started = time.monotonic()
    with Progress(loop.name, quiet=as_json) as progress:
        try:
            run = perform(workspace, loop, run, observers=[progress])
        except EverloopError:
            raise
        except Exception as error:
            progress.close()
            say(_users_traceback(error), "", f"Run {run.id} failed; finished steps are kept. Mend the code and run again.")
            return FAILED
    if as_json:
        emit_json({"run": run})
    else:
        say(f"{run.status} in {time.monotonic() - started:.1f} s")
        print(run.result.get("summary", run.status), flush=True)
        for hint in _hints(run.status, run.result):
            say(hint)
    return _CODES.get(run.status, FAILED)


def _hints(status: str, result: object) -> list[str]:
    assert isinstance(result, dict)
    version = result.get("version")
    if status == "done" and version:
        return [f"'everloop serve' answers with it; 'everloop why {version}' tells where it came from."]
    return [f"'everloop why {result['verdict']}' tells why."] if result.get("verdict") else []


def _assignment(text: str) -> tuple[str, object]:
    """`C=0.5` -> ("C", 0.5): the value as JSON where it is, as text where it is not."""
    import json

    from everloop.core.errors import BadInput

    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise BadInput(f"--set {text!r} is no NAME=VALUE. Write, for instance, --set max_depth=3.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _users_traceback(error: Exception) -> str:
    """From the first line that is not everloop's on; the whole when there is none."""
    import traceback
    from pathlib import Path

    import everloop

    ours = Path(everloop.__file__).parent
    trace = error.__traceback__
    while trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(ours):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace or error.__traceback__)).rstrip()
