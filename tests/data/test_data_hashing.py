from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.data.hashing import CUT, ONE_BY_ONE_FROM, mix, text_hash

TEXTS = st.lists(
    st.text(max_size=40) | st.sampled_from(["", "\0", "\0\0", "a" * 8, "a" * 9, "b" * ONE_BY_ONE_FROM, "é" * 2000]), max_size=20
)


def test_a_hash_is_the_same_for_ever() -> None:
    """These numbers are part of what is stored: they must not change with this code, the platform or a library."""
    assert [
        f"{h:016x}" for h in text_hash(pl.Series(["", "a", "category", "café", "a text of more than eight bytes", "x" * 3000])).tolist()
    ] == PINNED
    assert [f"{h:016x}" for h in mix(np.array([0, 1, 2**63], dtype=np.uint64)).tolist()] == [
        "0000000000000000",
        "5692161d100b05e5",
        "25c26ea579cea98a",
    ]


PINNED = ["0000000000000000", "80c1ae61e48259f9", "a2def15c69718d6e", "800a6b5818165bb8", "c35acfbb397d61b6", "7ced46260684e0a2"]


def plainly(text: str) -> int:
    """The hash of a text, one word after the other."""
    data, word = text.encode(), 2**64 - 1
    state = len(data) * 0x9E3779B97F4A7C15 & word
    for at in range(0, len(data), 8):
        state = (state ^ int.from_bytes(data[at : at + 8], "little")) * 0xD6E8FEB86659FD93 & word
        state ^= state >> 32
    for by, times in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        state = (state ^ state >> by) * times & word
    return state


@pytest.mark.parametrize("sizes", [(0, 1), (6, 6), (8, 8), (12, 12), (16, 16), (0, 30), (9, 17), (ONE_BY_ONE_FROM - 1,) * 2, (200, 255)])
def test_texts_of_one_size_and_of_many_are_hashed_alike(sizes: tuple[int, int]) -> None:
    r = np.random.default_rng(1)
    texts = ["".join(r.choice(list("abcxyz019"), size)) for size in r.integers(sizes[0], sizes[1] + 1, 300)]
    # More than are worked on at a time, and where the cut falls another size.
    many = (texts * (CUT // 300 + 2))[: CUT + 700]
    hashes = text_hash(pl.Series(many))
    assert hashes[:300].tolist() == [plainly(text) for text in texts]
    assert hashes.tolist() == [hashes[at % 300] for at in range(len(many))]
    assert text_hash(pl.Series(many)[5:]).tolist() == hashes[5:].tolist()


@given(TEXTS, TEXTS)
@settings(max_examples=80, deadline=None)
def test_equal_texts_and_only_those_have_equal_hashes(a: list[str], b: list[str]) -> None:
    both = pl.Series([*a, *b], dtype=pl.String)
    hashes = text_hash(both).tolist()
    assert len(set(hashes)) == len({*a, *b})
    # Whatever stands beside it, however it is cut, and as bytes, too.
    assert text_hash(pl.Series(a, dtype=pl.String)).tolist() == hashes[: len(a)]
    assert text_hash(both[len(a) :]).tolist() == hashes[len(a) :]
    assert text_hash(both.cast(pl.Binary)).tolist() == hashes


def test_hashes_of_similar_texts_are_spread_evenly() -> None:
    hashes = text_hash(pl.Series([f"user{at}" for at in range(64_000)]))
    for bits in (hashes >> np.uint64(58), hashes & np.uint64(63)):
        counts = np.bincount(bits.astype(np.int64), minlength=64)
        # Chi-square with 63 degrees of freedom exceeds 130 once in a million.
        assert np.square(counts - 1000).sum() / 1000 < 130
