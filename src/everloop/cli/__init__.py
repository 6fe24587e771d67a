"""Everything that a person types: parse, call, render; one file a command."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from everloop.cli.exits import INTERRUPTED, USAGE, code_of
from everloop.core.errors import EverloopError, unknown

# In the order of a newcomer's first hour.
COMMANDS = {
    "init": "write a working loop.py, its data and a test",
    "run": "run one cycle of a loop, in the foreground",
    "serve": "answer predictions over HTTP",
    "up": "serve, watch, trigger and roll out, until stopped",
    "demo": "watch the whole loop close on real images, in a minute",
    "status": "how the loops stand",
    "runs": "past and present runs, and the steps of one",
    "logs": "what the steps of a run printed",
    "cancel": "end a run; what it has finished stays",
    "approve": "answer what a run asks a person, or list what waits",
    "data": "the datasets of a store and their versions: list, show, history, diff, report, take …",
    "models": "registered versions",
    "predict": "score a file with a registered version",
    "label": "say what really happened, by prediction id",
    "annotate": "queues of rows that people label, and their labels",
    "why": "explain a prediction, version, decision or run",
    "explain": "say why the steps of a run ran or hit, and what a key covers",
    "rollback": "go back to the version before",
    "pin": "keep a record, a run or a version from being collected",
    "gc": "delete what no run, version or pin reaches",
}


class Parser(argparse.ArgumentParser):
    """Says what was expected, with the closest match, and exits as the table says."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            what = action.dest.removesuffix("_").capitalize()
            raise argparse.ArgumentError(None, str(unknown(what, str(value), map(str, action.choices))).rstrip("."))

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}. '{self.prog} --help' lists what there is.\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """The `everloop` command."""
    # Nobody's notebook name, host or model leaves this machine.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_guarded(words))


def _guarded(words: list[str]) -> int:
    debug = bool(os.environ.get("EVERLOOP_DEBUG"))
    try:
        return _dispatch(words)
    except EverloopError as error:
        if debug:
            raise
        print(f"everloop: {error}", file=sys.stderr)
        return code_of(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, say) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if words[0] in ("-V", "--version"):
        from everloop import __version__

        print(f"everloop {__version__}")
        return 0
    name = words[0]
    if name not in COMMANDS:
        raise unknown("Command", name, COMMANDS)
    module = importlib.import_module(f"everloop.cli.{name}")
    parser = Parser(
        prog=f"everloop {name}", description=COMMANDS[name].capitalize() + ".", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    module.arguments(parser)
    parser.add_argument("--project", default=".", metavar="FOLDER", help="the folder with loop.py (default: here)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of text")
    return int(module.run(parser.parse_args(words[1:])))


def _overview() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = [
        "everloop: a training function goes in; a model that is served, watched and retrained comes out.",
        "",
        "usage: everloop COMMAND [options]",
        "",
    ]
    lines += [f"  {name:{width}}{text}" for name, text in COMMANDS.items()]
    lines += ["", "'everloop COMMAND --help' explains one. Data goes to stdout, talk to stderr; --json works everywhere."]
    return "\n".join(lines)
