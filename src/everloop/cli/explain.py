"""`everloop explain`: why steps ran or hit, and what a step's key is made of."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING

from everloop.cli.output import emit_json, moment, say, short, table

if TYPE_CHECKING:
    from everloop.queries.explain import Call, CallReport, Parts

_WIDTH = 40


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("what", help="a step's name, a run (a beginning of its id will do), or RUN/STEP for one call, by number or name")
    parser.add_argument("--limit", type=int, default=10, help="how many calls of a step, newest first (default 10)")


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.queries.explain import CallReport, RunReport, explain

    with existing(args.project) as workspace:
        report = explain(workspace, args.what, limit=max(args.limit, 1))
    if args.json:
        kind = "run" if isinstance(report, RunReport) else "call" if isinstance(report, CallReport) else "step"
        emit_json({kind: report})
    elif isinstance(report, RunReport):
        _show_run(report.calls)
    elif isinstance(report, CallReport):
        _show_call(report)
    else:
        table(
            ["RUN", "STATUS", "STARTED", "BECAUSE"], [(f"{c.run}/{c.seq}", c.status, moment(c.started_at), _why(c)) for c in report.calls]
        )
        print()
        _show_call(report.newest)
    return 0


def _show_run(calls: Iterable[Call]) -> None:
    """Calls of one step that follow each other and have one reason take one line."""
    rows: list[tuple[object, ...]] = []
    for (step, status, why), same in groupby(calls, key=lambda call: (call.step, call.status, _why(call))):
        numbers = [call.seq for call in same]
        rows.append((f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else numbers[0], step, status, why))
    table(["CALL", "STEP", "STATUS", "BECAUSE"], rows, empty="The run has called no step.")


def _show_call(report: CallReport) -> None:
    call = report.call
    print(f"{call.step}, call {call.seq} of {call.run}: {call.status}")
    _show("", {"because": call.because, "made in": call.made_in, "error": call.error, "key": report.key})
    if report.parts is not None:
        _show_parts(report.parts)
    else:
        say(
            "Nothing is kept for it (it is an effect, or did not end well, or 'everloop gc' took the result), so what its key covers is not known."
        )


def _show_parts(parts: Parts) -> None:
    _show("code", parts.code)
    _show("libraries", parts.libraries)
    _show("parameters", {name: f"{item.text}  [{item.digest}]" for name, item in parts.parameters.items() if not _is_input(name, parts)})
    _show("inputs", {name: f"{short(item.output)}  {f'made by {item.step}' if item.step else ''}" for name, item in parts.inputs.items()})
    _show("surroundings", parts.surroundings)
    _show("also", {"version": parts.version, "Python": parts.python})


def _is_input(name: str, parts: Parts) -> bool:
    """A parameter that is just a handle is told among the inputs."""
    return name in parts.inputs


def _show(title: str, rows: Mapping[str, str]) -> None:
    shown = {name: text for name, text in rows.items() if text}
    if not shown:
        return
    if title:
        print(f"\n{title}")
    width = min(max(map(len, shown)), _WIDTH)
    for name, text in shown.items():
        print(f"  {name:{width}}  {text}".rstrip())


def _why(call: Call) -> str:
    if call.error:
        return call.error.partition("\n")[0]
    return f"{call.because}, made in {call.made_in}" if call.made_in and call.made_in != call.run else call.because
