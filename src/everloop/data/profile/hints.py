"""A profile -> what a person should look at before training on the table."""

from __future__ import annotations

from collections.abc import Iterator

from everloop.core.profiles import ColumnProfile, Profile
from everloop.core.verdict import Finding, Scalar

COPY = 0.999
REDUNDANT = 0.99
ENOUGH_ROWS = 50
ID_SHARE = 0.98
# What an estimate of the different values may be off by, three times its standard error.
ID_SHARE_ESTIMATED = 0.9
MISSING = 0.9


def hints(profile: Profile, target: str | None = None) -> tuple[Finding, ...]:
    """Findings that warn or inform, none stops; the most serious first. `target` is the column to be predicted, if it is known.

    target_copy: a feature that all but determines the target (|r| of 0.999 and more, or as many different values with the same counts);
    personal_data; constant and mostly_missing; identifier: (nearly) every row has its own value; redundant: two features with |r| of 0.99
    and more; duplicates: rows that equal an earlier one. Columns beyond those that a profile correlates are only compared by their counts.
    """
    found = [
        *_copies(profile, target),
        *_personal(profile),
        *(finding for column in profile.columns for finding in _column(column, target)),
        *_redundant(profile, target),
        *_duplicates(profile),
    ]
    return tuple(sorted(found, key=lambda finding: finding.severity != "warn"))


def _finding(check: str, subject: str, message: str, observed: Scalar, limit: Scalar, *, warn: bool = False, **evidence: object) -> Finding:
    severity = "warn" if warn else "info"
    return Finding(
        check=check, passed=False, message=message, subject=subject, observed=observed, limit=limit, severity=severity, evidence=evidence
    )


def _copies(profile: Profile, target: str | None) -> Iterator[Finding]:
    wanted = profile.column(target) if target is not None else None
    if target is None or wanted is None:
        return
    known = {pair.b if pair.a == target else pair.a: pair for pair in profile.correlations if target in (pair.a, pair.b)}
    for column in profile.columns:
        if column.name == target:
            continue
        pair = known.get(column.name)
        if pair is not None:
            if pair.r is not None and abs(pair.r) >= COPY and pair.n >= min(ENOUGH_ROWS, profile.rows):
                message = (
                    f"column {column.name!r} all but determines the target {target!r}: r = {pair.r:.4f}. Would it be known when predicting?"
                )
                yield _finding("target_copy", column.name, message, pair.r, COPY, warn=True, n=pair.n)
        elif profile.rows >= ENOUGH_ROWS and column.nulls == wanted.nulls and (counts := _counts(column)) and counts == _counts(wanted):
            message = f"column {column.name!r} has {len(counts)} different values in the same numbers of rows as the target {target!r}: perhaps the same under other names"
            yield _finding("target_copy", column.name, message, len(counts), None, warn=True)


def _counts(column: ColumnProfile) -> list[int] | None:
    """How often each value occurs, falling; None unless each is known and they tell something."""
    if not column.exact_distinct or column.distinct < 2:
        return None
    if column.top and not column.other and not column.unseen:
        return sorted((count for _, count in column.top), reverse=True)
    return sorted(column.counts, reverse=True) if column.counts and column.distinct == len(column.counts) else None


def _personal(profile: Profile) -> Iterator[Finding]:
    words = {
        "email": "e-mail addresses",
        "phone": "phone numbers",
        "card": "payment card numbers",
        "national_id": "national identity numbers",
    }
    for column in profile.columns:
        for kind, share in column.pii.items():
            message = f"column {column.name!r} seems to hold {words.get(kind, kind.upper() + 's')}: {share:.0%} of its values look like it"
            yield _finding("personal_data", column.name, message, share, 0, warn=True, kind=kind)


def _column(column: ColumnProfile, target: str | None) -> Iterator[Finding]:
    name, rows = column.name, column.rows
    missing = column.nulls + column.nans
    if rows and missing > MISSING * rows:
        yield _finding("mostly_missing", name, f"column {name!r} has no value in {missing / rows:.0%} of the rows", missing / rows, MISSING)
    if column.kind not in ("bytes", "list") and column.valid > 1 and column.distinct == 1 and column.exact_distinct:
        yield _finding("constant", name, f"column {name!r} has the same value in all {column.valid:,} rows that have one", 1, 2)
    if name == target or column.kind not in ("int", "text") or column.valid < ENOUGH_ROWS:
        return
    share = column.distinct / column.valid
    if share >= (ID_SHARE if column.exact_distinct else ID_SHARE_ESTIMATED):
        about = "" if column.exact_distinct else "about "
        message = f"column {name!r} has {about}{column.distinct:,} different values in {column.valid:,} rows: an identifier teaches a model nothing"
        yield _finding("identifier", name, message, round(share, 4), ID_SHARE)


def _redundant(profile: Profile, target: str | None) -> Iterator[Finding]:
    for pair in profile.correlations:
        if target not in (pair.a, pair.b) and pair.r is not None and abs(pair.r) >= REDUNDANT and pair.n >= ENOUGH_ROWS:
            message = f"columns {pair.a!r} and {pair.b!r} say nearly the same: r = {pair.r:.4f}"
            yield _finding("redundant", pair.b, message, pair.r, REDUNDANT, other=pair.a, n=pair.n)


def _duplicates(profile: Profile) -> Iterator[Finding]:
    if profile.duplicates:
        share = profile.duplicates / profile.rows
        message = f"{profile.duplicates:,} of {profile.rows:,} rows ({share:.1%}) equal an earlier one"
        yield _finding("duplicates", "", message, profile.duplicates, 0)
