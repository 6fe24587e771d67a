"""Files that are many, that change, that grow, and that are not what one would wish."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput, Busy, NotFound
from everloop.core.ports import BATCH_BYTES, Extract, Place, Restart
from everloop.data.sources.files import Files
from everloop.data.sources.steady import Steady
from everloop.data.sources.union import collect, union


def read(source: Files, place: Place, since: Extract | None = None) -> tuple[Extract, pl.DataFrame]:
    extract = source.read(place, since=since.origins if since is not None else ())
    return extract, collect(extract)


# --- batches -------------------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60))
def test_blocks_of_any_size_give_one_table_and_the_same_origins(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    folder = tmp_path_factory.getbasetemp() / "blocks"
    place = Place("l", folder, folder)
    if not folder.exists():
        folder.mkdir()
        (folder / "a.csv").write_text('k,v,t\n1,0.5,"x\ny"\n2,,2026-01-02\n\n3,x,""\n007,1e3,z\n')
        (folder / "b.csv").write_text("k,v\n5,6\n")
        (folder / "c.jsonl").write_text('{"k":1,"w":[1]}\n{"k":"x"}\n{"w":[0.5]}\n')
    whole, parts = Files("*").read(place), Files("*").read(place, block_bytes=size)
    wanted = collect(whole)
    assert collect(parts).equals(wanted)
    assert parts.origins == whole.origins
    assert wanted["k"].to_list() == ["1", "2", "3", "007", "5", "1", "x", None]


def test_a_reading_may_be_had_again_and_says_the_same(place: Place) -> None:
    (place.project / "a.csv").write_text("a\n1\n2\n")
    extract = Files("a.csv").read(place)
    first = union(list(extract.batches()))
    origins = list(extract.origins)
    assert union(list(extract.batches())).equals(first)
    assert extract.origins == origins


def test_batches_stay_within_bounds(place: Place) -> None:
    row = "1,2,3,4,5,6,7,8,9,0\n"
    (place.project / "a.csv").write_text("a,b,c,d,e,f,g,h,i,j\n" + row * 1_000_000)
    sizes = [(batch.height, int(batch.estimated_size())) for batch in Files("a.csv").read(place).batches()]
    assert sum(height for height, _ in sizes) == 1_000_000
    assert max(size for _, size in sizes) < BATCH_BYTES * 1.2


@settings(max_examples=20, deadline=None)
@given(st.integers(1 << 17, 1 << 18), st.lists(st.integers(1, 90_000), max_size=12), st.booleans())
def test_large_blocks_end_with_a_line_where_one_is_near(
    tmp_path_factory: pytest.TempPathFactory, size: int, lines: list[int], ended: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines"
    data = b"\n".join(b"x" * length for length in lines) + b"\n" * ended
    path.write_bytes(data)
    with Steady(path, "lines", block_bytes=size) as file:
        blocks = list(file.blocks())
        assert file.sha256 == hashlib.sha256(data).hexdigest()
    assert b"".join(blocks) == data
    for block in blocks[:-1]:
        assert size - (1 << 16) < len(block) <= size
        assert block.endswith(b"\n") or b"\n" not in block[-(1 << 16) :]


def test_types_that_turn_out_wrong_cost_one_more_reading_for_all_files_together(place: Place) -> None:
    for at in range(6):
        (place.project / f"{at}.csv").write_text("k,v\n" + "1,2\n" * 50 + "x,2\n")
    extract = Files("*.csv").read(place, block_bytes=32)
    restarts, rows = 0, 0
    while True:
        try:
            rows = sum(batch.height for batch in extract.batches())
            break
        except Restart:
            restarts += 1
    assert (restarts, rows) == (1, 306)


# --- what is new ---------------------------------------------------------------------------------------------------------------


def test_only_new_files_are_read(place: Place) -> None:
    (place.project / "b.csv").write_text("k\n1\n")
    first, _ = read(Files("*.csv"), place)
    nothing, table = read(Files("*.csv"), place, first)
    assert (nothing.whole, table.height, nothing.origins) == (False, 0, first.origins)
    (place.project / "a.csv").write_text("k\n2\n")
    second, table = read(Files("*.csv"), place, first)
    assert (second.whole, table.rows()) == (False, [(2,)])
    assert [origin["locator"] for origin in second.origins] == ["a.csv", "b.csv"]
    os.utime(place.project / "b.csv", ns=(1, 1))
    touched, table = read(Files("*.csv"), place, second)
    assert (touched.whole, table.height) == (False, 0)


@pytest.mark.parametrize("change", ["other bytes", "fewer bytes", "gone", "renamed", "other reading"])
def test_everything_is_read_when_what_was_read_is_not_there_any_more(place: Place, change: str) -> None:
    for name in "ab":
        (place.project / f"{name}.csv").write_text("k\n1\n2\n")
    first, _ = read(Files("*.csv"), place)
    path, source = place.project / "a.csv", Files("*.csv")
    match change:
        case "other bytes":
            path.write_text("k\n1\n3\n")
        case "fewer bytes":
            path.write_text("k\n1\n")
        case "gone":
            path.unlink()
        case "renamed":
            path.rename(place.project / "c.csv")
        case _:
            source = Files("*.csv", missing=("1",))
    second, table = read(source, place, first)
    assert second.whole
    assert table.equals(read(source, place)[1])


GROWTH: dict[str, tuple[str, str, str, bool]] = {
    "rows": ("a.csv", "k,v\n1,x\n", "2,y\n3,\n", True),
    "rows of a file of tabs": ("a.tsv", "k\tv\n1\tx\n", "2\ty\n", True),
    "quotes": ("a.csv", 'k,v\n1,"x\ny"\n', '2,"y\n,z"\n', True),
    "integers become floats": ("a.csv", "k,v\n1,x\n", "2.5,y\n", True),
    "integers become text": ("a.csv", "k,v\n1,x\n", "007,y\n", False),
    "floats become text": ("a.csv", "k,v\n1.50,x\n", "?,y\n", False),
    "a column gets its first value": ("a.csv", "k,v\n1,\n", "2,7\n", False),
    "the last line was not whole": ("a.csv", "k,v\n1,x", "y\n2,z\n", False),
    "an earlier line changed too": ("a.csv", "k,v\n1,x\n", "", False),
    "lines of JSON": ("a.jsonl", '{"k":1}\n', '{"k":2,"v":"x"}\n', True),
    "JSON of another type": ("a.jsonl", '{"k":1}\n', '{"k":"x"}\n', False),
    "quotes turn out to mean nothing": ("a.tsv", 'k\tv\n1\t"x"\n', '2\t"y" z\n', False),
    "quotes still mean nothing": ("a.tsv", 'k\tv\n1\t"x" a\n', '2\t"y"\n', True),
}


@pytest.mark.parametrize("case", sorted(GROWTH))
def test_a_file_that_only_grew_gives_the_new_rows_if_they_fit_below_the_old(place: Place, case: str) -> None:
    name, before, after, grows = GROWTH[case]
    path = place.project / name
    path.write_text(before)
    first, old = read(Files(name), place)
    path.write_text(
        ("K,v\n2,x\n" if case.startswith("an earlier") else before + after) + ("9,9\n" if case.startswith("an earlier") else "")
    )
    second, new = read(Files(name), place, first)
    whole, everything = read(Files(name), place)
    assert second.whole is not grows
    assert union([old, new]).equals(everything) if grows else new.equals(everything)
    assert second.origins == whole.origins
    third, nothing = read(Files(name), place, second)
    assert (third.whole, nothing.height) == (False, 0)


def test_a_fault_in_the_new_rows_is_named_by_its_line_in_the_file(place: Place) -> None:
    path = place.project / "a.csv"
    path.write_text('k,v\n1,"x\ny"\n')
    first, _ = read(Files("a.csv"), place)
    path.write_text('k,v\n1,"x\ny"\n2,z\n3\n')
    with pytest.raises(BadInput, match=r"a.csv, line 5: 1 field"):
        read(Files("a.csv"), place, first)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["1", "2.5", "007", "", "x", '"a\nb"', " "]), st.sampled_from(["1", "", "y"])), min_size=1, max_size=6
    ),
    st.integers(0, 6),
    st.integers(1, 30),
)
def test_old_and_new_rows_are_all_rows(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], at: int, size: int) -> None:
    folder = tmp_path_factory.mktemp("grows")
    place, path = Place("l", folder, folder), folder / "a.csv"
    lines = [f"{a},{b}\n" for a, b in rows]
    (folder / "z.csv").write_text("k,v\n")
    path.write_text("k,v\n" + "".join(lines[:at]))
    source = Files("*.csv")
    try:
        first = source.read(place, block_bytes=size)
        old = collect(first)
    except BadInput:
        return
    path.write_text("k,v\n" + "".join(lines))
    second = source.read(place, since=first.origins, block_bytes=size)
    new = collect(second)
    everything = collect(source.read(place))
    assert (new if second.whole else union([old, new])).equals(everything)


def test_a_chain_reads_all_of_everything_once_one_of_its_files_must_be_read_anew(place: Place) -> None:
    grows, stays = place.project / "grows.csv", place.project / "stays.csv"
    grows.write_text("k\n1\n")
    stays.write_text("k\n2\n")
    chain = Files("grows.csv") + Files("stays.csv")
    first = chain.read(place)
    collect(first)
    grows.write_text("k\n1\n3\n")
    second = chain.read(place, since=first.origins)
    assert (collect(second).rows(), second.whole) == ([(3,)], False)
    # Only its batches tell that what the file had is of another type now.
    grows.write_text("k\n1\n3\nx\n")
    third = chain.read(place, since=second.origins)
    assert not third.whole
    assert collect(third)["k"].to_list() == ["1", "3", "x", "2"]
    assert third.whole
    more = chain + Files("more.csv")
    (place.project / "more.csv").write_text("k\n4\n")
    fourth = more.read(place, since=third.origins)
    assert (collect(fourth).rows(), fourth.whole) == ([(4,)], False)
    fewer = Files("grows.csv") + Files("more.csv")
    fifth = fewer.read(place, since=fourth.origins)
    assert (collect(fifth)["k"].to_list(), fifth.whole) == (["1", "3", "x", "4"], True)


# --- what changes while it is read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["appended", "replaced", "torn"])
def test_a_file_that_changes_below_a_reading_is_read_again(place: Place, change: str) -> None:
    path = place.project / "a.csv"
    path.write_text("k,v\n" + "1,2\n" * 1000)
    extract = Files("a.csv").read(place, block_bytes=400)
    batches = extract.batches()
    next(batches)
    other = place.project / "b"
    match change:
        case "appended":
            with path.open("a") as file:
                file.write("3,4\n")
        case "replaced":
            other.write_text("k,v\n5,6\n")
            other.rename(path)
        case _:
            path.write_text("k,v\n" + "1,2\n" * 500 + "3")
    with pytest.raises(Restart):
        list(batches)
    if change == "torn":
        with pytest.raises(BadInput, match="line 502: 1 field"):
            collect(extract)
        return
    assert collect(extract).height == (1001 if change == "appended" else 1)
    assert extract.origins[0]["size"] == path.stat().st_size


def test_a_file_that_changes_at_each_reading_is_busy(place: Place) -> None:
    path = place.project / "a.csv"
    path.write_text("k\n" + "1\n" * 1000)
    extract = Files("a.csv").read(place, block_bytes=100)

    def read_and_touch() -> None:
        for at in range(10):
            with suppress(Restart):
                for _ in extract.batches():
                    os.utime(path, ns=(at, at))

    with pytest.raises(Busy, match=r"a.csv kept changing while it was read \(4 tries\)"):
        read_and_touch()
    assert collect(Files("a.csv").read(place)).height == 1000


def test_a_file_that_goes_while_it_is_read_is_not_found_afterwards(place: Place) -> None:
    path = place.project / "a.csv"
    path.write_text("k\n" + "1\n" * 1000)
    extract = Files("a.csv").read(place, block_bytes=100)
    batches = extract.batches()
    next(batches)
    path.unlink()
    with pytest.raises(Restart):
        list(batches)
    with pytest.raises(NotFound, match=r"No file matches 'a.csv'"):
        collect(extract)


# --- what is no file, or may not be read ---------------------------------------------------------------------------------------


def test_pipes_folders_and_sockets_are_named(place: Place) -> None:
    os.mkfifo(place.project / "pipe.csv")
    with pytest.raises(BadInput, match=r"pipe.csv is a pipe, not a file"):
        collect(Files("pipe.csv").read(place))
    # A pattern takes the files that are there, and waits for no pipe.
    (place.project / "a.csv").write_text("k\n1\n")
    (place.project / "folder.csv").mkdir()
    assert collect(Files("*.csv").read(place)).height == 1
    with pytest.raises(BadInput, match="is a device"):
        collect(Files("/dev/zero", format="csv").read(place))


def test_a_file_without_the_right_to_read_it(place: Place) -> None:
    path = place.project / "a.csv"
    path.write_text("k\n1\n")
    (place.project / "b.csv").write_text("k\n1\n")
    path.chmod(0)
    for folder in (place.project, *place.project.parents[:3]):
        if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(0o755)
    program = f"""
import os
from pathlib import Path
from everloop.core.errors import BadInput
from everloop.core.ports import Place
from everloop.data.sources.files import Files
from everloop.data.sources.union import collect
here = Path({str(place.project)!r})
collect(Files("b.csv").read(Place("l", here, here)))
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    collect(Files("a.csv").read(Place("l", here, here)))
except BadInput as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "a.csv cannot be read: Permission denied. Give this process the right to read it." in ended.stdout


def test_patterns_lead_only_where_they_say(place: Place) -> None:
    (place.project / "outside").mkdir()
    (place.project / "outside" / "secret.csv").write_text("k\n1\n")
    deep = place.project / "deep"
    deep.mkdir()
    (deep / "link").symlink_to(place.project / "outside")
    inside = Place("l", deep, deep)
    for pattern in ("*/*.csv", "**/*.csv", "link/secret.csv"):
        with pytest.raises(BadInput, match=r"link/secret.csv is a link to .*/outside/secret.csv, outside the project"):
            Files(pattern).stamp(inside)
    assert Files("../outside/*.csv").stamp(inside) == Files("../outside/secret.csv").stamp(inside)
    with pytest.raises(BadInput, match="no file has a zero byte"):
        Files("a\0.csv").stamp(place)


# --- names and times -----------------------------------------------------------------------------------------------------------


def test_names_that_differ_by_case_alone(place: Place) -> None:
    (place.project / "a.csv").write_text("Id,id\n1,2\n")
    with pytest.raises(BadInput, match=r"a.csv: the columns 'Id' and 'id' differ by upper and lower case alone"):
        collect(Files("a.csv").read(place))
    (place.project / "a.csv").write_text("Id\n1\n")
    (place.project / "b.csv").write_text("ID\n1\n")
    with pytest.raises(BadInput, match=r"a.csv and b.csv: the columns 'Id' and 'ID' differ"):
        collect(Files("*.csv").read(place))
    pl.DataFrame({"Id": [1], "ID": [2]}).write_parquet(place.project / "c.parquet")
    with pytest.raises(BadInput, match=r"c.parquet: the columns 'Id' and 'ID' differ"):
        collect(Files("c.parquet").read(place))


@pytest.mark.parametrize("block_bytes", [8, 1 << 23])
@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["2026-01-02", "01/02/2026"], r"two forms: '2026-01-02' \(a.csv, row 1\) and '01/02/2026' \(a.csv, row 2\)"),
        (["2026-01-02 10:00", "2026-01-02 10:00:30"], r"two forms"),
        (["2026-01-02T10:00:00Z", "2026-01-02T10:00:00"], r"two forms"),
        (["", "2026-01-02", "2026-13-02"], r"'2026-13-02' in the time column 't' \(row 3\) is not a time"),
        (["soon", "later"], r"'soon' in the time column 't' \(row 1\) is not a time"),
    ],
)
def test_times_are_of_one_form(place: Place, times: list[str], message: str, block_bytes: int) -> None:
    (place.project / "a.csv").write_text("t,n\n" + "".join(f"{time},1\n" for time in times))
    with pytest.raises(BadInput, match=message):
        collect(Files("a.csv", time="t").read(place, block_bytes=block_bytes))
    # Nobody says that it is a time: then it is text.
    assert collect(Files("a.csv").read(place))["t"].to_list() == [time or None for time in times]


def test_times_of_several_files_are_of_one_form_too(place: Place) -> None:
    (place.project / "a.csv").write_text("t\n2026-01-02\n")
    (place.project / "b.csv").write_text("t\n02.01.2026\n")
    with pytest.raises(BadInput, match=r"'2026-01-02' \(a.csv, row 1\) and '02.01.2026' \(b.csv, row 1\)"):
        collect(Files("*.csv", time="t").read(place))
    (place.project / "b.csv").write_text("t\n20260102\n")
    with pytest.raises(BadInput, match=r"holds text in one place, '2026-01-02' \(a.csv, row 1\), and a number in another, 20260102"):
        collect(Files("*.csv", time="t").read(place))
    (place.project / "b.csv").write_text("n\n1\n")
    assert collect(Files("*.csv", time="t").read(place)).height == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Files("a.csv", separator=";;"), "separator=';;' is not one ASCII character"),
        (lambda: Files("a.csv", separator='"'), "is not one ASCII character"),
        (lambda: Files("a.csv", columns=("a", "a")), "names a column twice"),
    ],
)
def test_options_that_mean_nothing(make: Callable[[], Files], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make()


def test_readings_beside_each_other_do_not_meet(place: Place) -> None:
    for at in range(4):
        (place.project / f"{at}.csv").write_text("k,v\n" + f"{at},x\n" * 500 + "x,y\n")
    found: list[pl.DataFrame | None] = [None] * 4

    def one(at: int) -> None:
        found[at] = collect(Files(f"{at}.csv").read(place, block_bytes=64))

    threads = [threading.Thread(target=one, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [table["k"][0] for table in found if table is not None] == ["0", "1", "2", "3"]
