"""Agreement: against scikit-learn, against published examples, and by laws."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from everloop.data.labelling.agreement import agreement, cohen, fleiss, krippendorff, percent

# 10 subjects, 14 raters, 5 categories: a row holds how many raters chose each. Worked through in many places: kappa 0.210, P 0.378, P_e 0.213.
TEN_SUBJECTS = [
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
]  # fmt: skip
# Krippendorff 2011, section C: four observers, twelve units, missing values; alpha 0.743 nominal, 0.849 interval.
FOUR_OBSERVERS = [
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
]

answers = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), max_size=30)
units = st.lists(st.lists(st.sampled_from("abcd"), max_size=6), max_size=20)


def counted(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    return [[value for value, count in enumerate(row) for _ in range(count)] for row in rows]


def observed() -> list[list[int]]:
    rows = [line.split() for line in FOUR_OBSERVERS]
    return [[int(row[at]) for row in rows if row[at] != "."] for at in range(12)]


@given(answers)
def test_cohens_kappa_is_scikit_learns_and_undefined_where_that_is(pairs: list[tuple[str, str]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    ours = cohen(first, second)
    if not pairs or len({*first, *second}) == 1:
        assert ours is None
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ours == pytest.approx(cohen_kappa_score(first, second))


def test_fleiss_of_the_published_example() -> None:
    found = counted(TEN_SUBJECTS)
    assert percent(found) == pytest.approx(0.378, abs=5e-4)
    assert fleiss(found) == pytest.approx(0.210, abs=5e-4)


def test_fleiss_by_hand() -> None:
    # P = (1 + 1/3 + 1)/3 = 7/9; a 5 of 9, b 4 of 9: P_e = 41/81; kappa = (63 - 41)/(81 - 41) = 22/40.
    assert fleiss(["aaa", "aab", "bbb"]) == pytest.approx(22 / 40)
    # P = (1/3 + 1/3)/2 with a 3 of 6: kappa = (1/3 - 1/2)/(1/2).
    assert fleiss(["aab", "abb"]) == pytest.approx(-1 / 3)


def test_krippendorff_of_the_published_example() -> None:
    assert krippendorff(observed()) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff(observed(), level="interval") == pytest.approx(0.849, abs=5e-4)


@pytest.mark.parametrize("found", [[], [[]], [["a"]], [["a"], ["b"]], [["a", "a"], ["a", "a", "a"]], [["a"], ["a", "a"]]])
def test_nothing_over_nothing_is_undefined_and_not_zero(found: list[list[str]]) -> None:
    assert fleiss(found) is None
    assert krippendorff(found) is None
    assert (percent(found) is None) is all(len(unit) < 2 for unit in found)


def test_numbers_that_are_all_equal_have_no_alpha() -> None:
    assert krippendorff([[2, 2], [2.0, 2]], level="interval") is None
    assert krippendorff([[1, 1], [2, 2]], level="interval") == 1.0


@given(units)
def test_coefficients_are_at_most_one_and_one_means_that_all_agree(found: list[list[str]]) -> None:
    several = [unit for unit in found if len(unit) >= 2]
    for value in (fleiss(found), krippendorff(found)):
        if value is not None:
            assert value <= 1.0
            assert (value == 1.0) is all(len(set(unit)) == 1 for unit in several)


@given(units, st.randoms(use_true_random=False), st.permutations("abcd"))
def test_order_of_rows_and_raters_and_the_names_of_values_do_not_matter(
    found: list[list[str]], chance: random.Random, other: list[str]
) -> None:
    renamed = [[other["abcd".index(value)] for value in unit] for unit in found]
    for unit in renamed:
        chance.shuffle(unit)
    chance.shuffle(renamed)
    for coefficient in (percent, fleiss, krippendorff):
        assert coefficient(renamed) == pytest.approx(coefficient(found))


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=3, max_size=3), min_size=1, max_size=12))
def test_fleiss_with_equal_numbers_is_the_textbook_formula(found: list[list[str]]) -> None:
    n, raters = len(found), 3
    table = [[unit.count(value) for value in "abc"] for unit in found]
    shares = [sum(row[j] for row in table) / (n * raters) for j in range(3)]
    by_chance = sum(share**2 for share in shares)
    mean = sum((sum(count**2 for count in row) - raters) / (raters * (raters - 1)) for row in table) / n
    ours = fleiss(found)
    assert ours is None if max(shares) == 1 else ours == pytest.approx((mean - by_chance) / (1 - by_chance))


@given(st.lists(st.lists(st.integers(-50, 50), min_size=2, max_size=4), min_size=1, max_size=10))
def test_interval_alpha_is_the_definition_over_all_pairs(found: list[list[int]]) -> None:
    every = [value for unit in found for value in unit]
    inside = sum(sum((a - b) ** 2 for a in unit for b in unit) / (len(unit) - 1) for unit in found)
    across = sum((a - b) ** 2 for a in every for b in every) / (len(every) - 1)
    ours = krippendorff(found, level="interval")
    assert ours is None if across == 0 else ours == pytest.approx(1 - inside / across)


def test_every_pair_of_people_on_what_both_labelled() -> None:
    rows: list[dict[str, Any]] = [{"ann": 1, "bob": 1}, {"ann": 0, "bob": 1, "cy": 0}, {"ann": 0}, {}, {"ann": 1, "bob": 1}]
    found = agreement(rows)
    assert [(pair.first, pair.second, pair.rows) for pair in found.pairs] == [("ann", "bob", 3), ("ann", "cy", 1), ("bob", "cy", 1)]
    assert found.rows == 3
    assert found.percent == pytest.approx((1 + 1 / 3 + 1) / 3)
    assert found.pairs[0].percent == pytest.approx(2 / 3)
    assert found.pairs[0].kappa == 0.0
    assert (found.pairs[1].kappa, found.pairs[2].kappa) == (None, 0.0), "ann and cy both said 0 alone: chance is certain"
    assert agreement([]) == agreement([{}, {"ann": 1}])
