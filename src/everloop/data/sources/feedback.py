"""What a loop itself answered, joined with the labels that came later -> rows to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.core.digest import digest
from everloop.core.live import Label, Prediction
from everloop.core.models import Candidate
from everloop.core.ports import Extract, Place, Source
from everloop.core.tables import Kind, Prepared
from everloop.data.sources.chain import Chain
from everloop.store import captures, labels, records, registry
from everloop.store.workspace import Workspace, current

if TYPE_CHECKING:
    import polars as pl


class Feedback(msgspec.Struct, frozen=True):
    """The loop's captured predictions (champion's and canary's, not shadow's) that have a label, in the order the labels arrived.

    Columns are the features under their own names and the label as `target` (default: the model's own target). `time`, when given, is the
    column for the time of the prediction. Until there are labels the table is empty, without columns.
    """

    target: str | None = None
    time: str | None = None

    def __add__(self, other: Source) -> Chain:
        return Chain((self,)) + other

    def describe(self) -> str:
        return "feedback"

    def stamp(self, place: Place) -> str:
        with current().read() as tx:
            return str(labels.count(tx, place.loop))

    def read(self, place: Place) -> Extract:
        from everloop.data.sources.union import union

        workspace = current()
        with workspace.read() as tx:
            known = labels.of(tx, place.loop)
        if not known:
            return Extract(union([]), ())
        captured, _ = captures.stream(workspace.predictions, place.loop)
        answered = {item.id: item for item in captured if item.role != "shadow" and item.id in known}
        joined = [(answered[id], label) for id, label in known.items() if id in answered]
        # One table for each stretch of rows that one version answered keeps the order of arrival.
        stretches: list[list[tuple[Prediction, Label]]] = []
        for row in joined:
            if stretches and stretches[-1][-1][0].version == row[0].version:
                stretches[-1].append(row)
            else:
                stretches.append([row])
        shapes = _shapes(workspace, place.loop, {row[0].version for row in joined})
        whole = union([self._table(rows, *shapes[rows[0][0].version]) for rows in stretches])
        part: dict[str, str | int] = {
            "locator": f"feedback:{place.loop}",
            "sha256": digest([[item.id, label.value] for item, label in joined]),
            "rows": whole.height,
        }
        return Extract(whole, (part,) if whole.height else ())

    def _table(self, rows: Sequence[tuple[Prediction, Label]], candidate: Candidate, prepared: Prepared) -> pl.DataFrame:
        import polars as pl

        from everloop.data.sources.json import column

        # A prediction whose features are fewer or more than the version takes was not made by it.
        sound = [row for row in rows if len(row[0].features) == len(candidate.signature.inputs)]
        series = [
            column(feature.name, [_conform(item.features[at], feature.kind) for item, _ in sound])
            for at, feature in enumerate(candidate.signature.inputs)
        ]
        kind = candidate.signature.output.kind
        series.append(column(self.target or prepared.target, [_conform(label.value, kind) for _, label in sound]))
        if self.time is not None:
            micros = pl.Series(self.time, [round(item.at * 1e6) for item, _ in sound], dtype=pl.Int64)
            series.append(micros.cast(pl.Datetime("us")))
        return pl.DataFrame(series)


def _shapes(workspace: Workspace, loop: str, numbers: set[int]) -> Mapping[int, tuple[Candidate, Prepared]]:
    found: dict[int, tuple[Candidate, Prepared]] = {}
    with workspace.read() as tx:
        for number in sorted(numbers):
            candidate = records.load(tx, registry.get(tx, loop, number).candidate, Candidate)
            found[number] = candidate, records.load(tx, candidate.prepared, Prepared)
    return found


def _conform(value: Any, kind: Kind) -> Any:
    """A value as the model's own kind where nothing is lost by it: clients send 1 for "1", or "1" for 1."""
    if value is None or (kind == "text" and isinstance(value, str)):
        return value
    if kind == "text":
        return ("true" if value else "false") if isinstance(value, bool) else str(value)
    if kind == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind in ("int", "float") and isinstance(value, str):
        try:
            return int(value) if kind == "int" else float(value)
        except ValueError:
            return value
    if kind == "bool" and value in (0, 1):
        return bool(value)
    return value
