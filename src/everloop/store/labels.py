"""Labels that come after the prediction, joined by its id. The first one counts; another with a different value is a conflict to report."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from everloop.core.live import Label
from everloop.store.database import Transaction, insert_new
from everloop.store.schema import labels

Value = bool | int | float | str
Arrival = tuple[float, str]
"""Where a label stands among those of its loop, in the order of arrival: its time, and its prediction's id where times are equal."""


def add(tx: Transaction, loop: str, values: Mapping[str, Value], *, at: float | None = None) -> tuple[int, list[str]]:
    """Keep labels by prediction id: (how many were new, ids that already have another value)."""
    now = time.time() if at is None else at
    rows = [{"prediction": id, "loop": loop, "value": json.dumps(value), "at": now} for id, value in values.items()]
    known = get(tx, values)
    contradicted = [id for id, label in known.items() if label.value != values[id]]
    return insert_new(tx, labels, [row for row in rows if row["prediction"] not in known]), contradicted


def get(tx: Transaction, predictions: Iterable[str]) -> dict[str, Label]:
    """The labels that are known for these predictions."""
    wanted = list(predictions)
    found: dict[str, Label] = {}
    for start in range(0, len(wanted), 500):
        rows = tx.execute(sa.select(labels).where(labels.c.prediction.in_(wanted[start : start + 500])))
        found |= {row.prediction: Label(prediction=row.prediction, loop=row.loop, value=json.loads(row.value), at=row.at) for row in rows}
    return found


def count(tx: Transaction, loop: str) -> int:
    return tx.execute(sa.select(sa.func.count()).select_from(labels).where(labels.c.loop == loop)).scalar_one()


def count_until(tx: Transaction, loop: str, last: Arrival) -> int:
    """How many labels stand at `last` or before it. More than there were when it was the last one: their transactions ended later."""
    return tx.sql(f"SELECT count(*) FROM labels WHERE loop = :loop AND NOT {_BEHIND}", _at(loop, last)).value()  # noqa: S608  # words of ours


def newest(tx: Transaction, loop: str) -> Arrival | None:
    """Where the last label stands."""
    return tx.sql("SELECT at, prediction FROM labels WHERE loop = :loop ORDER BY at DESC, prediction DESC LIMIT 1", {"loop": loop}).first()  # type: ignore[return-value]


def behind(tx: Transaction, loop: str, last: Arrival | None, *, limit: int) -> list[Label]:
    """The next labels in the order of arrival."""
    where, params = (f"AND {_BEHIND}", _at(loop, last)) if last is not None else ("", {"loop": loop})
    text = f"SELECT prediction, loop, value, at FROM labels WHERE loop = :loop {where} ORDER BY at, prediction LIMIT :limit"  # noqa: S608
    rows = tx.sql(text, {**params, "limit": limit})
    return [Label(prediction=prediction, loop=loop, value=json.loads(value), at=at) for prediction, loop, value, at in rows]


_BEHIND = "(at > :at OR (at = :at AND prediction > :prediction))"


def _at(loop: str, last: Arrival) -> dict[str, object]:
    return {"loop": loop, "at": last[0], "prediction": last[1]}


def of(tx: Transaction, loop: str) -> dict[str, Label]:
    """All labels of a loop by prediction id, in the order of arrival."""
    rows = tx.execute(sa.select(labels).where(labels.c.loop == loop).order_by(labels.c.at, labels.c.prediction))
    return {row.prediction: Label(prediction=row.prediction, loop=row.loop, value=json.loads(row.value), at=row.at) for row in rows}
