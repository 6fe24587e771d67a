"""The shipped checks for formats: all of ours pass, and each planted fault is caught by the check that is for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everloop.core.artifacts import Artifact, InBlob, Kept
from everloop.core.verdict import Verdict
from everloop.engine.artifacts import format_of
from everloop.engine.formats.array import ArrayFormat
from everloop.engine.formats.plain import PlainFormat
from everloop.testing.formats import FormatSuite

WORDS = ("red", "green", "blue", "white", "black")


class TestPlain(FormatSuite):
    form = format_of("json")

    def examples(self) -> list[Any]:
        return [None, 1, 1.0, "1", [1], (1,), {1}, set(WORDS), {"a": [1]}, {"a": {"b": {*WORDS, "x"}}}, [], {}]


class TestRecord(FormatSuite):
    form = format_of("record")

    def examples(self) -> list[Any]:
        return [Verdict(question="a", about=""), Verdict(question="b", about="")]


class Words:
    def __init__(self, *words: str) -> None:
        self.words = set(words)

    def __everloop_save__(self, folder: Path) -> None:
        (folder / "words").write_text("\n".join(sorted(self.words)))

    @classmethod
    def __everloop_load__(cls, folder: Path) -> Words:
        return cls(*(folder / "words").read_text().splitlines())


class TestOwn(FormatSuite):
    form = format_of("own")

    def examples(self) -> list[Any]:
        return [Words(*WORDS), Words("red")]


class TestPickle(FormatSuite):
    form = format_of("pickle")

    def examples(self) -> list[Any]:
        return [Words(*WORDS), Words("red"), [Words()], Words]

    def test_it_takes_its_examples_and_nothing_else(self) -> None:
        """It takes everything."""


class TestTable(FormatSuite):
    form = format_of("table")

    def examples(self) -> list[Any]:
        import polars as pl

        wide = [pl.DataFrame({"a": [1, None]}, schema={"a": dtype}) for dtype in (pl.Int8, pl.Int64, pl.Int128, pl.Decimal(10, 2))]
        kinds = [
            pl.DataFrame({"a": ["x", None]}, schema={"a": dtype})
            for dtype in (pl.String, pl.Categorical, pl.Enum(["x"]), pl.Enum(["x", "y"]))
        ]
        nested = [pl.DataFrame({"a": [[1], []]}), pl.DataFrame({"a": [[1], None]}), pl.DataFrame({"a": [[1], [None]]})]
        return [*wide, *kinds, *nested, pl.DataFrame({"a": [{"x": None}, None]}, schema={"a": pl.Struct({"x": pl.Int8})})]


class TestSeries(FormatSuite):
    form = format_of("series")

    def examples(self) -> list[Any]:
        import polars as pl

        return [pl.Series("a", [1, None]), pl.Series("b", [1, None]), pl.Series("a", ["x"]), pl.Series("a", [[1]])]


class TestArrow(FormatSuite):
    form = format_of("arrow")

    def examples(self) -> list[Any]:
        import pyarrow as pa

        plain = pa.table({"a": pa.array([1, None], pa.int8()), "b": ["x", "y"]})
        lists = pa.table({"a": [[1], []]})
        return [plain, plain.replace_schema_metadata({"k": "v"}), lists, pa.table({"a": ["x"]}), pa.table({}), plain.slice(0, 0)]


class TestPandas(FormatSuite):
    form = format_of("pandas")

    def examples(self) -> list[Any]:
        import pandas as pd

        named = pd.DataFrame({"a": [1]}).rename_axis(columns="names")
        return [
            pd.DataFrame({"a": [1]}),
            pd.DataFrame({"a": [1.0]}),
            pd.DataFrame({"a": ["x"]}),
            pd.DataFrame({"a": [1]}, index=[5]),
            named,
        ]


class TestPandasSeries(FormatSuite):
    form = format_of("pandas-series")

    def examples(self) -> list[Any]:
        import pandas as pd

        return [pd.Series([1]), pd.Series([1], name="a"), pd.Series([1], name=("a", 1)), pd.Series(["x", None]), pd.Series([1.5, None])]


def arrays() -> list[Any]:
    import numpy as np

    square = np.arange(6.0).reshape(2, 3)
    records = np.array([(1, 2.0)], dtype=[("i", "i1"), ("x", "f8")])
    # Beyond the size from which arrays are mapped into memory.
    return [
        np.arange(6),
        square,
        np.asfortranarray(square.T),
        np.array(1.5),
        np.array([]),
        records,
        np.arange(200_000),
        np.array(["a", "bc"]),
    ]


class TestArray(FormatSuite):
    form = format_of("array")

    def examples(self) -> list[Any]:
        return arrays()


class Located(FormatSuite):
    """Of paths the content counts, and the last name."""

    @staticmethod
    def made(name: str, content: bytes) -> Path:
        import tempfile

        path = Path(tempfile.mkdtemp(prefix="everloop-test-")) / name
        path.write_bytes(content)
        return path


class TestFile(Located):
    form = format_of("file")

    def examples(self) -> list[Any]:
        return [self.made("a", b"1"), self.made("b", b"1"), self.made("a", b"2" * 3_000_000), self.made("a", b"")]


class TestFolder(Located):
    form = format_of("folder")

    def examples(self) -> list[Any]:
        return [self.made("a", b"1").parent, self.made("b", b"1").parent]

    def same(self, one: Any, other: Any) -> bool:
        return {file.name: file.read_bytes() for file in one.iterdir()} == {file.name: file.read_bytes() for file in other.iterdir()}


class TestBundle(FormatSuite):
    form = format_of("bundle")

    def examples(self) -> list[Any]:
        import numpy as np
        import polars as pl

        table = pl.DataFrame({"a": [1]})
        several = {"table": table, "words": Words(*WORDS), "more": (Words("red"), 1)}
        return [[table], (table,), {"a": table}, {1: table, "n": {"x": [np.arange(3), set(WORDS)]}}, several, [[], [table]]]


# What follows plants one fault at a time.


class Planted(FormatSuite):
    __test__ = False
    form = ArrayFormat()

    def examples(self) -> list[Any]:
        return arrays()


class Widening(ArrayFormat):
    def load(self, tx: Any, blobs: Any, artifact: Artifact) -> Any:
        loaded: Any = super().load(tx, blobs, artifact)
        return loaded.astype("f8") if loaded.dtype.kind == "i" else loaded


class Sharing(ArrayFormat):
    def duplicate(self, value: Any) -> Any:
        return value[...]


class Writing(ArrayFormat):
    """Maps the very blob, to be written to."""

    def load(self, tx: Any, blobs: Any, artifact: Artifact) -> Any:
        import numpy as np

        return np.load(blobs.file(artifact.blob), mmap_mode="r+").view(np.ndarray) if blobs.has(artifact.blob) else None


class Sorting(ArrayFormat):
    def save(self, blobs: Any, value: Any) -> Any:
        if value.ndim and value.dtype.names is None:
            value.ravel()[::-1].sort()
            value[...] = value[::-1]
        return super().save(blobs, value)


class Trusting(ArrayFormat):
    """Reads without asking whether it is what was put."""

    def load(self, tx: Any, blobs: Any, artifact: Artifact) -> Any:
        import numpy as np

        return np.load(blobs.folder / artifact.blob[:2] / artifact.blob, allow_pickle=False)


class Certain(ArrayFormat):
    def present(self, tx: Any, blobs: Any, artifact: Artifact) -> bool:
        return True


class Silent(ArrayFormat):
    """Does not say what it reaches, so a collector would delete it."""

    def reached(self, blobs: Any, artifact: Artifact) -> Iterator[Any]:
        yield from ()


class Forgetful(ArrayFormat):
    def save(self, blobs: Any, value: Any) -> Kept:
        return Kept("0" * 64, super().save(blobs, value).blob)


class Random(ArrayFormat):
    def save(self, blobs: Any, value: Any) -> Kept:
        return Kept(os.urandom(32).hex(), super().save(blobs, value).blob)


class Greedy(ArrayFormat):
    def takes(self, value: Any) -> bool:
        return True


class Picky(ArrayFormat):
    def takes(self, value: Any) -> bool:
        return super().takes(value) and value.ndim > 0


class Unsorted(PlainFormat, InBlob):
    """Names sets by the order that they happen to have in this process."""

    def save(self, blobs: Any, value: Any) -> Kept:
        from everloop.core.digest import digest

        return Kept(digest(repr(value)), super().save(blobs, value).blob)


class TestUnsortedSets(FormatSuite):
    """Only another process shows it; so the class must be found there by its name."""

    __test__ = False
    form = Unsorted()

    def examples(self) -> list[Any]:
        return [set(WORDS)]


BACK = "test_a_value_comes_back_as_it_was"
OWN = "test_a_loaded_value_is_its_own"
TWIN = "test_a_duplicate_can_be_changed"
SAVING = "test_saving_leaves_the_value_as_it_was"
EQUAL = "test_equal_values_have_one_output_in_every_process"
DIFFERENT = "test_different_values_have_different_outputs"
PRESENT = "test_it_is_present_as_long_as_all_of_it_is_there"
DAMAGE = "test_damage_is_noticed"
TAKES = "test_it_takes_its_examples_and_nothing_else"


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (Widening, BACK),
        (Sharing, TWIN),
        (Writing, OWN),
        (Sorting, SAVING),
        (Trusting, DAMAGE),
        (Certain, PRESENT),
        (Forgetful, DIFFERENT),
        (Random, EQUAL),
        (Greedy, TAKES),
        (Picky, TAKES),
    ],
)
def test_a_planted_fault_is_caught(fault: type[ArrayFormat], check: str, tmp_path: Path) -> None:
    suite = Planted()
    suite.form = fault()  # type: ignore[misc]
    run = getattr(suite, check)
    with pytest.raises(Exception, match=r".") as caught:
        run() if check == TAKES else run(tmp_path)
    assert isinstance(caught.value, AssertionError) or fault is Writing, caught.value


def test_a_set_s_order_is_caught_in_another_process(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="in another process"):
        getattr(TestUnsortedSets(), EQUAL)(tmp_path)
