"""The shipped checks for sources: a sound one passes, and each planted fault is caught by the check that is for it, and by no other."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import lines_source as planted
import pytest

from everloop.core.ports import Place, Source
from everloop.testing.sources import LARGE_BYTES, SourceSuite

CHECKS = [name for name in vars(SourceSuite) if name.startswith("test_")]


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(planted.PASSWORD, planted.SECRET)


class LinesSuite(SourceSuite):
    secret = planted.SECRET
    incremental = True
    make: ClassVar[Callable[[str], Source]] = planted.Lines

    def source(self, place: Place) -> Source:
        return type(self).make("lines.txt")

    def begin(self, place: Place) -> None:
        self._path(place).write_text("a1\na2\n" + "".join(f"b{n:03}\n" for n in range(30)))

    def add(self, place: Place) -> None:
        with self._path(place).open("a") as file:
            file.write(f"c{file.tell():06}\n")

    def change(self, place: Place) -> None:
        text = self._path(place).read_text()
        self._replace(place, text.replace("a1", "a9", 1))

    def remove(self, place: Place) -> None:
        self._replace(place, self._path(place).read_text().replace("a2\n", "", 1))

    def vanish(self, place: Place) -> None:
        self._path(place).unlink()

    def enlarge(self, place: Place) -> None:
        self._path(place).write_text(("x" * 999_999 + "\n") * (LARGE_BYTES // 999_999 + 1))

    def _path(self, place: Place) -> Path:
        return place.project / "lines.txt"

    def _replace(self, place: Place, text: str) -> None:
        """By another file, so that it does not depend on the clock whether the change shows."""
        other = place.project / "other"
        other.write_text(text)
        other.replace(self._path(place))


class TestLines(LinesSuite):
    pass


ONE_LINE = "test_it_says_what_it_is_in_one_line"
SECRET = "test_a_secret_shows_nowhere"
PARAMETER = "test_it_can_be_a_parameter_of_a_step"
STAYS = "test_its_stamp_stays_while_nothing_changes"
SHOWS = "test_its_stamp_shows_each_change"
CHEAP = "test_its_stamp_reads_no_rows"
TWICE = "test_reading_twice_gives_the_same"
ANEW = "test_reading_begins_anew_each_time"
SMALL = "test_batches_are_small"
ORIGINS = "test_origins_tell_what_was_read"
NOTHING = "test_nothing_new_gives_nothing_again"
NEW = "test_only_new_rows_come_after_since"
CHANGED = "test_a_change_is_read_as_a_whole"
CHAINS = "test_it_chains"
GONE = "test_what_is_gone_is_said_in_a_sentence"


def failing(suite: SourceSuite, folder: Path) -> dict[str, str]:
    """The checks that a suite does not pass, with what they said."""
    found: dict[str, str] = {}
    for check in CHECKS:
        try:
            getattr(suite, check)(folder / check)
        except unittest.SkipTest:
            continue
        except Exception as error:
            found[check] = f"{type(error).__name__}: {error}"
    return found


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (planted.TwoLines, ONE_LINE),
        (planted.Talks, SECRET),
        (planted.Notes, SECRET),
        (planted.Complains, SECRET),
        (planted.Keeps, PARAMETER),
        (planted.Loose, PARAMETER),
        (planted.Plain, PARAMETER),
        (planted.Restless, STAYS),
        (planted.BySize, SHOWS),
        (planted.Thorough, CHEAP),
        (planted.Shuffles, TWICE),
        (planted.GoesOn, ANEW),
        (planted.Doubles, ANEW),
        (planted.AllAtOnce, SMALL),
        (planted.Miscounts, ORIGINS),
        (planted.Seconds, ORIGINS),
        (planted.Again, NOTHING),
        (planted.Overlaps, NEW),
        (planted.Forgets, NEW),
        (planted.Trusts, CHANGED),
        (planted.Alone, CHAINS),
        (planted.Bare, GONE),
    ],
)
def test_a_planted_fault_is_caught_by_the_check_that_is_for_it(fault: Any, check: str, tmp_path: Path) -> None:
    class Faulty(LinesSuite):
        make = fault

        def _can(self, what: str) -> bool:
            # 100 MB are written only for those who may stumble over them.
            return (what != "enlarge" or check in (CHEAP, SMALL)) and super()._can(what)

    assert list(failing(Faulty(), tmp_path)) == [check]


def test_what_a_suite_has_no_hooks_for_is_skipped(tmp_path: Path) -> None:
    class Least(SourceSuite):
        def source(self, place: Place) -> Source:
            return planted.Lines("lines.txt")

        def begin(self, place: Place) -> None:
            (place.project / "lines.txt").write_text("a\nb\n")

    skipped: list[str] = []
    for check in CHECKS:
        try:
            getattr(Least(), check)(tmp_path / check)
        except unittest.SkipTest:
            skipped.append(check)
    assert skipped == [SECRET, CHEAP, SMALL, NEW, CHANGED, GONE]
