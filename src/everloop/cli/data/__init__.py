"""`everloop data`: the datasets of a store and their versions; a sub-command each."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser, Namespace
from importlib import import_module

# Each is a module of this folder.
COMMANDS = {
    "list": "the catalogue: every dataset of the store, or those that a search finds",
    "show": "one version: its columns and their statistics, where it came from, its rows",
    "history": "the versions of a dataset",
    "diff": "what differs between two versions: rows, columns, statistics",
    "report": "a page with plots of a version, or of two side by side",
    "take": "read the source of a loop now, and keep what it has",
    "columns": "the columns of all datasets, and where they differ",
    "describe": "say who owns a dataset and what it is",
    "alias": "give a version a name, and keep it for as long as it has one",
    "rm": "take an alias, a version or a dataset out of the catalogue",
}


def arguments(parser: ArgumentParser) -> None:
    parser.epilog = (
        "A version is NAME (the newest), NAME@3, NAME@ALIAS, NAME@2026-11-20 (as it was at the end of that day, UTC) or a snapshot's id. "
        "'everloop data COMMAND --help' explains one command."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        one = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        import_module(f"{__name__}.{name}").arguments(one)
        one.add_argument("--project", default=argparse.SUPPRESS, metavar="FOLDER", help="the folder with loop.py (default: here)")
        one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object on stdout instead of text")


def run(args: Namespace) -> int:
    return int(import_module(f"{__name__}.{args.command}").run(args))
