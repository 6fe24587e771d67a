"""What the owner of queues does with `everloop annotate`: create, refresh, list, show, agreement, accept, import, export."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from everloop.cli.output import emit_json, moment, say, table

if TYPE_CHECKING:
    from everloop.core.tables import Snapshot
    from everloop.steps.labelling import Opened
    from everloop.store.workspace import Workspace


def create(workspace: Workspace, args: Namespace) -> int:
    from everloop.core.errors import BadInput
    from everloop.steps import person
    from everloop.steps.labelling import open_queue

    kind = args.kind or "choice"
    if kind == "choice" and args.choices is None:
        raise BadInput("A queue of choices needs its vocabulary: --choices spam,ham. For other labels: --kind number, or --kind text.")
    opened = open_queue(
        workspace, name=args.queue, snapshot=_snapshot(workspace, args), target=args.target, kind=kind,
        choices=[] if args.choices is None else args.choices.split(","), tolerance=args.tolerance, key=args.key, instruction=args.instruction,
        wanted=args.labellers, review=args.review, lease_s=args.lease, loop=args.loop or "", how=args.order, seed=args.seed, everything=args.all,
        actor=person(),
    )  # fmt: skip
    return _opened(opened, args, f"{opened.rows} rows wait for a label")


def refresh(workspace: Workspace, args: Namespace) -> int:
    from everloop.steps import labelling, person

    snapshot = _snapshot(workspace, args) if args.dataset or args.files else None
    opened = labelling.refresh(
        workspace, args.queue, snapshot=snapshot, loop=args.loop or "", how=args.order, seed=args.seed, actor=person()
    )
    return _opened(opened, args, f"The queue has {opened.rows} rows")


def every(workspace: Workspace, args: Namespace) -> int:
    from everloop.queries.labelling import all_queues

    found = all_queues(workspace)
    if args.json:
        emit_json({"queues": found})
        return 0
    rows = [
        (one.queue.name, one.queue.dataset, one.queue.target, one.queue.kind, one.rows, one.open, one.review, one.done, moment(one.queue.created_at))
        for one in found
    ]  # fmt: skip
    table(
        ["QUEUE", "DATASET", "TARGET", "KIND", "ROWS", "OPEN", "REVIEW", "DONE", "SINCE"],
        rows,
        empty="No queue yet: 'everloop annotate create'.",
    )
    return 0


def show(workspace: Workspace, args: Namespace) -> int:
    import time

    from everloop.queries.labelling import report

    found = report(workspace, args.queue, now=time.time())
    if args.json:
        emit_json(found)
        return 0
    at, queue = found.progress, found.progress.queue
    print(
        f"{queue.name}: {at.done} of {at.rows} rows done, {at.review} wait for review, {at.open} are open; {queue.wanted} labellers a row, {queue.ordering}"
    )
    if queue.instruction:
        print(queue.instruction)
    table(["VALUE", "ROWS"], found.values.items(), empty="")
    table(["PERSON", "ANSWERS"], [(one.name, one.answers) for one in found.people], empty="Nobody has answered yet.")
    table(["LOOKS AT", "PERSON", "UNTIL"], [(one.row, one.person, moment(one.until)) for one in found.held], empty="")
    return 0


def agreement(workspace: Workspace, args: Namespace) -> int:
    import time

    from everloop.queries.labelling import report

    found = report(workspace, args.queue, now=time.time()).agreement
    if args.json:
        emit_json(found)
        return 0
    print(f"rows with two labels or more: {found.rows}")
    for name, value in (("percent agreement", found.percent), ("Fleiss' kappa", found.kappa), ("Krippendorff's alpha", found.alpha)):
        print(f"{name}: {_figure(value)}")
    rows = [(pair.first, pair.second, pair.rows, _figure(pair.percent), _figure(pair.kappa)) for pair in found.pairs]
    table(["FIRST", "SECOND", "ROWS", "PERCENT", "COHEN'S KAPPA"], rows, empty="No two people have labelled the same row.")
    return 0


def accept(workspace: Workspace, args: Namespace) -> int:
    from everloop.steps import person
    from everloop.steps.labelling import accept_agreed

    accepted = accept_agreed(workspace, args.queue, actor=person())
    if args.json:
        emit_json({"accepted": accepted})
    else:
        print(f"{accepted} accepted")
    return 0


def take_in(workspace: Workspace, args: Namespace) -> int:
    import json

    from everloop.core.errors import BadInput, NotFound
    from everloop.steps import person
    from everloop.steps.labelling import import_labels

    try:
        with open(args.file, encoding="utf-8-sig") as file:
            document = json.load(file)
    except (FileNotFoundError, IsADirectoryError):
        raise NotFound(f"There is no file {args.file!r}.") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{args.file!r} is no JSON ({error}). Export from Label Studio as JSON.") from None
    taken = import_labels(workspace, args.queue, document, ignore_unknown=args.ignore_unknown, actor=person())
    if args.json:
        emit_json(taken)
    else:
        print(f"{taken.added} new, {taken.known} known already")
    if taken.contradicted:
        say(f"{len(taken.contradicted)} say something else than before, which stays: {', '.join(row for row, _ in taken.contradicted[:5])}")
    if taken.unknown:
        say(f"{taken.unknown} are on tasks that the queue does not have, and were left out")
    return 0


def export(workspace: Workspace, args: Namespace) -> int:
    from everloop.cli.annotate_files import configuration, write

    if args.config:
        print(configuration(workspace, args.queue), end="")
        return 0
    found, rows = write(workspace, args.queue, at=args.at, output=args.output, quiet=args.json)
    if args.json:
        emit_json({"labels": found.id, "queue": found.queue, "rows": rows, "until": found.until, "output": args.output})
    say(f"{rows} rows with labels {found.id}, after annotation {found.until}")
    return 0


def _snapshot(workspace: Workspace, args: Namespace) -> Snapshot:
    from pathlib import Path

    from everloop.core.ports import Place
    from everloop.data.ingest import take
    from everloop.data.sources.files import Files
    from everloop.steps import person
    from everloop.store import datasets, records

    if args.dataset:
        with workspace.read() as tx:
            return datasets.resolve(tx, args.dataset)
    taken = take(Files(args.files), dataset=args.queue, place=Place(args.queue, Path.cwd(), workspace.home))
    with workspace.write() as tx:
        records.keep(tx, taken)
        datasets.note(tx, taken, mode="full", by=person(), project=str(workspace.project))
    return taken


def _opened(opened: Opened, args: Namespace, told: str) -> int:
    if args.json:
        emit_json(opened)
        return 0
    more = f", {opened.known} have a label already" if opened.known else ""
    more += f", {opened.equal} are equal to another and share its label" if opened.equal else ""
    say(f"{told}{more}; {opened.queue.ordering}.")
    say(f"Label on /labelling/{opened.queue.name} of 'everloop up', or here: everloop annotate next {opened.queue.name}")
    return 0


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
