from __future__ import annotations

import csv
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.core.errors import BadInput
from everloop.data.sources.csv import read_csv

# Text that no reader takes for a number, a boolean or nothing.
CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.sampled_from(',";\n'), max_size=8).map(
    lambda text: f"x{text}"
)


def write(rows: list[list[str]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=6)))
def test_what_a_csv_writer_wrote_is_read_back_cell_by_cell(rows: list[list[str]]) -> None:
    header = [f"c{at}" for at in range(len(rows[0]))]
    frame = read_csv(write([header, *rows]), name="t.csv")
    assert frame.columns == header
    assert frame.rows() == [tuple(row) for row in rows]


@given(st.integers(2, 5), st.integers(1, 8), st.data(), st.booleans())
def test_a_line_with_a_field_too_few_or_too_many_is_named(width: int, height: int, data: st.DataObject, quoted: bool) -> None:
    rows = [[f"c{at}" for at in range(width)]] + [["7"] * width for _ in range(height)]
    if quoted:
        rows[0][0] = "a,b"
    broken = data.draw(st.integers(1, height))
    rows[broken] = rows[broken][:-1] if data.draw(st.booleans()) else [*rows[broken], "8"]
    with pytest.raises(BadInput, match=rf"t\.csv, line {broken + 1}: {len(rows[broken])} fields?, but the header has {width}"):
        read_csv(write(rows), name="t.csv")


def test_equal_numbers_of_separators_do_not_hide_two_broken_lines() -> None:
    with pytest.raises(BadInput, match="line 2: 1 field,"):
        read_csv(b"a,b\n1\n1,2,3\n", name="t.csv")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b\n1,2\n\xff,2\n", "line 3: byte 0xff is not UTF-8"),
        (b"a,b,a,b\n1,2,3,4\n", "several columns named 'a', 'b'"),
        (b'a,b\n1,2\n3,"4\n', "line 3: unexpected end of data"),
        (b'a,b\n1,2\n"x"y,4\n', r"line 3: ',' expected after '\"'"),
        (b"a\n1\n2,3\n", "line 3: 2 fields, but the header has 1"),
    ],
)
def test_a_broken_file_is_refused_by_line(data: bytes, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_csv(data, name="t.csv")


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"a,b\n1,2\n\n3,4\n\n", [(1, 2), (3, 4)]),
        (b'a,b\n"1",2\n\n3,4\n', [(1, 2), (3, 4)]),
        (b"a,b\r\n1,2\r\n3,4", [(1, 2), (3, 4)]),
        (b"a,b\r1,2\r", [(1, 2)]),
        (b"\xef\xbb\xbfa,b\n1,2\n", [(1, 2)]),
        ("a,b\n1,é\n".encode("utf-16"), [(1, "é")]),
        (b"a;b\n1;2,5\n", [(1, "2,5")]),
        (b"a\tb\n1\t2\n", [(1, 2)]),
        (b'a,b\n5" disk,2\n', [('5" disk', 2)]),
        (b"a,b\n,2\n1,\n", [(None, 2), (1, None)]),
        (b"a\n1\n\n2\n\n", [(1,), (None,), (2,)]),
    ],
)
def test_line_ends_encodings_separators_and_blank_lines(data: bytes, rows: list[tuple[object, ...]]) -> None:
    assert read_csv(data, name="t.csv").rows() == rows


def test_a_column_without_a_name_is_called_by_its_position() -> None:
    assert read_csv(b",b\n1,2\n", name="t.csv").columns == ["column_1", "b"]


def test_the_last_row_decides_the_type_as_much_as_the_first() -> None:
    frame = read_csv(b"a\n" + b"1\n" * 20_000 + b"x\n", name="t.csv")
    assert frame.schema == {"a": pl.String}
    assert frame.height == 20_001


def test_given_words_mean_missing() -> None:
    frame = read_csv(b"a,b\n1,x\n ,?\n", name="t.csv", missing=(" ", "?"))
    assert frame.schema == {"a": pl.Int64, "b": pl.String}
    assert frame.row(1) == (None, None)


def test_real_dirty_files_are_read_whole_or_refused(real_data: Path) -> None:
    """Every sample either gives exactly the records that Python's strict reader finds, or a sentence that names the file."""
    files = sorted((real_data / "dirty_csv").rglob("*.csv"))
    assert len(files) > 80
    read = refused = 0
    for path in files:
        try:
            frame = read_csv(path.read_bytes(), name=path.name)
        except BadInput as error:
            refused += path.name in str(error)
            continue
        if frame.width > 1:
            text = path.read_text(encoding="utf-8-sig")
            separator = "," if "," in text.splitlines()[0] else max(";\t|", key=text.splitlines()[0].count)
            records = [
                row
                for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator)
                if any(cell.strip() for cell in row) or len(row) > 1
            ]
            assert frame.height == len(records) - 1, path.name
        read += 1
    assert read > 60
    assert refused == len(files) - read


@pytest.mark.parametrize("case", ["comma_in_quotes", "escaped_quotes", "newlines", "quotes_and_newlines", "utf8", "json", "simple"])
def test_csv_spectrum(real_data: Path, case: str) -> None:
    folder = real_data / "dirty_csv" / "csv-spectrum"
    truth = pl.read_json(folder / "json" / f"{case}.json")
    frame = read_csv((folder / "csvs" / f"{case}.csv").read_bytes(), name=case)
    same_type = [pl.col(name).cast(pl.String) for name in frame.columns]
    if case == "comma_in_quotes":  # a zip code with a leading zero is a number to us
        truth = truth.with_columns(pl.col("zip").str.strip_chars_start("0"))
    assert frame.select(same_type).rows() == truth.select(frame.columns).rows()
