"""What a loop answered, as it was captured -> rows: features, output, and who answered when."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import msgspec

from everloop.core.digest import digest
from everloop.core.errors import BadInput, unknown
from everloop.core.live import Prediction, Role
from everloop.core.ports import Extract, Place, Source
from everloop.core.tables import Origin
from everloop.data.sources.chain import Chain
from everloop.store import captures, labels
from everloop.store.workspace import current

if TYPE_CHECKING:
    import polars as pl

    from everloop.data.sources.answers import Shapes

Labelled = Literal["any", "only", "ignored"]

_ROLES = get_args(Role)
# How many labels are looked at together, when it is asked whether they concern rows that were read before.
_LABELS = 100_000
_NOWHERE: labels.Arrival = (0.0, "")


class _Past(NamedTuple):
    sha256: str
    rows: int
    position: captures.Position


class _Loop(msgspec.Struct, frozen=True):
    loop: str | None = None


class Predictions(_Loop, frozen=True, kw_only=True):
    """Captured predictions of `loop` (default: the loop whose source this is), segment by segment in the order they were captured.

    Columns are the features under their own names; `id`, `output`, `probabilities` (a list in the order of the version's classes; only
    where a model gives them), `version`, `role`, `at` (UTC), `request` (joins a shadow's answer with the one that was sent), and `label`.
    `prefix` goes before these names, for features that have one of them. `since` is a day or time (UTC) from which on. `labelled` is
    "any", "only" (rows with a label) or "ignored" (no such column). A later reading gives the rows captured since, unless a label came
    for one that was read before; with "ignored", labels make no difference.
    """

    roles: tuple[Role, ...] = ("champion", "canary")
    labelled: Labelled = "any"
    since: str | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "roles", (self.roles,) if isinstance(self.roles, str) else tuple(self.roles))
        for role in self.roles:
            if role not in _ROLES:
                raise BadInput(str(unknown("Role", role, _ROLES)))
        if self.labelled not in get_args(Labelled):
            raise BadInput(str(unknown("labelled", self.labelled, get_args(Labelled))))
        self._start()

    def __add__(self, other: Source) -> Chain:
        return Chain((self,)) + other

    def describe(self) -> str:
        return f"predictions of {self.loop}" if self.loop else "predictions"

    def stamp(self, place: Place) -> str:
        """How long the segments are, and how many labels there are."""
        workspace, loop = current(), self._captured(place)
        position = captures.sizes(workspace.predictions, loop)
        if self.labelled == "ignored":
            return digest(position)
        with workspace.read() as tx:
            return digest(position, labels.count(tx, loop))

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        loop = self._captured(place)
        past = self._past(loop, since)
        extract = Extract(lambda: self._batches(extract, loop, past), whole=past is None)
        return extract

    def _captured(self, place: Place) -> str:
        """The loop's name. Nothing captured is no error for the loop itself: that is how it begins."""
        known = captures.loops(current().predictions)
        if self.loop is not None and self.loop not in known:
            raise unknown("Loop with captured predictions", self.loop, known)
        return self.loop or place.loop

    def _start(self) -> float:
        try:
            moment = datetime.fromisoformat(self.since) if self.since else datetime.min.replace(year=1970)
        except ValueError:
            raise BadInput(f"since={self.since!r} is no time. Write a day or a time: '2026-11-20' or '2026-11-20 18:30:00'.") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    def _past(self, loop: str, since: Sequence[Origin]) -> _Past | None:
        """None when what was read before is gone, or has got labels since."""
        if len(since) != 1 or since[0].get("settings") != digest(self, loop):
            return None
        noted: Any = since[0]
        position: captures.Position = msgspec.json.decode(noted["position"])
        here = captures.sizes(current().predictions, loop)
        if any(here.get(segment, -1) < offset for segment, offset in position.items()):
            return None
        if self.labelled != "ignored" and self._labelled_since(loop, position, noted["labels"], (float(noted["label_at"]), noted["label"])):
            return None
        return _Past(noted["sha256"], noted["rows"], position)

    def _labelled_since(self, loop: str, position: captures.Position, count: int, last: labels.Arrival) -> bool:
        """Whether a label that came after `last` may be one of a prediction that lies before `position`."""
        workspace = current()
        with workspace.read() as tx:
            if labels.count_until(tx, loop, last) != count:
                return True
        behind: dict[str, set[str]] = {}
        while True:
            with workspace.read() as tx:
                page = labels.behind(tx, loop, last, limit=_LABELS)
            if not page:
                return False
            for label in page:
                segment = captures.segment_of(label.prediction)
                if segment in position:
                    if segment not in behind:
                        behind[segment] = captures.ids_behind(workspace.predictions, loop, segment, position[segment])
                    if label.prediction not in behind[segment]:
                        return True
            last = (page[-1].at, page[-1].prediction)

    def _batches(self, extract: Extract, loop: str, past: _Past | None) -> Iterator[pl.DataFrame]:
        from everloop.data.sources.answers import Shapes, in_pieces

        extract.origins.clear()
        workspace, shapes, start = current(), Shapes(loop), self._start()
        # Labels that come while the rows are read are new next time, whether or not they were seen.
        with workspace.read() as tx:
            last = labels.newest(tx, loop) or _NOWHERE
            count = labels.count_until(tx, loop, last)
        position = dict(past.position) if past else {}
        sink = hashlib.sha256(past.sha256.encode() if past else b"")
        rows = 0

        def wanted() -> Iterator[tuple[Prediction, int]]:
            before = dict(position)
            for segment, end, one in captures.frames(workspace.predictions, loop, dict(position)):
                size, before[segment] = end - before.get(segment, 0), end
                position[segment] = end
                if one.role in self.roles and one.at >= start and shapes.sound(one):
                    yield one, size

        for piece in in_pieces(wanted()):
            with workspace.read() as tx:
                known = (
                    {}
                    if self.labelled == "ignored"
                    else {id: label.value for id, label in labels.get(tx, [one.id for one in piece]).items()}
                )
            kept = [one for one in piece if one.id in known] if self.labelled == "only" else piece
            if kept:
                for one in kept:
                    sink.update(msgspec.msgpack.encode([one.id, known.get(one.id)]))
                rows += len(kept)
                yield self._table(kept, known, shapes)
        if position:
            extract.origins.append(
                {
                    "locator": f"predictions:{loop}",
                    "sha256": sink.hexdigest() if rows or past is None else past.sha256,
                    "rows": rows + (past.rows if past else 0),
                    "settings": digest(self, loop),
                    "position": msgspec.json.encode(position).decode(),
                    "labels": count,
                    "label": last[1],
                    "label_at": repr(last[0]),
                }
            )

    def _table(self, rows: Sequence[Prediction], known: Mapping[str, Any], shapes: Shapes) -> pl.DataFrame:
        import polars as pl

        from everloop.data.sources.answers import chances, conform, features, labelled, moments
        from everloop.data.sources.json import column

        table = features(rows, shapes)
        own = [
            pl.Series("id", [one.id for one in rows], dtype=pl.String),
            column("output", [conform(one.output, shapes.of(one.version).signature.output.kind) for one in rows]),
            pl.Series("version", [one.version for one in rows], dtype=pl.Int64),
            pl.Series("role", [one.role for one in rows], dtype=pl.String),
            moments("at", rows),
            pl.Series("request", [one.request or None for one in rows], dtype=pl.String),
        ]
        if any(one.probabilities is not None for one in rows):
            own.insert(2, chances("probabilities", rows))
        if self.labelled != "ignored":
            own.append(labelled("label", rows, known, shapes))
        for series in own:
            if self.prefix + series.name in table.columns:
                raise BadInput(
                    f"{self.describe()}: {self.prefix + series.name!r} is a feature and the name of a column about the answer. "
                    f"Give those names a prefix: Predictions({self.loop or ''!r}, prefix='_')."
                )
        return table.with_columns(series.alias(self.prefix + series.name) for series in own)
