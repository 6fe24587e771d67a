from __future__ import annotations

import csv
import io
import re
import threading
from contextlib import closing
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput
from everloop.data.sources.csv.cells import Kinds, look, packed, typed, unpacked
from everloop.data.sources.csv.marks import survey
from everloop.data.sources.csv.read import Dialect, Learned, read
from everloop.data.sources.csv.records import Records, value
from everloop.data.sources.union import union

WHOLE = 1 << 30
SIZES = st.one_of(st.integers(1, 12), st.just(WHOLE))
# What numbers, truth values, nothing and text look like, and what looks nearly like them.
ODD = [
    "", " ", "  ", "\t", "0", "7", "-7", "+7", " 7", "7 ", "007", "-007", "00", "0.5", "00.5", ".5", "5.", "1e3", "1.e5", "1E400", "1e-400", "nan", "NaN",
    "inf", "-Inf", "Infinity", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "99999999999999999999", "1e20", "true", "TRUE",
    "False", "t", "1_000", "1,5", "0x1F", "2026-01-02", "01/02/2026", "08:30", "x", "é", '"', '""', 'a"b', "null", "None", "-", "٣", "1d", "9" * 400, "-" + "9" * 400,
]  # fmt: skip
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.sampled_from(',";|\t\n'), max_size=6)
CELLS = st.one_of(st.sampled_from(ODD), TEXT)


def taken(data: bytes, size: int = WHOLE, **dialect: Any) -> pl.DataFrame:
    """The file's table, read in blocks of `size` bytes."""
    learned = Learned(Kinds())
    blocks = [data[at : at + size] for at in range(0, len(data), size)]
    for _ in range(3):
        found = list(read(blocks, name="t.csv", dialect=Dialect(**dialect), learned=learned))
        if not learned.wrong:
            return union(found)
    raise AssertionError("a third reading knows no more than the second")


def tables(cells: st.SearchStrategy[Any], widths: tuple[int, int] = (1, 4)) -> st.SearchStrategy[list[list[Any]]]:
    return st.integers(*widths).flatmap(lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=7))


def written(rows: list[list[Any]], **how: Any) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, **{"lineterminator": "\n", **how}).writerows(rows)
    return out.getvalue().encode()


def header_of(rows: list[list[Any]]) -> list[str]:
    return [f"c{at}" for at in range(len(rows[0]))]


def said(cell: object) -> str:
    return "" if cell is None else str(cell)


# --- what was written comes back, wherever the blocks are cut ------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    tables(TEXT.map(lambda text: f"x{text}")),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n"]),
    SIZES,
)
@example([["x^2"], ["x\x01"]], ",", csv.QUOTE_MINIMAL, "\n", 1)
@example([["x^2", "xy"]], ",", csv.QUOTE_MINIMAL, "\n", WHOLE)
def test_text_that_python_wrote_is_read_back_cell_by_cell(rows: list[list[str]], separator: str, quoting: int, end: str, size: int) -> None:
    data = written([header_of(rows), *rows], delimiter=separator, quoting=quoting, lineterminator=end)
    frame = taken(data, size, separator=separator, quotes=True)
    assert frame.columns == header_of(rows)
    assert frame.rows() == [tuple(row) for row in rows]


@settings(max_examples=150, deadline=None)
@given(tables(CELLS, (2, 4)), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), SIZES)
@example([["1", "x"], [" ", "x"], ["true", "x"]], csv.QUOTE_MINIMAL, 1)
@example([["7", "0"], ["007", "0"]], csv.QUOTE_MINIMAL, 1)
@example([["1.50", "0"], ["x", "0"]], csv.QUOTE_MINIMAL, 1)
@example([["1e20", "0"], ["99999999999999999999", "0"]], csv.QUOTE_MINIMAL, 1)
def test_the_size_of_blocks_changes_nothing(rows: list[list[str]], quoting: int, size: int) -> None:
    data = written([header_of(rows), *rows], quoting=quoting)
    whole, parts = taken(data), taken(data, size)
    assert whole.height == len(rows)
    assert parts.schema == whole.schema
    assert parts.equals(whole)
    for name, cells in zip(header_of(rows), zip(*rows, strict=True), strict=True):
        if whole.schema[name] == pl.String:
            assert [said(cell) for cell in whole[name]] == list(cells)
        else:
            for given_cell, cell in zip(cells, whole[name], strict=True):
                same = said(cell).lower() == given_cell.lower() if whole.schema[name] == pl.Boolean else None
                assert (cell is None and not given_cell.strip()) or same or float(cell) == float(given_cell) or cell != cell


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 8), st.sampled_from(",;\t|"), SIZES)
def test_a_table_that_polars_wrote_comes_back(data: st.DataObject, width: int, height: int, separator: str, size: int) -> None:
    columns: dict[str, pl.Series] = {}
    for at in range(width):
        cells, dtype = data.draw(
            st.sampled_from(
                [
                    (st.integers(-(2**63), 2**63 - 1), pl.Int64),
                    (st.floats(allow_nan=False), pl.Float64),
                    (st.booleans(), pl.Boolean),
                    (TEXT.map(lambda text: f"x{text}"), pl.String),
                    (st.sampled_from(["", "x", "y z"]), pl.String),
                ]
            )
        )
        columns[f"c{at}"] = pl.Series(data.draw(st.lists(st.none() | cells, min_size=height, max_size=height)), dtype=dtype)
    frame = pl.DataFrame(columns)
    if width == 1:
        # Nobody can tell an empty line at the end from a value that is missing.
        assume(frame["c0"][-1] is not None)
    found = taken(frame.write_csv(separator=separator).encode(), size, separator=separator, quotes=True)
    for name in frame.columns:
        # A column that is empty, or empty texts alone, has no type of its own in a file; whole floats are written with a point.
        expected = frame[name] if frame[name].count() else frame[name].cast(pl.String)
        assert found[name].to_list() == expected.to_list()


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 3), st.integers(1, 6), st.sampled_from(",;\t|"), SIZES)
def test_a_table_that_pandas_wrote_comes_back(data: st.DataObject, width: int, height: int, separator: str, size: int) -> None:
    kinds = [st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.booleans(), TEXT.map(lambda text: f"x{text}")]
    frame = pd.DataFrame(
        {f"c{at}": data.draw(st.lists(data.draw(st.sampled_from(kinds)), min_size=height, max_size=height)) for at in range(width)}
    )
    found = taken(frame.to_csv(sep=separator).encode(), size, separator=separator, quotes=True)
    assert found.columns == ["column_1", *frame.columns]
    for name in frame.columns:
        assert found[name].to_list() == frame[name].tolist()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["a", "1", ",", '"', "\n", "\r\n", " ", '""', "é"]), max_size=24).map("".join), SIZES)
def test_whatever_the_bytes_rows_are_those_of_pythons_strict_reader_or_none(text: str, size: int) -> None:
    data = f"h,k\n{text}\n".encode()
    try:
        records = [row for row in csv.reader(io.StringIO(data.decode(), newline=""), strict=True) if row]
        # A blank line and blanks in quotes are one to that reader.
        assume(not any(len(row) == 1 and row[0] and not row[0].strip() for row in records))
    except csv.Error:
        records = None
    try:
        found, refused = taken(data, size), ""
    except BadInput as error:
        found, refused = pl.DataFrame(), str(error)
    if refused:
        assert "t.csv, line " in refused
        assert records is None or any(len(row) != 2 for row in records)
        return
    assert records is not None
    assert all(len(row) == 2 for row in records)
    assert found.height == len(records) - 1
    for row, meant in zip(found.rows(), records[1:], strict=True):
        assert all(
            said(cell) == text or (not text.strip() and cell is None) or float(text) == cell for cell, text in zip(row, meant, strict=True)
        )


@given(st.lists(st.sampled_from(["a", ",", '"', "\n", "\r\n", "\r", " ", '""']), max_size=24).map("".join))
def test_records_are_those_of_pythons_strict_reader(text: str) -> None:
    try:
        wanted = [row or [""] for row in csv.reader(io.StringIO(text, newline=""), strict=True)]
    except csv.Error:
        wanted = None
    records = Records(text.encode(), b",", name="t", line=1, final=True)
    found: list[list[str]] | None = []
    try:
        while (record := records.next()) is not None:
            found.append([value(field) for field in record.fields])
    except BadInput:
        found = None
    assert found == wanted


# --- blocks in a row -----------------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.lists(st.sampled_from(["0", "00", "07", "7", "0.5", "00.5", "08:30", "0e5", "-07", " 07", "", "x07"]), min_size=1, max_size=4)
    ),
    st.sampled_from([b",", b"\t"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.integers(1, 40),
)
def test_zeros_in_front_are_found_wherever_the_bytes_are_cut(
    rows: list[list[str]], separator: bytes, end: str, quoted: bool, cut_bytes: int
) -> None:
    mark = '"' if quoted else ""
    data = "".join(separator.decode().join(mark + cell + mark for cell in row) + end for row in rows).encode()
    zeros = any(re.fullmatch("0[0-9][0-9.]*", cell) for row in rows for cell in row)
    assert survey(data, separator, quoted=quoted, cut_bytes=cut_bytes) == (len(rows), zeros)


LONG = b"k,v,t\n" + b"".join(b"%d,%d.5,text %d\n" % (at, at, at) for at in range(200_000))
MANY = 1 << 20


def test_a_file_of_many_large_blocks_is_read_whole_and_in_order() -> None:
    frame = taken(LONG, MANY)
    assert frame["k"].to_list() == list(range(200_000))
    assert frame.equals(taken(LONG))
    assert taken(LONG + b"x,1,y\n", MANY).schema == {"k": pl.String, "v": pl.Float64, "t": pl.String}


def test_a_fault_in_a_block_that_was_made_ahead_comes_in_its_turn() -> None:
    blocks = [LONG[at : at + MANY] for at in range(0, len(LONG), MANY)] + [b'1,2,"3\n']
    heights: list[int] = []
    with pytest.raises(BadInput, match="line 200002: the quote that opens there is not closed"):
        heights.extend(table.height for table in read(blocks, name="t.csv", dialect=Dialect(), learned=Learned(Kinds())))
    assert sum(heights) > 150_000


def test_nothing_is_read_any_more_once_a_reading_is_given_up() -> None:
    taken_blocks: list[int] = []

    def blocks() -> Any:
        for at in range(0, len(LONG), MANY):
            taken_blocks.append(at)
            yield LONG[at : at + MANY]

    before = threading.active_count()
    with closing(read(blocks(), name="t.csv", dialect=Dialect(), learned=Learned(Kinds()))) as found:
        next(found)
        next(found)
    assert threading.active_count() == before
    assert 2 <= len(taken_blocks) < len(LONG) // MANY


# --- types ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ODD)
@pytest.mark.parametrize("beside", ["1", "0.5", "true", "x", ""])
def test_the_fast_reading_takes_a_cell_for_what_the_careful_one_does(cell: str, beside: str) -> None:
    rows = [["1", beside]] * 3 + [["1", cell]]
    data = written([["k", "c"], *rows])
    assert taken(data, 1).equals(taken(data))


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["007", "1"], "t", ["007", "1"]),
        (["0", "-0", "0.5"], "f", [0.0, 0.0, 0.5]),
        ([" 1", "2"], "i", [1, 2]),
        (["1 ", "2"], "t", ["1 ", "2"]),
        (["1", " ", None], "t", ["1", " ", None]),
        ([" ", None], "t", [" ", None]),
        (["1,5", "2"], "t", ["1,5", "2"]),
        (["1.000,5"], "t", ["1.000,5"]),
        (["99999999999999999999", "1"], "t", ["99999999999999999999", "1"]),
        (["nan", "inf", "1"], "f", None),
        (["True", "", "false"], "b", [True, None, False]),
        (["true", "1"], "t", ["true", "1"]),
        (["", ""], "q", [None, None]),
        ([None, None], "n", [None, None]),
    ],
)
def test_kinds_of_cells(cells: list[str | None], kind: str, values: list[object] | None) -> None:
    text = pl.DataFrame({"*": pl.Series(cells, dtype=pl.String)})
    assert look(text) == [kind]
    if values is not None:
        assert typed(text, [kind])["*"].to_list() == values


def test_the_last_row_decides_the_type_as_much_as_the_first() -> None:
    data = b"a\n" + b"1\n" * 20_000 + b"x\n"
    for size in (1000, WHOLE):
        frame = taken(data, size)
        assert frame.schema == {"a": pl.String}
        assert frame.height == 20_001


def test_given_words_mean_missing() -> None:
    frame = taken(b"a,b\n1,x\n ,?\n", missing=(" ", "?"))
    assert frame.schema == {"a": pl.Int64, "b": pl.String}
    assert frame.row(1) == (None, None)


def test_infinite_values_and_no_numbers_are_told_from_missing_ones() -> None:
    cells = taken(b"a,b\nNaN,1\ninf,1\n-inf,1\n,1\n")["a"].to_list()
    assert cells[0] != cells[0]
    assert cells[1:] == [float("inf"), float("-inf"), None]


@given(st.lists(st.sampled_from("ntifb"), max_size=30))
def test_kinds_are_packed_into_a_line_and_back(kinds: list[str]) -> None:
    assert unpacked(packed(kinds)) == kinds


# --- forms ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, WHOLE])
@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"a,b\n1,2\n\n3,4\n\n", [(1, 2), (3, 4)]),
        (b'a,b\n"1",2\n\n3,4\n', [(1, 2), (3, 4)]),
        (b"\n \na,b\n1,2\n  \n", [(1, 2)]),
        (b"a,b\r\n1,2\r\n3,4", [(1, 2), (3, 4)]),
        (b"a,b\r1,2\r", [(1, 2)]),
        (b'a,b\r1,"x\ry"\r\r3,4', [(1, "x\ny"), (3, "4")]),
        (b"a,b\n1,2\r3,4\n", [(1, 2), (3, 4)]),
        (b"\xef\xbb\xbfa,b\n1,2\n", [(1, 2)]),
        ("a,b\n1,é\n".encode("utf-16"), [(1, "é")]),
        ("a,b\n1,é\n".encode("utf-16-be"), [(1, "é")]),
        ("a,b\n1,é\n".encode("utf-32"), [(1, "é")]),
        (b"a;b\n1;2,5\n", [(1, "2,5")]),
        (b"a;b,c;d\n1;2;3\n", [(1, 2, 3)]),
        (b"a\tb\n1\t2\n", [(1, 2)]),
        (b'a,b\n5" disk,2\n', [('5" disk', 2)]),
        (b'a,b\n5" disk,"x ""y"" z"\n,""\n', [('5" disk', 'x "y" z'), (None, "")]),
        (b'a, "b"\n1, "x"\n', [(1, ' "x"')]),
        (b"a,b\n,2\n1,\n", [(None, 2), (1, None)]),
        (b"a\n1\n\n2\n\n", [(1,), (None,), (2,)]),
        (b'a\n"x"\n""\n\n', [("x",), ("",)]),
        (b'a,b\n"x\n\ny",\n"",1\n', [("x\n\ny", None), ("", 1)]),
    ],
)
def test_line_ends_encodings_separators_and_blank_lines(data: bytes, rows: list[tuple[object, ...]], size: int) -> None:
    assert taken(data, size).rows() == rows


def test_encodings_that_have_to_be_named() -> None:
    data = "a,b\n1,é€\n".encode("cp1252")
    with pytest.raises(BadInput, match=r"line 2: byte 0xe9 is not UTF-8\. Say what it is, for example encoding='cp1252'"):
        taken(data)
    for size in (1, WHOLE):
        assert taken(data, size, encoding="cp1252").rows() == [(1, "é€")]
        assert taken("a,b\n1,é\n".encode("utf-16-le"), size, encoding="utf-16").rows() == [(1, "é")]
    with pytest.raises(BadInput, match=r"Encoding 'lattin-1' does not exist. Did you mean 'latin-1'"):
        taken(data, encoding="lattin-1")
    with pytest.raises(BadInput, match="Encoding 'base64' does not exist"):
        taken(data, encoding="base64")
    with pytest.raises(BadInput, match="line 3: byte 0x81 is not cp1252"):
        taken(b"a,b\n1,x\n2,\x81\n", 1, encoding="cp1252")


def test_a_column_without_a_name_is_called_by_its_position() -> None:
    assert taken(b",b\n1,2\n").columns == ["column_1", "b"]


@pytest.mark.parametrize("size", [4, WHOLE])
def test_names_that_polars_reads_as_patterns_are_names(size: int) -> None:
    assert taken(b"*,^a.*$,abc\n1,x,0.5\n2,y,007\n", size).to_dicts() == [
        {"*": 1, "^a.*$": "x", "abc": "0.5"},
        {"*": 2, "^a.*$": "y", "abc": "007"},
    ]


def test_a_file_without_a_header_is_given_names() -> None:
    assert taken(b"1,x\n2,y\n", columns=("n", "t")).to_dicts() == [{"n": 1, "t": "x"}, {"n": 2, "t": "y"}]
    with pytest.raises(BadInput, match="line 1: 2 fields, but the header has 3"):
        taken(b"1,x\n2,y\n", columns=("n", "t", "u"))


def test_only_a_header_is_a_table_without_rows() -> None:
    assert taken(b"a,b\n").columns == ["a", "b"]
    assert taken(b"a,b").height == 0
    assert taken(b"").width == taken(b"\n \n").width == 0


def test_ten_thousand_columns() -> None:
    names = [f"c{at}" for at in range(10_000)]
    data = (",".join(names) + "\n" + ",".join(["1"] * 10_000) + "\n" + ",".join(["0.5"] * 10_000) + "\n").encode()
    assert taken(data).rows() == [(1.0,) * 10_000, (0.5,) * 10_000]


# --- when quotes quote ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 5, WHOLE])
def test_quotes_in_a_file_of_tabs_are_text_once_one_of_them_cannot_enclose_a_value(size: int) -> None:
    data = b'k\tt\nham\t"yes"\nham\t"A few" was it\nspam\t"open\n'
    assert taken(data, size).rows() == [("ham", '"yes"'), ("ham", '"A few" was it'), ("spam", '"open')]
    assert taken(b'k\tt\nham\t"yes\tor ""no"""\n', size).rows() == [("ham", 'yes\tor "no"')]
    assert taken(b'k\tt\nham\t"yes"\n', size, quotes=False).rows() == [("ham", '"yes"')]


def test_lines_that_may_be_rows_or_a_value_are_not_guessed() -> None:
    data = b'k\tt\na\t"b\nc\td"\n'
    with pytest.raises(BadInput, match=r"line 2: a quote opens there and closes on a later line, .* quotes=True, or quotes=False"):
        taken(data)
    assert taken(data, quotes=True).rows() == [("a", "b\nc\td")]
    assert taken(data, quotes=False).rows() == [("a", '"b'), ("c", 'd"')]


# --- what is refused -----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5), st.integers(1, 8), st.data(), st.booleans(), SIZES)
def test_a_line_with_a_field_too_few_or_too_many_is_named(width: int, height: int, data: st.DataObject, quoted: bool, size: int) -> None:
    rows = [[f"c{at}" for at in range(width)]] + [["7"] * width for _ in range(height)]
    if quoted:
        rows[0][0] = "a,b"
    broken = data.draw(st.integers(1, height))
    rows[broken] = rows[broken][:-1] if data.draw(st.booleans()) else [*rows[broken], "8"]
    with pytest.raises(BadInput, match=rf"t\.csv, line {broken + 1}: {len(rows[broken])} fields?, but the header has {width}"):
        taken(written(rows), size)


@pytest.mark.parametrize("size", [1, 4, WHOLE])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b\n1\n1,2,3\n", "line 2: 1 field,"),
        (b"a,b\n1,2\n\xff,2\n", "line 3: byte 0xff is not UTF-8"),
        (b"a,\xff\n1,2\n", "line 1: byte 0xff is not UTF-8"),
        (b'a,b\n"\xff",2\n', "line 2: byte 0xff is not UTF-8"),
        (b"a,b,a,b\n1,2,3,4\n", "line 1: several columns are named 'a', 'b'"),
        (b'a,b\n1,2\n3,"4\n', "line 3: the quote that opens there is not closed"),
        (b'a,b\n1,2\n"x"y,4\n', "line 3: text follows the closing quote"),
        (b'a,b\n1,2\n"p\nq",1\n"x"y,4\n', "line 5: text follows the closing quote"),
        (b"a\n1\n2,3\n", "line 3: 2 fields, but the header has 1"),
        (b"a,b\n1,2\n3,\x004\n", "line 3: a zero byte"),
        (b"a,b\n1,2,\n", "line 2: 3 fields"),
        (b"a,b\n1,2,", "line 2: 3 fields"),
        (b'a,b\n"1"\n', "line 2: 1 field"),
    ],
)
def test_a_broken_file_is_refused_by_line(data: bytes, message: str, size: int) -> None:
    with pytest.raises(BadInput, match=message):
        taken(data, size)


def test_a_record_without_end_is_refused_before_memory_is_full() -> None:
    endless = (b'a,b\n1,"' if at == 0 else b"x" * 1000 for at in range(10**9))
    with pytest.raises(BadInput, match=r"line 2: the record that starts there has more than 1 MB. Is a quote not closed\?"):
        list(read(endless, name="t.csv", dialect=Dialect(), learned=Learned(Kinds()), record_bytes=1_000_000))
