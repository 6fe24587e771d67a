"""What earlier runs kept of a step, so that a miss is explained by the result that is most like it.

A step that is called for each of many parts has many results. Compared with just the newest of them, every call would be told that its part
is another one, and the helper that was edited would go unmentioned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import cast

import msgspec

from everloop.store.workspace import Workspace

# Of a step with more results than this the older ones explain nothing.
MOST = 1000
# How many earlier results each miss may look at, so that a step called once in a store of a thousand runs costs what it did in the first.
_EACH = 32
_DETAILS = "SELECT detail FROM cache WHERE step = :step AND run <> :run ORDER BY created_at DESC LIMIT :count OFFSET :start"


class Past:
    """The details of earlier keys, newest first, read as far as they are needed."""

    def __init__(self, details: Iterable[Mapping[str, object]]) -> None:
        self._left = iter(details)
        self._newest: Mapping[str, object] | None = None
        self._equal: dict[object, Mapping[str, object]] = {}
        self._alike: dict[object, Mapping[str, object]] = {}

    def closest(self, detail: Mapping[str, object]) -> Mapping[str, object] | None:
        """The newest with the same parameters; else that with the same but for what other steps made; else the newest. None without any."""
        equal, alike = _parameters(detail)
        if equal not in self._equal:
            self._read_on()
        return self._equal.get(equal) or self._alike.get(alike) or self._newest

    def _read_on(self) -> None:
        for detail in islice(self._left, _EACH):
            self._newest = self._newest or detail
            equal, alike = _parameters(detail)
            self._equal.setdefault(equal, detail)
            self._alike.setdefault(alike, detail)


def past(workspace: Workspace, step: str, run: str) -> Past:
    """What runs other than `run` have kept of a step."""
    return Past(_details(workspace, step, run))


def _details(workspace: Workspace, step: str, run: str) -> Iterator[Mapping[str, object]]:
    for start in range(0, MOST, _EACH):
        with workspace.read() as tx:
            rows = tx.sql(_DETAILS, {"step": step, "run": run, "count": _EACH, "start": start})
        yield from (msgspec.json.decode(detail) for (detail,) in rows)
        if len(rows) < _EACH:
            return


def _parameters(detail: Mapping[str, object]) -> tuple[object, object]:
    """(digests of all parameters, of those that no step made)"""
    params = cast("Mapping[str, list[str]]", detail.get("params") or {})
    made = {where.partition("[")[0] for where in cast("Mapping[str, str]", detail.get("inputs") or {})}
    everything = tuple((name, form) for name, (_, form) in sorted(params.items()))
    return everything, tuple((name, form) for name, form in everything if name not in made)
