"""A step mapped over partitions and merged; the second argument is the content of the last partition, so that only it can change."""

import os
import sys

from trivial import add_one, report

from everloop import partitions, pipeline, step


@step
def score(value: int) -> int:
    return add_one(value)


@step
def merge(earlier: int, later: int) -> int:
    return earlier + later


@pipeline
def total(parts: dict[str, int]):
    return partitions.reduce(merge, score.map(parts))


if __name__ == "__main__":
    count, last, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    os.chdir(folder)
    # Far apart, so that no two merges have the same inputs.
    report(total({f"{number:04}": number * 1000 for number in range(count - 1)} | {f"{count - 1:04}": last}))
