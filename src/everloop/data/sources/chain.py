"""Several sources, one below the other."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from everloop.core.digest import digest
from everloop.core.ports import Extract, Place, Source


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

    def read(self, place: Place) -> Extract:
        from everloop.data.sources.union import union

        extracts = [source.read(place) for source in self.sources]
        parts: tuple[Mapping[str, str | int], ...] = tuple(part for extract in extracts for part in extract.parts)
        return Extract(union([extract.table for extract in extracts]), parts)
