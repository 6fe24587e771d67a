"""What people said of a row -> where it stands, and its label if it has one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Literal, TypeAlias

import msgspec

from everloop.core.labelling import Annotation, Queue, State, Value
from everloop.data.labelling.values import text_of

By: TypeAlias = Literal["", "agreement", "review"]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A row as the annotations leave it. `votes` and `skips` are by person, at most one of the two each.

    `value` is the row's label, None while there is none, or when a reviewer rejected the row (`state` is done then). `by` says how it came about;
    in state `review`, `value` is what a reviewer would accept, None on a tie.
    """

    votes: Mapping[str, Value] = {}
    skips: Mapping[str, str] = {}
    value: Value | None = None
    by: By = ""
    state: State = "open"
    reviewer: str = ""


def live(annotations: Iterable[Annotation]) -> list[Annotation]:
    """What still counts, in order: neither taken back, nor a taking back."""
    every = list(annotations)
    gone = {annotation.undoes for annotation in every if annotation.action == "undo"}
    return [annotation for annotation in every if annotation.action != "undo" and annotation.seq not in gone]


def standing(queue: Queue, annotations: Iterable[Annotation]) -> Standing:
    """Fold the annotations of one row, in order of `seq`. Of one person's answers the last counts, and so of the reviews.

    A row is open until `wanted` people have labelled it. It goes to review without a majority, where everything is reviewed, and when as many people as
    are wanted, but at least two, skipped it: nobody may ever do.
    """
    votes: dict[str, Value] = {}
    skips: dict[str, str] = {}
    review: Annotation | None = None
    for annotation in live(annotations):
        if annotation.action in ("accept", "reject"):
            review = annotation
            continue
        votes.pop(annotation.person, None)
        skips.pop(annotation.person, None)
        if annotation.action == "label" and annotation.value is not None:
            votes[annotation.person] = annotation.value
        elif annotation.action == "skip":
            skips[annotation.person] = annotation.reason
    if review is not None:
        value = review.value if review.action == "accept" else None
        return Standing(votes=votes, skips=skips, value=value, by="review", state="done", reviewer=review.person)
    enough = len(votes) >= queue.wanted
    if not enough and len(skips) < max(2, queue.wanted):
        return Standing(votes=votes, skips=skips)
    value = majority(list(votes.values()), tolerance=queue.tolerance if queue.kind == "number" else None) if enough else None
    if value is None or queue.review == "all":
        return Standing(votes=votes, skips=skips, value=value, state="review")
    return Standing(votes=votes, skips=skips, value=value, by="agreement", state="done")


def majority(values: Sequence[Value], *, tolerance: float | None = None) -> Value | None:
    """What more than half of the answers say, None without such a majority.

    With a `tolerance` the answers are numbers, and more than half must lie within it around the median, which is the value.
    """
    if not values:
        return None
    if tolerance is not None:
        numbers = [value for value in values if not isinstance(value, str)]
        middle = median(numbers) if len(numbers) == len(values) else None
        near = 0 if middle is None else sum(abs(number - middle) <= tolerance for number in numbers)
        return middle if 2 * near > len(values) else None
    (top, count), *_ = Counter(map(text_of, values)).most_common(1)
    return next(value for value in values if text_of(value) == top) if 2 * count > len(values) else None
