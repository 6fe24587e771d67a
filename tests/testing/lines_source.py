"""A source of the tests' own, sound and incremental, and its faulty children: each has one fault."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl

from everloop.core.errors import NotFound
from everloop.core.ports import BATCH_BYTES, Extract, Place, Source
from everloop.core.tables import Origin
from everloop.data.sources.chain import Chain

SECRET = "correct-horse-battery"
PASSWORD = "LINES_PASSWORD"


class Lines(msgspec.Struct, frozen=True):
    """One row a line of a file, which may only grow."""

    name: str

    def __add__(self, other: Source) -> Chain:
        return Chain((self,)) + other

    def describe(self) -> str:
        return f"lines of {self.name}"

    def stamp(self, place: Place) -> str:
        self._must_be_there(place)
        state = (place.project / self.name).stat()
        return f"{state.st_size} {state.st_mtime_ns} {state.st_ino}"

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        self._must_be_there(place)
        size = self._known(place, since)
        extract = Extract(lambda: self._batches(extract, place, size), whole=not size)
        return extract

    def _known(self, place: Place, since: Sequence[Origin]) -> int:
        """How many bytes at the beginning are as they were."""
        for origin in since:
            size = int(origin["size"])
            with (place.project / self.name).open("rb") as file:
                return size if hashlib.sha256(file.read(size)).hexdigest() == origin["sha256"] else 0
        return 0

    def _batches(self, extract: Extract, place: Place, start: int) -> Iterator[pl.DataFrame]:
        extract.origins.clear()
        data = (place.project / self.name).read_bytes()
        for lines in _cut(data[start:].decode().splitlines()):
            yield pl.DataFrame({"line": lines})
        extract.origins.append(self._origin(data))

    def _origin(self, data: bytes) -> dict[str, Any]:
        return {"locator": self.name, "sha256": hashlib.sha256(data).hexdigest(), "rows": len(data.splitlines()), "size": len(data)}

    def _must_be_there(self, place: Place) -> None:
        if not (place.project / self.name).is_file():
            raise NotFound(f"There is no {self.name} in {place.project}.")


def _cut(lines: list[str]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for line in lines:
        if size + len(line) > BATCH_BYTES and part:
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line)
    if part:
        yield part


class TwoLines(Lines, frozen=True):
    def describe(self) -> str:
        return f"lines\nof {self.name}"


class Talks(Lines, frozen=True):
    def describe(self) -> str:
        return f"lines of {self.name} by {os.environ[PASSWORD]}"


class Notes(Lines, frozen=True):
    """Writes down how it got in."""

    def _origin(self, data: bytes) -> dict[str, Any]:
        return {**super()._origin(data), "url": f"lines://me:{os.environ[PASSWORD]}@host"}


class Complains(Lines, frozen=True):
    def _must_be_there(self, place: Place) -> None:
        if not (place.project / self.name).is_file():
            raise NotFound(f"There is no {self.name} for {os.environ[PASSWORD]}.")


class Keeps(Lines, frozen=True):
    """Takes the password as a field, which every step's key would cover. Two fields in any order: that is not the fault."""

    password: str = SECRET

    def __repr__(self) -> str:
        return "Keeps()"


class Plain(Lines, frozen=True):
    """Is no source: it cannot be asked whether something is new in the way that sources are."""

    __hash__ = None  # type: ignore[assignment]


class Restless(Lines, frozen=True):
    def stamp(self, place: Place) -> str:
        return f"{super().stamp(place)} {time.perf_counter_ns()}"


class BySize(Lines, frozen=True):
    """Does not see a change that leaves the size."""

    def stamp(self, place: Place) -> str:
        return super().stamp(place).split()[0]


class Thorough(Lines, frozen=True):
    """Reads all to see whether there is something to read."""

    def stamp(self, place: Place) -> str:
        self._must_be_there(place)
        return hashlib.sha256((place.project / self.name).read_bytes()).hexdigest()


class Shuffles(Lines, frozen=True):
    """Each reading has an order of its own."""

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        extract = super().read(place, since=since)
        sound, seed = extract.batches, random.getrandbits(32)
        extract.batches = lambda: (batch.sample(fraction=1.0, shuffle=True, seed=seed) for batch in sound())
        return extract


class GoesOn(Lines, frozen=True):
    """Gives the rest when it is asked again."""

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        sound = super().read(place, since=since)
        batches = sound.batches()
        return Extract(lambda: batches, sound.origins, sound.whole)


class Doubles(Lines, frozen=True):
    """Tells of each reading, not of the last one."""

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        sound = super().read(place, since=since)

        def batches() -> Iterator[pl.DataFrame]:
            yield from sound.batches()
            extract.origins.extend(sound.origins)

        extract = Extract(batches, whole=sound.whole)
        return extract


class AllAtOnce(Lines, frozen=True):
    def _batches(self, extract: Extract, place: Place, start: int) -> Iterator[pl.DataFrame]:
        found = list(super()._batches(extract, place, start))
        yield from [pl.concat(found)] if found else []


class Miscounts(Lines, frozen=True):
    """Only where nobody looked before: at one locator too many."""

    def _origin(self, data: bytes) -> dict[str, Any]:
        return {**super()._origin(data), "sha256": hashlib.md5(data).hexdigest()}

    def _known(self, place: Place, since: Sequence[Origin]) -> int:
        for origin in since:
            size = int(origin["size"])
            with (place.project / self.name).open("rb") as file:
                return size if hashlib.md5(file.read(size)).hexdigest() == origin["sha256"] else 0
        return 0


class Seconds(Lines, frozen=True):
    """Notes what a record cannot keep."""

    def _origin(self, data: bytes) -> dict[str, Any]:
        return {**super()._origin(data), "seen_at": 1.5}


class Again(Lines, frozen=True):
    """Says that nothing is new by giving everything."""

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        if since and self._known(place, since) == (place.project / self.name).stat().st_size:
            return Extract(super().read(place).batches, super().read(place).origins, whole=False)
        return super().read(place, since=since)


class Overlaps(Lines, frozen=True):
    """Gives the last old row with the new ones."""

    def _batches(self, extract: Extract, place: Place, start: int) -> Iterator[pl.DataFrame]:
        size = (place.project / self.name).stat().st_size
        yield from super()._batches(extract, place, max(start - 3, 0) if start < size else start)


class Forgets(Lines, frozen=True):
    """Tells of the new rows only, so that the third reading gives some twice."""

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        extract = super().read(place, since=since)
        size = self._known(place, since)

        def batches() -> Iterator[pl.DataFrame]:
            yield from self._batches(extract, place, size)
            if size and size < extract.origins[0]["size"]:  # type: ignore[operator]
                extract.origins[:] = [{**extract.origins[0], "rows": 1}]

        extract.batches = batches
        return extract


class Trusts(Lines, frozen=True):
    """Takes what it read before for unchanged."""

    def _known(self, place: Place, since: Sequence[Origin]) -> int:
        return int(since[0]["size"]) if since else 0


class Alone(msgspec.Struct, frozen=True):
    """Cannot be added to others."""

    name: str

    def describe(self) -> str:
        return Lines(self.name).describe()

    def stamp(self, place: Place) -> str:
        return Lines(self.name).stamp(place)

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        return Lines(self.name).read(place, since=since)


class Bare(Lines, frozen=True):
    """Leaves what goes wrong to the library."""

    def _must_be_there(self, place: Place) -> None:
        (place.project / self.name).stat()


@dataclass(unsafe_hash=True)
class Loose:
    """Can be changed after a step was given it."""

    name: str

    def __add__(self, other: Source) -> Chain:
        return Chain((self,)) + other

    def describe(self) -> str:
        return Lines(self.name).describe()

    def stamp(self, place: Place) -> str:
        return Lines(self.name).stamp(place)

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        return Lines(self.name).read(place, since=since)
