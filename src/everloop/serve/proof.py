"""A version -> the proof that it answers through the server as it answered in its evaluation.

The golden rows go as JSON bytes through the very application that serves, with the model read from the store, but without a socket and
without capture. What JSON, decoding, batching or a changed library would alter shows here, before anyone is answered.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import quote

import msgspec
import polars as pl

from everloop.core.live import Deployment
from everloop.core.models import Evaluation, Signature
from everloop.core.verdict import Finding, Verdict, verdict
from everloop.serve.app import App
from everloop.serve.errors import CannotAnswer
from everloop.serve.frame import Plain, to_plain
from everloop.serve.load import Loaded, load
from everloop.serve.replay import One, distance, same_output
from everloop.serve.table import Router, Served
from everloop.store import tables
from everloop.store.registry import Registered
from everloop.store.workspace import Workspace

_ROWS_A_REQUEST = 100
_ALONE = 20
"""So many rows are also sent one a request: alone and in company the answer must be the same."""


class _Answer(msgspec.Struct):
    output: Plain
    probabilities: dict[str, float | None] | None
    version: int


class _Answers(msgspec.Struct):
    predictions: list[_Answer]


def prove(workspace: Workspace, registered: Registered, evaluation: Evaluation, *, tolerance: float = 1e-6) -> Verdict:
    """The verdict `parity` about the version. Labels must be equal; probabilities and a regression's numbers agree within `tolerance`."""
    if not evaluation.golden:
        missing = "The evaluation kept no golden rows, so that nothing can be proven. Evaluate again."
        return verdict("parity", registered.version, [Finding(check="golden rows", passed=False, message=missing, observed=0, limit=1)])
    golden = tables.load_table(workspace.blobs, evaluation.golden)
    try:
        loaded = load(workspace, registered)
    except CannotAnswer as error:
        return verdict(
            "parity", registered.version, [Finding(check="answered", passed=False, message=str(error), observed=0, limit=golden.height)]
        )
    expected = _expected(golden, loaded.signature)
    return verdict("parity", registered.version, through_server(loaded, golden, expected, tolerance=tolerance))


def through_server(
    loaded: Loaded, rows: pl.DataFrame, expected: Sequence[One], *, alone: int = _ALONE, again: bool = False, tolerance: float = 1e-6
) -> list[Finding]:
    """Send rows a hundred a request, and `alone` of them one a request; what came back against what was expected, as findings `answered`, `outputs` and
    `probabilities`. With `again` all are sent once more, in reverse and seven a request: who keeps a state between requests answers otherwise then."""
    sendable, bodies = _bodies(rows, loaded.signature)
    groups = _in_groups(sendable, _ROWS_A_REQUEST) + _in_groups(sendable[:alone], 1)
    if again:
        groups += _in_groups(sendable[::-1], 7)
    answered, refused = asyncio.run(_ask(App(_router(loaded)), loaded.registered, groups, bodies))
    asked = sum(map(len, groups))
    return _findings(rows.height, sendable, expected, answered, refused, asked=asked, tolerance=tolerance)


def _in_groups(rows: Sequence[int], size: int) -> list[Sequence[int]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _expected(golden: pl.DataFrame, signature: Signature) -> list[One]:
    outputs = golden["__output"].to_list()
    columns = [f"__p{at}" for at in range(len(signature.classes))]
    if not columns or any(name not in golden.columns for name in columns):
        return [One(to_plain(output), None) for output in outputs]
    chances = golden.select(columns).rows()
    return [One(to_plain(output), list(row)) for output, row in zip(outputs, chances, strict=True)]


def _bodies(golden: pl.DataFrame, signature: Signature) -> tuple[list[int], list[dict[str, Any]]]:
    """Which rows JSON can carry (an infinity it cannot; NaN goes as null, as a caller would send it), and all rows as objects."""
    names = [column.name for column in signature.inputs]
    kinds = {column.name: column.kind for column in signature.inputs}
    rows = golden.select(names).to_dicts()
    sendable = [at for at, row in enumerate(rows) if not any(isinstance(value, float) and math.isinf(value) for value in row.values())]
    return sendable, [
        {name: value if kinds[name] == "list" else to_plain(value) for name, value in row.items()}  # lists are sent as lists
        for row in rows
    ]


def _router(loaded: Loaded) -> Router:
    number, loop = loaded.registered.number, loaded.registered.loop
    router = Router(captures=None)
    router.table = {loop: Served(deployment=Deployment(loop=loop, champion=number), champion=router.lane(loaded))}
    return router


async def _ask(
    app: App, registered: Registered, groups: Sequence[Sequence[int]], bodies: Sequence[dict[str, Any]]
) -> tuple[list[tuple[int, One]], list[str]]:
    answered: list[tuple[int, One]] = []
    refused: list[str] = []
    for group in groups:
        status, reply = await _post(app, registered.loop, msgspec.json.encode({"rows": [bodies[row] for row in group]}))
        if status != 200:
            refused.append(f"rows {group[0]} to {group[-1]}: status {status}, {reply.decode(errors='replace')[:300]}")
            continue
        found = msgspec.json.decode(reply, type=_Answers).predictions
        for row, one in zip(group, found, strict=True):
            chances = None if one.probabilities is None else [math.nan if p is None else p for p in one.probabilities.values()]
            answered.append((row, One(one.output, chances)))
    return answered, refused


async def _post(app: App, loop: str, body: bytes) -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(cast("dict[str, Any]", message))

    path = f"/predict/{loop}"
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": quote(path).encode(),
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
    }
    await app(scope, receive, send)
    return int(sent[0]["status"]), b"".join(message.get("body", b"") for message in sent[1:])


def _findings(
    rows: int,
    sendable: Sequence[int],
    expected: Sequence[One],
    answered: Sequence[tuple[int, One]],
    refused: Sequence[str],
    *,
    asked: int,
    tolerance: float,
) -> list[Finding]:
    wrong = [(row, one) for row, one in answered if not same_output(expected[row].output, one.output, tolerance=tolerance)]
    gaps = [(distance(expected[row].probabilities, one.probabilities), row, one) for row, one in answered]
    far = [(row, one) for gap, row, one in gaps if gap > tolerance]
    worst = max((gap for gap, _, _ in gaps), default=0.0)
    findings = [
        Finding(
            check="answered",
            passed=not refused and bool(sendable) and len(answered) == asked,
            message=f"{len(answered)} of {asked} golden rows were answered" + (f"; first refusal: {refused[0]}" if refused else ""),
            observed=len(answered),
            limit=asked,
        ),
        Finding(
            check="outputs",
            passed=not wrong,
            message=f"{len(wrong)} of {len(answered)} answers differ from the evaluation" + _first(wrong, expected),
            observed=len(wrong),
            limit=0,
        ),
        Finding(
            check="probabilities",
            passed=not far,
            message=f"probabilities differ by up to {worst:.3g}; {tolerance:g} is allowed" + _first(far, expected),
            observed=worst if math.isfinite(worst) else None,
            limit=tolerance,
        ),
    ]
    if len(sendable) < rows:
        skipped = f"{rows - len(sendable)} golden rows hold an infinity, which JSON cannot carry; they were not compared"
        findings.append(Finding(check="sendable", passed=False, severity="warn", message=skipped, observed=len(sendable), limit=rows))
    return findings


def _first(different: Sequence[tuple[int, One]], expected: Sequence[One]) -> str:
    if not different:
        return ""
    row, one = different[0]
    return f"; first at row {row}: {expected[row]} in the evaluation, {one} when served"
