"""Files that match a pattern, read one after the other; and what of them is new since an earlier reading."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.core.digest import digest
from everloop.core.errors import BadInput, Busy
from everloop.core.ports import Extract, Restart
from everloop.core.tables import Origin
from everloop.data.sources.grown import NotGrown, continues, facts, rest, same
from everloop.data.sources.parse import Form, Memory, tables
from everloop.data.sources.steady import Changed, Steady, state
from everloop.data.sources.times import TimeColumn

if TYPE_CHECKING:
    import polars as pl

_TRIES = 4
_PAUSE_S = 0.1


class Reading:
    """One reading of files, however often it begins again."""

    def __init__(
        self, said: str, find: Callable[[], dict[str, Path]], form: Form, time: str | None, *, since: Sequence[Origin], block_bytes: int
    ) -> None:
        self.said, self.find, self.form, self.time, self.block_bytes = said, find, form, time, block_bytes
        # Rows that were read in another way are not what the same file gives now.
        self.way = digest([form.format, form.sheet, time, form.dialect])[:16]
        self.memories: dict[str, Memory] = {}
        self.changes = self.surprises = 0
        self.known = {str(origin["locator"]): origin for origin in since} if self._comparable(since) else {}
        self.extract = Extract(self.batches, whole=not self.known)

    def batches(self) -> Iterator[pl.DataFrame]:
        self.extract.origins.clear()
        paths = self.find()
        if not self.known.keys() <= paths.keys():
            self._all_anew()
        time = TimeColumn(self.time) if self.time is not None else None
        names: dict[str, tuple[str, str]] = {}
        wrong = False
        for name, path in paths.items():
            old = self.known.get(name)
            memory = self.memories.setdefault(name, Memory())
            if old is not None and same(old, path):
                self.extract.origins.append({**old, "mtime_ns": state(path).mtime_ns})
                continue
            row = 1
            for found in self._steadily(name, path, old, memory):
                table = found
                one_case(table.columns, names, name)
                if time is not None:
                    if row == 1 and not time.found and self.time not in table.columns and len(paths) == 1:
                        raise time.absent(table.columns, self.said)
                    if not memory.wrong:
                        table = time.parse(table, where=name, first_row=row)
                row += table.height
                wrong = wrong or memory.wrong
                if not wrong:
                    yield table
            # The rest of the files is looked at all the same: one more reading is to be enough for all of them.
            wrong = wrong or memory.wrong
        if wrong:
            self.surprises += 1
            if self.surprises >= _TRIES:
                raise Busy(
                    f"Columns in {self.said} had other types at each reading. Wait until the writer of these files is done, and run again."
                )
            raise Restart
        self._refuse_empty(time, names)

    def _steadily(self, name: str, path: Path, old: Origin | None, memory: Memory) -> Iterator[pl.DataFrame]:
        """The tables of one file; its origin is noted at the end."""
        try:
            with Steady(path, name, block_bytes=self.block_bytes) as file:
                found = (
                    tables(file.blocks(), name=name, form=self.form, memory=memory, file=file.file)
                    if old is None
                    else rest(file, old, self.form, memory)
                )
                try:
                    rows = 0
                    # Nobody reads ahead in a file that is closed.
                    with closing(found):
                        for table in found:
                            rows += table.height
                            yield table
                    file.check()
                except BadInput:
                    # A line that is only half there is no fault of a file that somebody is writing.
                    if file.changed():
                        raise Changed from None
                    raise
                self.extract.origins.append(self._origin(file, rows, old, memory))
        except NotGrown:
            self._all_anew()
        except Changed:
            self.changes += 1
            if self.changes >= _TRIES:
                raise Busy(
                    f"{name} kept changing while it was read ({_TRIES} tries). Wait until its writer is done, and run again."
                ) from None
            self.memories.pop(name, None)
            clock.sleep(_PAUSE_S)
            raise Restart from None

    def _origin(self, file: Steady, rows: int, old: Origin | None, memory: Memory) -> Origin:
        return {
            "locator": file.name,
            "sha256": file.sha256,
            "rows": rows + (int(old["rows"]) if old is not None else 0),
            "size": file.begun.size,
            "mtime_ns": file.begun.mtime_ns,
            "way": self.way,
            **facts(file, self.form, memory),
        }

    def _comparable(self, since: Sequence[Origin]) -> bool:
        """Whether all that was read before is still there, or is the beginning of what is there."""
        if not since:
            return False
        paths = self.find()
        return all(origin.get("way") == self.way and continues(origin, paths.get(str(origin["locator"]))) for origin in since)

    def _all_anew(self) -> None:
        self.known, self.extract.whole = {}, True
        self.memories.clear()
        raise Restart

    def _refuse_empty(self, time: TimeColumn | None, names: dict[str, tuple[str, str]]) -> None:
        origins = self.extract.origins
        if self.extract.whole and not any(origin["rows"] for origin in origins):
            listed = ", ".join(str(origin["locator"]) for origin in origins[:3])
            raise BadInput(f"{self.said} holds no rows: {listed} has at most a header.")
        if time is not None and names and not time.found:
            raise time.absent([column for column, _ in names.values()], self.said)


def one_case(columns: Sequence[str], names: dict[str, tuple[str, str]], where: str) -> None:
    """BadInput when two columns, of one file or of several, differ by upper and lower case alone: databases and people take them for one."""
    for column in columns:
        known = names.setdefault(column.casefold(), (column, where))
        if known[0] != column:
            places = where if known[1] == where else f"{known[1]} and {where}"
            raise BadInput(
                f"{places}: the columns {known[0]!r} and {column!r} differ by upper and lower case alone, which databases and people take for the same. "
                "Give them one name, or two that differ."
            )
