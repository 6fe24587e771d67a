"""A queue's rows and answers <-> Label Studio's JSON of tasks.

The format: https://labelstud.io/guide/task_format.html. A task has `data` and `annotations`; an annotation has `completed_by`, `created_at`,
`lead_time`, `was_cancelled` (a skip) and `result`, a list of regions with `from_name`, `to_name`, `type` and `value`. Ours have one region over the whole row:
a choice, a number, or a text area. A reviewer's word is an annotation with `ground_truth`.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast
from xml.sax.saxutils import quoteattr

import msgspec

from everloop.core.digest import digest
from everloop.core.errors import BadInput
from everloop.core.labelling import Action, Annotation, Queue, Value
from everloop.core.tables import Column
from everloop.data.labelling import media
from everloop.data.labelling.consensus import live
from everloop.data.labelling.values import text_of

ROW = "everloop_row"
"""Where a task's data carries the row's name, so that its labels find back."""
FROM_NAME = "everloop_label"

Json = Mapping[str, Any]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """An annotation as a file tells it. `row` is empty where the task does not carry our name for it: then `data` has to say which it is.

    `token` names the annotation by its content and place, so that a file imported twice counts once.
    """

    row: str
    data: Json
    person: str
    action: Action
    value: Value | None = None
    reason: str = ""
    seconds: float | None = None
    at: float | None = None
    token: str


def tasks(queue: Queue, rows: Iterable[tuple[str, Mapping[str, Any]]], said: Mapping[str, Sequence[Annotation]]) -> list[dict[str, Any]]:
    """One task for each (row, fields), with all that stands of what was said of it. Bytes become data URIs, times ISO 8601."""
    made: list[dict[str, Any]] = []
    for number, (row, fields) in enumerate(rows, start=1):
        data = {name: plain(value) for name, value in fields.items()} | {ROW: row}
        main = to_name(fields)
        annotations = [_annotation(queue, one, main) for one in live(said.get(row, ())) if one.action != "reject"]
        made.append({"id": number, "data": data, "annotations": annotations, "predictions": []})
    return made


def config(queue: Queue, columns: Sequence[Column]) -> str:
    """The labelling configuration that a Label Studio project needs for these tasks, as XML."""
    lines = ["<View>"]
    if queue.instruction:
        lines.append(f"  <Header value={quoteattr(queue.instruction)}/>")
    shown = [column for column in columns if column.name != queue.target]
    lines += [f"  <{_tag(column)} name={quoteattr(column.name)} value={quoteattr('$' + column.name)}/>" for column in shown]
    main = quoteattr(to_name([column.name for column in shown]))
    match queue.kind:
        case "choice":
            lines.append(f'  <Choices name="{FROM_NAME}" toName={main} choice="single" required="true">')
            lines += [f"    <Choice value={quoteattr(text_of(choice))}/>" for choice in queue.choices]
            lines.append("  </Choices>")
        case "number":
            lines.append(f'  <Number name="{FROM_NAME}" toName={main} required="true"/>')
        case "text":
            lines.append(f'  <TextArea name="{FROM_NAME}" toName={main} required="true"/>')
    return "\n".join([*lines, "</View>"]) + "\n"


def read(document: object, queue: Queue) -> list[Said]:
    """What an export says, task by task. Rows are not looked up, and values not held against the vocabulary here.

    BadInput, with the task's number, for what is no such export, or holds labels of another type.
    """
    if not isinstance(document, list):
        raise BadInput(
            f"A Label Studio export is a list of tasks, not {_kind(document)}. Export as JSON, not as JSON-MIN, CSV or another format."
        )
    found: list[Said] = []
    for number, task in enumerate(cast("list[object]", document), start=1):
        if not isinstance(task, dict) or not isinstance(cast("Json", task).get("data"), dict):
            raise BadInput(f"Task {number} of the export has no data. Export as JSON, not as JSON-MIN.")
        task = cast("Json", task)
        data = cast("Json", task["data"])
        row = data.get(ROW)
        listed = task.get("annotations", task.get("completions", []))
        if not isinstance(listed, list):
            raise BadInput(f"Task {number} of the export: its annotations are {_kind(listed)}, not a list.")
        for at, one in enumerate(cast("list[object]", listed), start=1):
            where = f"Annotation {at} of task {number}"
            if not isinstance(one, dict):
                raise BadInput(f"{where} is {_kind(one)}, not an object.")
            found.append(_said(cast("Json", one), queue, row if isinstance(row, str) else "", data, where))
    return found


def to_name(fields: Iterable[str]) -> str:
    """The field that a label is attached to: the first."""
    return next(iter(fields), "row")


def plain(value: Any) -> Any:
    """A cell as JSON: bytes as a data URI, times as ISO 8601, what JSON has no number for as null."""
    if isinstance(value, bytes):
        return f"data:{media.type_of(value)};base64,{base64.b64encode(value).decode()}"
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list):
        return [plain(member) for member in cast("list[Any]", value)]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _annotation(queue: Queue, one: Annotation, main: str) -> dict[str, Any]:
    moment = datetime.fromtimestamp(one.at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    made: dict[str, Any] = {
        "id": one.seq,
        "completed_by": {"email": one.person},
        "result": [] if one.value is None else [_region(queue, one, main)],
        "was_cancelled": one.action == "skip",
        "ground_truth": one.action == "accept",
        "created_at": moment,
        "updated_at": moment,
        "lead_time": one.seconds,
    }
    return made | ({"meta": {"reason": one.reason}} if one.reason else {})


def _region(queue: Queue, one: Annotation, main: str) -> dict[str, Any]:
    assert one.value is not None
    match queue.kind:
        case "choice":
            kind, value = "choices", {"choices": [text_of(one.value)]}
        case "number":
            kind, value = "number", {"number": one.value}
        case "text":
            kind, value = "textarea", {"text": [one.value]}
    return {"id": f"r{one.seq}", "from_name": FROM_NAME, "to_name": main, "type": kind, "value": value, "origin": "manual"}


def _said(one: Json, queue: Queue, row: str, data: Json, where: str) -> Said:
    cancelled = one.get("was_cancelled") is True
    action: Action = "skip" if cancelled else "accept" if one.get("ground_truth") is True else "label"
    value = None if cancelled else _value(one, queue, where)
    person, at, seconds = _person(one.get("completed_by")), _moment(one.get("created_at"), where), one.get("lead_time")
    meta = one.get("meta")
    reason = cast("Json", meta).get("reason", "") if isinstance(meta, dict) else ""
    spent = float(seconds) if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < math.inf else None
    named = digest("label studio", row or _stable(data), person, action, value, at)[:40]
    return Said(
        row=row, data=data, person=person, action=action, value=value, reason=str(reason), seconds=spent, at=at, token=f"label-studio-{named}"
    )  # fmt: skip


def _value(one: Json, queue: Queue, where: str) -> Value:
    wanted = {"choice": "choices", "number": "number", "text": "textarea"}[queue.kind]
    result = one.get("result")
    regions = (
        [cast("Json", region) for region in cast("list[object]", result) if isinstance(region, dict)] if isinstance(result, list) else []
    )
    ours = [region for region in regions if region.get("type") == wanted]
    if len(ours) != 1:
        types = ", ".join(sorted({str(region.get("type")) for region in regions})) or "nothing"
        raise BadInput(f"{where} has {len(ours)} regions of type {wanted!r} (it has {types}); queue {queue.name!r} needs exactly one.")
    value = ours[0].get("value")
    inner = (
        cast("Json", value).get({"choices": "choices", "number": "number", "textarea": "text"}[wanted]) if isinstance(value, dict) else None
    )
    if wanted == "textarea" and isinstance(inner, list):
        inner = "\n".join(str(line) for line in cast("list[object]", inner))
    if wanted == "choices" and isinstance(inner, list) and len(cast("list[object]", inner)) == 1:
        inner = cast("list[object]", inner)[0]
    if not isinstance(inner, str | int | float):
        raise BadInput(f"{where} has the value {value!r:.100}; queue {queue.name!r} needs one {queue.kind}.")
    return inner


def _person(given: object) -> str:
    """Label Studio knows people by number; an import names them by e-mail."""
    if isinstance(given, dict):
        known = cast("Json", given)
        given = known.get("email") or known.get("username") or known.get("id")
    if isinstance(given, str) and given.strip():
        return given.strip()
    return f"label-studio-user-{given}" if isinstance(given, int) else "label-studio"


def _moment(given: object, where: str) -> float | None:
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(str(given))
    except ValueError:
        raise BadInput(f"{where} was created at {given!r:.60}, which is no ISO 8601 time.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _tag(column: Column) -> str:
    return "Image" if column.kind == "bytes" else "Text"


def _stable(data: Json) -> str:
    return msgspec.json.encode(data, order="deterministic").decode()


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return (
        "an object"
        if isinstance(value, dict)
        else "a list"
        if isinstance(value, list)
        else "a text"
        if isinstance(value, str)
        else "a number"
    )
