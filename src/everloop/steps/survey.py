"""A snapshot's rows -> items of a queue, in the order in which to label them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, NamedTuple, TypeAlias

from everloop.core.errors import BadInput, unknown
from everloop.core.labelling import Queue
from everloop.core.tables import Snapshot
from everloop.store import registry, snapshots
from everloop.store.workspace import Workspace

How: TypeAlias = Literal["auto", "plain", "random", "uncertainty", "diversity", "mixed"]
HOWS: tuple[How, ...] = ("auto", "plain", "random", "uncertainty", "diversity", "mixed")


class Surveyed(NamedTuple):
    """`items` are (row, position in the snapshot, rank). `ordering` says how they were put in order."""

    items: list[tuple[str, int, int]]
    known: int
    equal: int
    ordering: str


def survey(workspace: Workspace, queue: Queue, snapshot: Snapshot, *, how: How, seed: int, settled: Collection[str] = ()) -> Surveyed:
    """Read the rows once, a chunk at a time: their names, what the champion makes of them, and where they lie in space.

    `settled` are rows that need no more labels: they come last, in the order of the snapshot, and nothing is spent on them.
    """
    import numpy as np

    from everloop.data.labelling import features, order
    from everloop.data.labelling.rows import names

    if how not in HOWS:
        raise unknown("Order", how, HOWS)
    champion = _champion(workspace, queue, snapshot, how)
    chosen = ("mixed" if champion and champion.probabilities else "plain") if how == "auto" else how
    rows: list[str] = []
    positions: list[int] = []
    uncertain: list[Any] = []
    points: list[Any] = []
    seen: set[str] = set()
    known = equal = at = 0
    for frame in snapshots.batches(workspace.blobs, snapshot):
        labelled = (
            frame[queue.target].is_not_null().to_list()
            if queue.target in frame.columns and not queue.everything
            else [False] * frame.height
        )
        mine: list[int] = []
        for place, (row, has) in enumerate(zip(names(frame, key=queue.key, target=queue.target), labelled, strict=True)):
            if has:
                known += 1
            elif row in seen:
                equal += 1
            else:
                seen.add(row)
                rows.append(row)
                mine.append(place)
        positions += [at + place for place in mine]
        at += frame.height
        part = frame[mine]
        if champion and chosen in ("uncertainty", "mixed") and part.height:
            uncertain.append(champion.uncertainty(part))
        if chosen in ("diversity", "mixed"):
            points.append(features.points_of(part.drop(queue.target, strict=False)))
    if queue.key and equal:
        raise BadInput(
            f"{equal} rows repeat a value of {queue.key!r}, which is to name them. Choose a column that is different in each row."
        )
    wanted = np.array([row not in settled for row in rows], dtype=bool)
    turns = order.arrange(
        int(wanted.sum()),
        how=chosen,
        uncertainty=np.concatenate(uncertain)[wanted] if uncertain else None,
        features=features.standardise(np.concatenate(points)[wanted]) if points else None,
        seed=seed,
    )
    places = np.concatenate([np.flatnonzero(wanted)[turns], np.flatnonzero(~wanted)])
    items = [(rows[place], positions[place], rank) for rank, place in enumerate(places.tolist())]
    by = f" by {champion.name}" if champion and chosen in ("uncertainty", "mixed") else ""
    return Surveyed(items, known, equal, f"order {chosen}{by}" + (f", seed {seed}" if chosen != "plain" else ""))


class _Champion:
    """The version that answers now, opened once."""

    def __init__(self, workspace: Workspace, entry: registry.Registered) -> None:
        from everloop.store.models import open_version

        self.name = entry.name
        candidate, self._model = open_version(workspace, entry)
        self._signature = candidate.signature
        self.probabilities = bool(candidate.signature.classes)

    def lacks(self, snapshot: Snapshot) -> list[str]:
        there = {column.name for column in snapshot.columns}
        return [column.name for column in self._signature.inputs if column.name not in there]

    def uncertainty(self, frame: Any) -> Any:
        """1 - margin of each row. BadInput when the model gives no probabilities."""
        from everloop.data.labelling.order import margin
        from everloop.serve.batch import conform

        probabilities = self._model.predict(conform(frame, self._signature, name=self.name)).probabilities
        if probabilities is None:
            raise BadInput(
                f"{self.name} gives no probabilities: it cannot say what it is unsure of. Choose another order, such as diversity."
            )
        return margin(probabilities)


def _champion(workspace: Workspace, queue: Queue, snapshot: Snapshot, how: How) -> _Champion | None:
    """None where the order needs none, or `auto` finds none that knows these columns."""
    if how not in ("auto", "uncertainty", "mixed") or (how == "auto" and not queue.loop):
        return None
    if not queue.loop:
        raise BadInput(f"Order {how!r} needs a champion. Say whose: the name of a loop.")
    with workspace.read() as tx:
        number = registry.deployment(tx, queue.loop).champion
        if number is None and how != "auto":
            raise BadInput(f"Loop {queue.loop!r} has no champion yet, which order {how!r} needs. Choose diversity, random or plain.")
        entry = None if number is None else registry.get(tx, queue.loop, number)
    champion = None if entry is None else _Champion(workspace, entry)
    return None if champion is None or (how == "auto" and champion.lacks(snapshot)) else champion
