"""The check of one request's row against the schema, 30 features: 16 floats, 6 whole numbers, 6 texts of a vocabulary or pattern, 2 times."""

import timeit

from meter import report

from everloop.core.rules.rows import compile_row
from everloop.core.schemas import ColumnRule, RowRule, Schema
from everloop.core.tables import Column

CALLS = 20_000
RULES = (
    *(ColumnRule(name=f"f{at}", kind="float", low=-1000.0, high=1000.0, nullable=at % 4 == 0) for at in range(16)),
    *(ColumnRule(name=f"i{at}", kind="int", low=0, high=100) for at in range(6)),
    *(ColumnRule(name=f"w{at}", kind="text", vocabulary=tuple(f"word{number}" for number in range(50))) for at in range(4)),
    *(ColumnRule(name=f"p{at}", kind="text", pattern=r"[a-z]+-\d{4}") for at in range(2)),
    *(ColumnRule(name=f"t{at}", kind="time") for at in range(2)),
)


def row(number: int) -> tuple[object, ...]:
    """Different rows, so that no branch is always the same."""
    floats = tuple(None if at % 4 == 0 and number % 3 == 0 else (number * 7.3 + at * 11.1) % 900 - 400 for at in range(16))
    ints = tuple((number + at) % 100 for at in range(6))
    words = tuple(f"word{(number + at) % 50}" for at in range(4))
    return (*floats, *ints, *words, *(f"order-{number % 9000 + 1000}" for _ in range(2)), *("2026-11-20T10:00:00" for _ in range(2)))


if __name__ == "__main__":
    schema = Schema(dataset="orders", columns=RULES, rules=(RowRule(check='pl.col("i0") <= pl.col("i1") + 100'),))
    check = compile_row(schema, [Column(rule.name, rule.kind) for rule in RULES])
    rows = [row(number) for number in range(1000)]
    assert not check.skipped
    assert not any(check(one) for one in rows)

    def all_of_them() -> None:
        for one in rows:
            check(one)

    best = min(timeit.repeat(all_of_them, number=CALLS // len(rows), repeat=5)) / CALLS
    planted = (*rows[0][:20], 101, *rows[0][21:])
    report(us=1e6 * best, refused=len(check(planted)))
