"""Several sources, one below the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from everloop.core.digest import digest
from everloop.core.ports import Extract, Place, Restart, Source
from everloop.core.tables import Origin

if TYPE_CHECKING:
    import polars as pl

# Which member of the chain an origin belongs to, so that each is shown its own again.
_MEMBER = "member"


class _Sources(msgspec.Struct, frozen=True):
    sources: tuple[Source, ...]


class Chain(_Sources, frozen=True):
    """Rows of the first source, then those of the next, united as different files are. `Files(...) + Feedback()` is one."""

    def __add__(self, other: Source) -> Chain:
        return Chain(self.sources + (other.sources if isinstance(other, Chain) else (other,)))

    def describe(self) -> str:
        return " + ".join(source.describe() for source in self.sources)

    def stamp(self, place: Place) -> str:
        return digest([source.stamp(place) for source in self.sources])

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        """Only new rows when every member that was read before can tell which of its rows are; else all of everything."""
        return _Reading(dict(zip(self._members(), self.sources, strict=True)), place, since).extract

    def _members(self) -> list[str]:
        """A name for each source that stays when others are added: what it says of itself, numbered where two say the same."""
        said = [source.describe() for source in self.sources]
        return [name if said.count(name) == 1 else f"{name} #{said[:at].count(name) + 1}" for at, name in enumerate(said)]


class _Reading:
    """One reading of the members. A member may find out as late as in its batches that all of it has to be read anew."""

    def __init__(self, members: Mapping[str, Source], place: Place, since: Sequence[Origin]) -> None:
        self.members, self.place = members, place
        self.past: dict[str, list[Origin]] = {
            member: [_without(origin) for origin in since if origin.get(_MEMBER) == member] for member in members
        }
        if any(origin.get(_MEMBER) not in members for origin in since):
            # The rows of a source that is no member any more would stay.
            self.past = {member: [] for member in members}
        self.extracts = {member: source.read(place, since=self.past[member]) for member, source in members.items()}
        self.extract = Extract(self.batches, whole=not any(self.past.values()))
        self.settle()

    def batches(self) -> Iterator[pl.DataFrame]:
        self.extract.origins.clear()
        for member, extract in self.extracts.items():
            try:
                yield from extract.batches()
            except Restart:
                self.settle()
                raise
            if self.settle():
                raise Restart
            self.extract.origins.extend({**origin, _MEMBER: member} for origin in extract.origins)

    def settle(self) -> bool:
        """When a member with a past gives all of itself, so must the others. A member without one is new, and all of it is new rows."""
        if self.extract.whole or not any(self.past[member] and extract.whole for member, extract in self.extracts.items()):
            return False
        for member, source in self.members.items():
            if self.past[member] and not self.extracts[member].whole:
                self.extracts[member] = source.read(self.place)
        self.extract.whole = True
        return True


def _without(origin: Origin) -> Origin:
    return {key: value for key, value in origin.items() if key != _MEMBER}
