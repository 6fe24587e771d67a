"""The shipped suite over the sources that have no test file for it of their own."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import polars as pl
from captured import answer, label, release

from everloop.core.ports import Place, Source
from everloop.core.tables import Column
from everloop.data.sources.feedback import Feedback
from everloop.data.sources.files import Files
from everloop.store import captures
from everloop.store.workspace import current
from everloop.testing.sources import LARGE_BYTES, SourceSuite


class FilesSuite(SourceSuite):
    """Files of one kind in a folder; each addition is a new file."""

    incremental = True
    suffix = "csv"

    def source(self, place: Place) -> Source:
        return Files(f"data/*.{self.suffix}")

    def begin(self, place: Place) -> None:
        for at in range(2):
            self.put(place, f"{at}", pl.DataFrame({"n": [at, at + 10, at + 20], "t": ["a", "b", None]}))

    def add(self, place: Place) -> None:
        count = len(list((place.project / "data").iterdir()))
        self.put(place, f"more{count:02}", pl.DataFrame({"n": [count], "t": ["c"]}))

    def change(self, place: Place) -> None:
        self.put(place, "0", pl.DataFrame({"n": [9, 10, 20], "t": ["a", "b", None]}))

    def remove(self, place: Place) -> None:
        self.path(place, "1").unlink()

    def vanish(self, place: Place) -> None:
        for path in (place.project / "data").iterdir():
            path.unlink()

    def enlarge(self, place: Place) -> None:
        texts = [str(at).rjust(99_999, "x") for at in range(LARGE_BYTES // 99_999 + 1)]
        self.put(place, "large", pl.DataFrame({"n": range(len(texts)), "t": texts}))

    def path(self, place: Place, name: str) -> Path:
        return place.project / "data" / f"{name}.{self.suffix}"

    def put(self, place: Place, name: str, table: pl.DataFrame) -> None:
        """By another file in its place, so that it does not depend on the clock whether a change shows."""
        (place.project / "data").mkdir(exist_ok=True)
        other = place.project / "new"
        match self.suffix:
            case "csv":
                table.write_csv(other)
            case "jsonl":
                table.write_ndjson(other)
            case "parquet":
                table.write_parquet(other, row_group_size=100)
            case _:
                table.write_ipc(other, record_batch_size=100)
        other.replace(self.path(place, name))


class TestCsv(FilesSuite):
    pass


class TestJsonLines(FilesSuite):
    suffix = "jsonl"


class TestParquet(FilesSuite):
    suffix = "parquet"


class TestArrow(FilesSuite):
    suffix = "arrow"


class TestOneFileThatGrows(SourceSuite):
    """Appended to, as a log is."""

    incremental = True

    def source(self, place: Place) -> Source:
        return Files("log.csv")

    def begin(self, place: Place) -> None:
        (place.project / "log.csv").write_text("n,t\n1,a\n2,b\n")

    def add(self, place: Place) -> None:
        with (place.project / "log.csv").open("a") as file:
            file.write(f"{file.tell()},c\n")

    def change(self, place: Place) -> None:
        self._replace(place, (place.project / "log.csv").read_text().replace("1,a", "7,a", 1))

    def remove(self, place: Place) -> None:
        self._replace(place, (place.project / "log.csv").read_text().replace("2,b\n", "", 1))

    def _replace(self, place: Place, text: str) -> None:
        (place.project / "new").write_text(text)
        (place.project / "new").replace(place.project / "log.csv")


class TestChain(FilesSuite):
    """Files, and what the loop answered since."""

    def source(self, place: Place) -> Source:
        return super().source(place) + Feedback()  # type: ignore[operator]

    def begin(self, place: Place) -> None:
        super().begin(place)
        release(current(), (Column("n", "float"),), Column("t", "text"), loop=place.loop)
        self.label(place, 0)

    def add(self, place: Place) -> None:
        super().add(place)
        self.label(place, len(list((place.project / "data").iterdir())))

    def label(self, place: Place, at: int) -> None:
        with closing(captures.Writer(current().predictions, place.loop)) as writer:
            label(current(), answer(writer, 1, [float(at)], loop=place.loop), "d", at=float(at), loop=place.loop)


class TestChainOfAlikes(TestCsv):
    """Two members that say the same of themselves."""

    def source(self, place: Place) -> Source:
        return super().source(place) + Files("data/*.csv", missing=("x",))  # type: ignore[operator]
