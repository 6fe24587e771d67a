"""What a loop itself answered, joined with the labels that came later -> rows to learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from everloop.core.digest import digest
from everloop.core.live import Label, Prediction
from everloop.core.ports import Extract, Place, Source
from everloop.core.tables import Origin
from everloop.data.sources.chain import Chain
from everloop.store import captures, labels
from everloop.store.captures import Spot
from everloop.store.workspace import current

if TYPE_CHECKING:
    import polars as pl

    from everloop.data.sources.answers import Shapes

# How many labels are joined with their predictions at a time.
_LABELS = 100_000
# A snapshot's provenance names at most so many segments that were not there; beyond it, everything is read again next time.
_MOST_LACKING = 100
_MANY = "*"


class _Past(NamedTuple):
    """What was read before: how many labels, up to which, for which of them the segment was not here; and the digest of the rows."""

    sha256: str
    rows: int
    labels: int
    last: labels.Arrival
    lacking: frozenset[str]


class Feedback(msgspec.Struct, frozen=True):
    """The loop's captured predictions (champion's and canary's, not shadow's) that have a label, in the order the labels arrived.

    Columns are the features under their own names and the label as `target` (default: the model's own target). `time`, when given, is the
    column for the time of the prediction. Until there are labels the table is empty, without columns. A later reading gives the rows
    whose labels came after the earlier one.
    """

    target: str | None = None
    time: str | None = None

    def __add__(self, other: Source) -> Chain:
        return Chain((self,)) + other

    def describe(self) -> str:
        return "feedback"

    def stamp(self, place: Place) -> str:
        """How many labels there are."""
        with current().read() as tx:
            return str(labels.count(tx, place.loop))

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        past = self._past(place, since)
        extract = Extract(lambda: self._batches(extract, place, past), whole=past is None)
        return extract

    def _past(self, place: Place, since: Sequence[Origin]) -> _Past | None:
        """None when more is to be read than what came after it: a label that arrived before others did and was written down after them, or
        predictions that were captured on another machine and are here now."""
        if len(since) != 1 or since[0].get("settings") != digest(self, place.loop):
            return None
        noted: Any = since[0]
        lacking = frozenset(str(noted["lacking"]).split())
        past = _Past(noted["sha256"], noted["rows"], noted["labels"], (float(noted["label_at"]), noted["label"]), lacking)
        workspace = current()
        with workspace.read() as tx:
            known = labels.count_until(tx, place.loop, past.last)
        here = captures.sizes(workspace.predictions, place.loop)
        return None if known != past.labels or _MANY in lacking or lacking & here.keys() else past

    def _batches(self, extract: Extract, place: Place, past: _Past | None) -> Iterator[pl.DataFrame]:
        from everloop.data.sources.answers import Shapes, in_pieces

        extract.origins.clear()
        folder, shapes = current().predictions, Shapes(place.loop)
        sink = hashlib.sha256(past.sha256.encode() if past else b"")
        rows, count, last = 0, past.labels if past else 0, past.last if past else None
        lacking = set(past.lacking) if past else set[str]()
        while page := self._page(place, last):
            spots = captures.locate(folder, place.loop, {label.prediction for label in page})
            here = captures.sizes(folder, place.loop)
            lacking |= {captures.segment_of(label.prediction) for label in page} - here.keys()
            sized = (((label, spots[label.prediction]), _size(spots[label.prediction])) for label in page if label.prediction in spots)
            for piece in in_pieces(sized):
                predictions = captures.load(folder, place.loop, [spot for _, spot in piece])
                joined = [
                    (one, label) for one, (label, _) in zip(predictions, piece, strict=True) if one.role != "shadow" and shapes.sound(one)
                ]
                for one, label in joined:
                    sink.update(msgspec.msgpack.encode([one.id, label.value]))
                if joined:
                    rows += len(joined)
                    yield self._table(joined, shapes)
            count, last = count + len(page), (page[-1].at, page[-1].prediction)
        if last is not None:
            named = " ".join(sorted(lacking)) if len(lacking) <= _MOST_LACKING else _MANY
            extract.origins.append(
                {
                    "locator": f"feedback:{place.loop}",
                    "sha256": sink.hexdigest() if rows or past is None else past.sha256,
                    "rows": rows + (past.rows if past else 0),
                    "settings": digest(self, place.loop),
                    "labels": count,
                    "label": last[1],
                    "label_at": repr(last[0]),
                    "lacking": named,
                }
            )

    def _page(self, place: Place, last: labels.Arrival | None) -> list[Label]:
        with current().read() as tx:
            return labels.behind(tx, place.loop, last, limit=_LABELS)

    def _table(self, joined: Sequence[tuple[Prediction, Label]], shapes: Shapes) -> pl.DataFrame:
        from everloop.data.sources.answers import features, labelled, moments

        predictions = [one for one, _ in joined]
        table = features(predictions, shapes)
        targets: dict[str, dict[str, Any]] = {}
        for one, label in joined:
            targets.setdefault(self.target or shapes.of(one.version).target, {})[one.id] = label.value
        table = table.with_columns(labelled(name, predictions, values, shapes) for name, values in targets.items())
        return table if self.time is None else table.with_columns(moments(self.time, predictions))


def _size(spot: Spot) -> int:
    return spot.end - spot.start
