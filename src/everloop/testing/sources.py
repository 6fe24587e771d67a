"""What a source must do, as tests: for people who add one.

In a test file of the source's package:

    class TestTickets(SourceSuite):
        def source(self, place):
            return Tickets("desk.db")

        def begin(self, place):
            write(place.project / "desk.db", ["a", "b"])

        def add(self, place):
            append(place.project / "desk.db", ["c"])

pytest then runs each `test_…` below; those for which the suite has no way to change what is there are skipped.
"""

from __future__ import annotations

import copy
import logging
import pickle
import re
import traceback
import unittest
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from everloop.core.digest import digest
from everloop.core.errors import BadInput, Busy, EverloopError, NotFound
from everloop.core.ports import BATCH_BYTES, Extract, Place, Source
from everloop.core.tables import Origin
from everloop.engine.keys import canonical
from everloop.store.workspace import Workspace, using

if TYPE_CHECKING:
    import polars as pl

LARGE_BYTES = 3 * BATCH_BYTES
"""What `enlarge` should make of a source, in memory."""

# What a stamp may read, of any source: headers, catalogues, listings.
_STAMP_BYTES = 1 << 20
_HEX = re.compile(r"[0-9a-f]{64}")
_IO = Path("/proc/self/io")


class SourceSuite:
    """Hooks get the place that the source reads from, with its workspace open; a fixture of the subclass may start a server first.

    `begin` puts at least two rows there. `add` adds some; each call other ones. `change` changes a row that was there, `remove` takes
    some away, `vanish` takes everything away (the file, the table, the server), `enlarge` makes it `LARGE_BYTES` large: leave out what
    the source cannot do or cannot see. `secret` is a password that the source uses, if it uses one.

    With `incremental` the source must tell added rows from old ones; without it, it may give all rows again.
    """

    secret: ClassVar[str] = ""
    incremental: ClassVar[bool] = False

    def source(self, place: Place) -> Source:
        """An equal one at each call."""
        raise NotImplementedError

    def begin(self, place: Place) -> None:
        raise NotImplementedError

    def add(self, place: Place) -> None:
        raise NotImplementedError

    def change(self, place: Place) -> None:
        raise NotImplementedError

    def remove(self, place: Place) -> None:
        raise NotImplementedError

    def vanish(self, place: Place) -> None:
        raise NotImplementedError

    def enlarge(self, place: Place) -> None:
        raise NotImplementedError

    def bytes_served(self) -> int:
        """What a server of the test's own has sent so far. What this process itself reads from files is counted without it."""
        return 0

    def test_it_says_what_it_is_in_one_line(self, tmp_path: Path) -> None:
        with self._world(tmp_path) as place:
            said = self.source(place).describe()
            assert said.strip() == said != "", f"describe() is {said!r}, expected the connector and the locator"
            assert said.isprintable(), f"describe() is not one printable line: {said!r}"
            assert said == self.source(place).describe(), "describe() of two equal sources differs"

    def test_a_secret_shows_nowhere(self, tmp_path: Path) -> None:
        if not self.secret:
            raise unittest.SkipTest("the source uses no secret")
        with self._world(tmp_path) as place, _logged() as lines:
            source = self.source(place)
            extract = source.read(place)
            _collect(extract)
            shown = {
                "describe()": source.describe(),
                "repr()": repr(source),
                "stamp()": source.stamp(place),
                "origins": repr(extract.origins),
            }
            if self._can("vanish"):
                self.vanish(place)
                try:
                    _collect(self.source(place).read(place))
                except Exception as error:
                    shown["error"] = "".join(traceback.format_exception(error))
            shown["log"] = "\n".join(lines)
            for where, text in shown.items():
                assert self.secret not in text, f"the secret is in {where}: {text.replace(self.secret, '<secret>')!r:.300}"
            for file in place.home.rglob("*"):
                assert not file.is_file() or self.secret.encode() not in file.read_bytes(), f"the secret is in {file}"

    def test_it_can_be_a_parameter_of_a_step(self, tmp_path: Path) -> None:
        """Frozen, compared by its fields, sent to other processes; and no secret is among the fields, which the step's key covers."""
        with self._world(tmp_path) as place:
            one, other = self.source(place), self.source(place)
            assert isinstance(one, Source), f"{type(one).__qualname__} lacks a method of everloop.core.ports.Source"
            assert hash(one) == hash(other), "equal sources have different hashes"
            assert digest(canonical(one)) == digest(canonical(other)), "equal sources make different keys of a step"
            _must_be_frozen(one)
            sent = pickle.dumps(one)
            assert self.secret.encode() not in sent or not self.secret, "a field of the source holds the secret"
            assert pickle.loads(sent) == one, "the source is another one after it was sent to another process"  # noqa: S301  # our own bytes

    def test_its_stamp_stays_while_nothing_changes(self, tmp_path: Path) -> None:
        with self._world(tmp_path) as place:
            source = self.source(place)
            before = source.stamp(place)
            assert isinstance(before, str), f"the stamp is {before!r}, expected text"
            assert source.stamp(place) == before, "two stamps in a row differ"
            _collect(source.read(place))
            assert self.source(place).stamp(place) == before, "the stamp changed by reading"

    def test_its_stamp_shows_each_change(self, tmp_path: Path) -> None:
        for at, what in enumerate(what for what in ("add", "change", "remove") if self._can(what)):
            with self._world(tmp_path / str(at)) as place:
                before = self.source(place).stamp(place)
                getattr(self, what)(place)
                assert self.source(place).stamp(place) != before, f"the stamp stayed after {what}()"

    def test_its_stamp_reads_no_rows(self, tmp_path: Path) -> None:
        with self._world(tmp_path) as place:
            source = self.source(place)
            source.stamp(place)
            self._must("enlarge", place)
            before = _bytes_read(), self.bytes_served()
            source.stamp(place)
            read, served = _bytes_read() - before[0], self.bytes_served() - before[1]
            assert read <= _STAMP_BYTES, f"the stamp read {read:,} bytes from files"
            assert served <= _STAMP_BYTES, f"the stamp fetched {served:,} bytes"

    def test_reading_twice_gives_the_same(self, tmp_path: Path) -> None:
        with self._world(tmp_path) as place:
            one, other = self.source(place).read(place), self.source(place).read(place)
            table = _collect(one)
            assert table.height >= 2, f"begin() should put at least two rows there; {table.height} were read"
            assert one.whole, "a reading without a past must be whole"
            _must_equal(_collect(other), table, "read again")
            assert other.origins == one.origins, f"origins were {one.origins}, and read again {other.origins}"

    def test_reading_begins_anew_each_time(self, tmp_path: Path) -> None:
        """Also when the reader stopped in the middle, as after a Restart."""
        with self._world(tmp_path) as place:
            extract = self.source(place).read(place)
            table, origins = _collect(extract), copy.deepcopy(extract.origins)
            begun = iter(extract.batches())
            next(begun)
            _must_equal(_collect(extract), table, "read after a reading that was left in the middle")
            assert extract.origins == origins, f"origins were {origins}, and read again {extract.origins}"

    def test_batches_are_small(self, tmp_path: Path) -> None:
        with self._world(tmp_path) as place:
            before = _collect(self.source(place).read(place)).height
            self._must("enlarge", place)
            extract = self.source(place).read(place)
            rows = bytes_ = 0
            for batch in extract.batches():
                size = int(batch.estimated_size())
                assert size <= 2 * BATCH_BYTES or batch.height == 1, (
                    f"a batch of {batch.height:,} rows has {size / 1e6:.0f} MB, expected about {BATCH_BYTES / 1e6:.0f} MB at most"
                )
                rows, bytes_ = rows + batch.height, bytes_ + size
            assert bytes_ >= LARGE_BYTES, f"enlarge() made {bytes_:,} bytes of rows, expected {LARGE_BYTES:,}"
            assert rows > before, "enlarge() added no rows"
            assert _rows(extract.origins) == rows, f"origins tell of {_rows(extract.origins)} rows, {rows} were read"

    def test_origins_tell_what_was_read(self, tmp_path: Path) -> None:
        with self._world(tmp_path) as place:
            extract = self.source(place).read(place)
            rows = _collect(extract).height
            assert extract.origins, "there are no origins"
            for origin in extract.origins:
                for name, value in origin.items():
                    assert type(name) is str, f"the origin's key {name!r} is no text"
                    assert type(value) in (str, int), f"the origin's {name} is {value!r}; only texts and integers are kept"
                assert origin.get("locator"), f"an origin has no locator: {origin}"
                assert _HEX.fullmatch(str(origin.get("sha256"))), f"the origin's sha256 is {origin.get('sha256')!r}, expected 64 hex digits"
                assert type(origin.get("rows")) is int, f"the origin's rows are {origin.get('rows')!r}"
            assert _rows(extract.origins) == rows, f"origins tell of {_rows(extract.origins)} rows, {rows} were read"

    def test_nothing_new_gives_nothing_again(self, tmp_path: Path) -> None:
        with self._world(tmp_path) as place:
            table, past = self._past(place)
            extract = self._since(place, past)
            found = _collect(extract)
            if extract.whole and not self.incremental:
                _must_hold_the_same(found, table, "read whole although nothing was new")
                return
            assert not extract.whole, "all is read again although nothing is new"
            assert found.height == 0, f"nothing is new, and {found.height} rows were given as new ones"
            assert _rows(extract.origins) == table.height, f"origins tell of {_rows(extract.origins)} rows, {table.height} are there"

    def test_only_new_rows_come_after_since(self, tmp_path: Path) -> None:
        """Three times in a row: each reading's origins are the past of the next one."""
        with self._world(tmp_path) as place:
            from everloop.data.sources.union import union

            known, past = self._past(place)
            for _ in range(3):
                self._must("add", place)
                extract = self._since(place, past)
                found = _collect(extract)
                assert not extract.whole or not self.incremental, "rows were added, and all is read again"
                known = found if extract.whole else union([known, found])
                there = _collect(self.source(place).read(place))
                _must_hold_the_same(known, there, "after rows were added")
                assert _rows(extract.origins) == there.height, f"origins tell of {_rows(extract.origins)} rows, {there.height} are there"
                past = list(extract.origins)

    def test_a_change_is_read_as_a_whole(self, tmp_path: Path) -> None:
        changes = [what for what in ("change", "remove") if self._can(what)]
        if not changes:
            raise unittest.SkipTest("the suite has neither change() nor remove()")
        for at, what in enumerate([*changes, *(f"add and {what}" for what in changes)]):
            with self._world(tmp_path / str(at)) as place:
                _, past = self._past(place)
                for each in what.split(" and "):
                    getattr(self, each)(place)
                extract = self._since(place, past)
                found = _collect(extract)
                assert extract.whole, f"after {what}() the reading is not whole: what was kept before stays as it no longer is"
                _must_hold_the_same(found, _collect(self.source(place).read(place)), f"read after {what}()")

    def test_it_chains(self, tmp_path: Path) -> None:
        with self._world(tmp_path) as place:
            from everloop.data.sources.files import Files
            from everloop.data.sources.union import union

            beside = Files("beside.csv")
            (place.project / "beside.csv").write_text("beside\n1\n2\n")
            alone, other = _collect(self.source(place).read(place)), _collect(beside.read(place))
            for chain, tables in ((self.source(place) + beside, [alone, other]), (beside + self.source(place), [other, alone])):  # type: ignore[operator]
                extract = chain.read(place)
                _must_hold_the_same(_collect(extract), union(tables), f"read as {chain.describe()}")
                assert _rows(extract.origins) == alone.height + other.height, f"origins of the chain: {extract.origins}"

    def test_what_is_gone_is_said_in_a_sentence(self, tmp_path: Path) -> None:
        with self._world(tmp_path) as place:
            self._must("vanish", place)
            said = _said(lambda: _collect(self.source(place).read(place)))
            assert len(said.split()) >= 3, f"expected what is gone, in a sentence: {said!r}"
            assert said.rstrip()[-1] in ".?!", f"expected what is gone, in a whole sentence: {said!r}"
            with suppress(BadInput, NotFound, Busy):
                self.source(place).stamp(place)

    @contextmanager
    def _world(self, folder: Path) -> Iterator[Place]:
        project = folder / "project"
        project.mkdir(parents=True)
        home = project / ".everloop"
        with (
            Workspace(project, home=home, database_url=f"sqlite:///{home / 'everloop.db'}", blobs=str(home / "blobs")) as workspace,
            using(workspace),
        ):
            place = Place("examined", workspace.project, workspace.home)
            self.begin(place)
            yield place

    def _past(self, place: Place) -> tuple[pl.DataFrame, list[Origin]]:
        extract = self.source(place).read(place)
        table = _collect(extract)
        return table, list(extract.origins)

    def _since(self, place: Place, past: list[Origin]) -> Extract:
        """Read with a past that comes from the store: nobody may write into it."""
        return self.source(place).read(place, since=tuple(MappingProxyType(dict(origin)) for origin in past))

    def _can(self, what: str) -> bool:
        return getattr(type(self), what) is not getattr(SourceSuite, what)

    def _must(self, what: str, place: Place) -> None:
        if not self._can(what):
            raise unittest.SkipTest(f"the suite has no {what}()")
        getattr(self, what)(place)


def _collect(extract: Extract) -> pl.DataFrame:
    from everloop.data.sources.union import collect

    return collect(extract)


def _rows(origins: list[Origin]) -> int:
    return sum(int(origin.get("rows", 0)) for origin in origins)


def _must_equal(found: pl.DataFrame, expected: pl.DataFrame, how: str) -> None:
    assert found.schema == expected.schema, f"{how}, the columns are {dict(found.schema)}, not {dict(expected.schema)}"
    _must_hold_the_same(found, expected, how)
    assert found.equals(expected), f"{how}, the rows come in another order"


def _must_hold_the_same(found: pl.DataFrame, expected: pl.DataFrame, how: str) -> None:
    """Whatever the order of rows and columns."""
    ours, theirs = _counted(found), _counted(expected)
    extra, lacking = (ours - theirs).total(), (theirs - ours).total()
    assert ours == theirs, f"{how}, {extra} of {found.height} rows should not be there and {lacking} are lacking"


def _counted(table: pl.DataFrame) -> Counter[str]:
    return Counter(map(repr, table.select(sorted(table.columns)).iter_rows()))


def _must_be_frozen(source: Source) -> None:
    names = [*getattr(source, "__struct_fields__", ()), *getattr(source, "__dataclass_fields__", ()), *getattr(source, "__dict__", ())]
    for name in dict.fromkeys(names):
        value = getattr(source, name)
        try:
            setattr(source, name, value)
        except (AttributeError, TypeError):
            continue
        raise AssertionError(f"{name} of the source can be changed after it was declared: make the class frozen")


def _said(read: Callable[[], Any]) -> str:
    """The message with which a reading ends; BadInput, NotFound, or Busy where the source may come back."""
    try:
        read()
    except (BadInput, NotFound, Busy) as error:
        return str(error)
    except EverloopError as error:
        raise AssertionError(f"a source that is gone is {type(error).__name__}: {error}; expected NotFound, BadInput or Busy") from error
    except Exception as error:
        raise AssertionError(f"a source that is gone ends with a library's {type(error).__qualname__}: {error}") from error
    raise AssertionError("the source is gone, and could be read")


def _bytes_read() -> int:
    """By this process so far, from files and pipes, also where the system had them in memory. 0 where the system does not tell."""
    with suppress(OSError):
        return next(int(line.split()[1]) for line in _IO.read_text().splitlines() if line.startswith("rchar"))
    return 0


@contextmanager
def _logged() -> Iterator[list[str]]:
    """All that is logged meanwhile, however small."""
    lines: list[str] = []

    class _Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    root, handler = logging.getLogger(), _Handler()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
