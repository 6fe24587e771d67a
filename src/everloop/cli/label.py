"""`everloop label`: what really happened, by prediction id."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from everloop.cli.output import emit_json, say

if TYPE_CHECKING:
    from everloop.store.workspace import Workspace


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("loop", help="the loop that answered")
    parser.add_argument("labels", nargs="*", metavar="ID=VALUE", help="prediction id and its true value")
    parser.add_argument("--file", metavar="CSV", help="a CSV file with the columns prediction and label")


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.core.errors import BadInput
    from everloop.queries import status
    from everloop.store import labels

    values = dict(_pair(text) for text in args.labels)
    if args.file:
        values |= _from_file(args.file)
    if not values:
        raise BadInput("No label was given. Write, for instance: everloop label churn p-01a1...=yes, or --file labels.csv.")
    with existing(args.project) as workspace:
        status.must_know(workspace, args.loop)
        missing = _not_captured(workspace, args.loop, values)
        if missing:
            raise BadInput(
                f"{len(missing)} of {len(values)} ids are no predictions of {args.loop!r}, the first is {missing[0]!r}. Nothing was kept."
            )
        with workspace.write() as tx:
            added, contradicted = labels.add(tx, args.loop, values)
    if args.json:
        emit_json({"added": added, "contradicted": contradicted})
    else:
        print(f"{added} new, {len(values) - added} known already")
    if contradicted:
        say(f"{len(contradicted)} already have another label, which stays: {', '.join(contradicted[:5])}")
    return 0


def _not_captured(workspace: Workspace, loop: str, values: dict[str, bool | int | float | str]) -> list[str]:
    from everloop.store import captures

    wanted = set(values)
    position: captures.Position | None = None
    while wanted:
        found, position = captures.stream(workspace.predictions, loop, position, limit=50_000)
        if not found:
            break
        wanted -= {prediction.id for prediction in found}
    return sorted(wanted)


def _pair(text: str) -> tuple[str, bool | int | float | str]:
    from everloop.core.errors import BadInput

    id, equals, value = text.partition("=")
    if not equals or not id.startswith("p-") or not value:
        raise BadInput(f"{text!r} is no ID=VALUE. An id begins with p-, as the answer to a prediction gave it.")
    return id, _plain(value)


def _plain(value: str) -> bool | int | float | str:
    import json

    try:
        plain = json.loads(value)
    except ValueError:
        return value
    return plain if isinstance(plain, bool | int | float | str) else value


def _from_file(path: str) -> dict[str, bool | int | float | str]:
    import csv

    from everloop.core.errors import BadInput, NotFound

    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if rows.fieldnames is None or not {"prediction", "label"} <= set(rows.fieldnames):
                raise BadInput(f"{path} has the columns {rows.fieldnames}; it needs prediction and label.")
            return {row["prediction"]: _plain(row["label"]) for row in rows}
    except FileNotFoundError:
        raise NotFound(f"There is no file {path!r}.") from None
