"""Where a row stands after what was said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.core.errors import BadInput, NotFound
from everloop.core.labelling import Annotation, Queue, Value
from everloop.data.labelling import values
from everloop.data.labelling.consensus import live, majority, standing

QUEUE = Queue(name="sms", dataset="d", snapshot="s", target="label", choices=("spam", "ham", "odd"))
PEOPLE = ("ann", "bob", "cy")

said = st.tuples(
    st.sampled_from(PEOPLE),
    st.sampled_from(["label", "label", "label", "skip", "undo", "accept", "reject"]),
    st.sampled_from(QUEUE.choices),
)


def history(*told: tuple[str, str, Value | None]) -> list[Annotation]:
    """(person, action, value); an undo takes back the person's last that stands, and is left out when there is none."""
    made: list[Annotation] = []
    for person, action, value in told:
        back = [one for one in live(made) if one.person == person]
        if action == "undo" and not back:
            continue
        seq = len(made) + 1
        undoes = back[-1].seq if action == "undo" else None
        kept = value if action in ("label", "accept") else None
        made.append(
            Annotation(
                queue="sms", seq=seq, row="row-1", person=person, action=action, value=kept, at=float(seq), token=f"t{seq}", undoes=undoes
            )  # type: ignore[arg-type]
        )
    return made


def wanting(wanted: int, **more: Any) -> Queue:
    return msgspec.structs.replace(QUEUE, wanted=wanted, **more)


def test_one_labeller_is_enough_where_one_is_wanted() -> None:
    assert standing(QUEUE, []).state == "open"
    done = standing(QUEUE, history(("ann", "label", "spam")))
    assert (done.state, done.value, done.by) == ("done", "spam", "agreement")


@pytest.mark.parametrize(
    ("votes", "state", "value"),
    [
        (["spam", "spam"], "open", None),
        (["spam", "spam", "ham"], "done", "spam"),
        (["spam", "ham", "odd"], "review", None),
        (["spam", "spam", "ham", "ham"], "review", None),
        (["spam", "spam", "ham", "odd"], "review", None),
    ],
)
def test_more_than_half_decide_and_everything_else_goes_to_review(votes: Sequence[str], state: str, value: str | None) -> None:
    stands = standing(wanting(3), history(*[(f"p{at}", "label", vote) for at, vote in enumerate(votes)]))
    assert (stands.state, stands.value) == (state, value)


def test_where_everything_is_reviewed_a_majority_only_proposes() -> None:
    stands = standing(wanting(1, review="all"), history(("ann", "label", "spam")))
    assert (stands.state, stands.value, stands.by) == ("review", "spam", "")


def test_a_skip_leaves_the_row_to_others_until_too_many_skip() -> None:
    assert standing(QUEUE, history(("ann", "skip", None))).state == "open"
    assert standing(QUEUE, history(("ann", "skip", None), ("bob", "label", "ham"))).state == "done"
    assert standing(QUEUE, history(("ann", "skip", None), ("bob", "skip", None))).state == "review"
    assert standing(wanting(3), history(("ann", "skip", None), ("bob", "skip", None))).state == "open"


def test_a_reviewer_stands_above_the_labellers_until_taken_back() -> None:
    told = [("ann", "label", "spam"), ("rae", "accept", "odd")]
    corrected = standing(QUEUE, history(*told))
    assert (corrected.value, corrected.by, corrected.reviewer) == ("odd", "review", "rae")
    assert standing(QUEUE, history(*told, ("rae", "reject", None))).value is None
    assert standing(QUEUE, history(*told, ("rae", "reject", None))).state == "done"
    assert standing(QUEUE, history(*told, ("rae", "reject", None), ("rae", "undo", None))).value == "odd"
    assert standing(QUEUE, history(*told, ("rae", "undo", None))).value == "spam"


@given(st.lists(said, max_size=14))
def test_taking_back_is_as_if_it_had_never_been_said(told: list[tuple[str, str, str]]) -> None:
    made = history(*told)
    assert standing(wanting(2), made) == standing(wanting(2), live(made))
    for person in PEOPLE:
        mine = [one for one in live(made) if one.person == person]
        if mine:
            undone = [*made, *history(*told, (person, "undo", None))[len(made) :]]
            assert live(undone) == [one for one in live(made) if one != mine[-1]]


@given(st.lists(said, max_size=14), st.integers(1, 3))
def test_each_person_has_one_vote_or_one_skip_and_only_done_rows_have_a_label(told: list[tuple[str, str, str]], wanted: int) -> None:
    stands = standing(wanting(wanted), history(*told))
    assert not stands.votes.keys() & stands.skips.keys()
    assert (stands.by != "") is (stands.state == "done")
    if stands.by == "agreement":
        assert 2 * sum(vote == stands.value for vote in stands.votes.values()) > len(stands.votes) >= wanted
    if stands.state == "open":
        assert stands.value is None


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=9), st.randoms(use_true_random=False))
def test_a_majority_does_not_depend_on_order(votes: list[str], chance: Any) -> None:
    found = majority(votes)
    chance.shuffle(votes)
    assert majority(votes) == found
    assert (found is not None) is any(2 * votes.count(vote) > len(votes) for vote in votes)


@pytest.mark.parametrize(
    ("numbers", "tolerance", "value"),
    [
        ([10, 10, 12], 0, 10),
        ([10, 11, 12], 0, None),
        ([10, 11, 12], 1, 11),
        ([10, 10.4, 900], 0.5, 10.4),
        ([10, 1000], 5, None),
        ([7], 0, 7),
    ],
)
def test_numbers_agree_within_the_tolerance(numbers: list[float], tolerance: float, value: float | None) -> None:
    assert majority(numbers, tolerance=tolerance) == value


def test_flags_and_numbers_that_look_alike_are_not_the_same_vote() -> None:
    assert majority([True, 1, True]) is True
    assert majority(["1", 1]) == "1", "a vocabulary has no two choices that look the same"


def test_a_choice_is_found_as_text_or_as_itself() -> None:
    digits = msgspec.structs.replace(QUEUE, choices=(0, 1, 2))
    assert values.check(digits, "1") == values.check(digits, 1) == 1
    assert values.check(msgspec.structs.replace(QUEUE, choices=(True, False)), "true") is True
    with pytest.raises(BadInput, match="label '3' does not exist"):
        values.check(digits, 3)
    with pytest.raises(BadInput):
        values.check(digits, True)
    with pytest.raises(BadInput, match="Did you mean 'spam'"):
        values.check(QUEUE, "spma")


@pytest.mark.parametrize("given", ["", "nan", "inf", "-inf", "1_000", "0x10", "twelve", True, None, float("nan"), "1e999", "٣", [1]])
def test_what_is_no_finite_number_is_refused(given: object) -> None:
    with pytest.raises(BadInput, match="finite number"):
        values.check(msgspec.structs.replace(QUEUE, kind="number", choices=()), given)


@pytest.mark.parametrize(("given", "number"), [("12", 12), ("-3", -3), (".5", 0.5), ("1e3", 1000.0), (" 7 ", 7), (2.5, 2.5), ("007", 7.0)])
def test_numbers_as_forms_send_them(given: object, number: float) -> None:
    assert values.check(msgspec.structs.replace(QUEUE, kind="number", choices=()), given) == number


def test_texts_are_stripped_and_bounded() -> None:
    words = msgspec.structs.replace(QUEUE, kind="text", choices=())
    assert values.check(words, "  a\nb ") == "a\nb"
    with pytest.raises(BadInput, match="10,000,000 characters"):
        values.check(words, "x" * 10_000_000)
    for nothing in ("", " \n", None, 3):
        with pytest.raises(BadInput, match="asks for a text"):
            values.check(words, nothing)


def test_a_vocabulary_takes_the_kind_of_the_column() -> None:
    assert values.vocabulary(["0", "1"], None) == (0, 1)
    assert values.vocabulary(["0", "1"], "text") == ("0", "1")
    assert values.vocabulary(["0", "one"], None) == ("0", "one")
    assert values.vocabulary(["true", "False"], "bool") == (True, False)
    assert values.vocabulary(["01", "1"], None) == ("01", "1"), "text form and value must be one to one"
    for wrong, told in ((["a", "a"], "twice"), ([], "1 to 200"), (["a", ""], "none empty"), (["a", "b"], "not int")):
        with pytest.raises((BadInput, NotFound), match=told):
            values.vocabulary(wrong, "int" if told == "not int" else None)


@given(st.lists(st.text(min_size=1, max_size=8).filter(lambda word: word.strip()), min_size=1, max_size=6, unique_by=str.strip))
def test_every_choice_is_found_by_what_a_page_shows_of_it(words: list[str]) -> None:
    choices = values.vocabulary(words, None)
    queue = msgspec.structs.replace(QUEUE, choices=choices)
    assert [values.check(queue, values.text_of(choice)) for choice in choices] == list(choices)
