"""Does a step's cost grow? `steps`: many in one run. `runs`: one run after the other in one store."""

import os
import resource
import statistics
import sys
import time

from trivial import report

from everloop import pipeline, step

cpu_s: list[float] = []


@step
def one(value: int) -> int:
    return value + 1


@step
def two(value: int) -> int:
    return value + 2


@pipeline
def many(steps: int):
    value = 0
    for _ in range(steps):
        begun = time.process_time()
        value = one(value)
        cpu_s.append(time.process_time() - begun)
    return value


@pipeline
def few(start: int):
    begun = time.process_time()
    value = two(one(start))
    cpu_s.append((time.process_time() - begun) / 2)
    return value


if __name__ == "__main__":
    what, count, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    os.chdir(folder)
    if what == "steps":
        value = many(count)
        window = count // 10
        first, last = statistics.fmean(cpu_s[1 : window + 1]), statistics.fmean(cpu_s[-window:])  # the first step opens the store
    else:
        for start in range(0, 3 * (count + 1), 3):  # so that no run meets the results of another
            value = few(start)
        window = max(20, count // 20)
        first, last = statistics.median(cpu_s[1 : window + 1]), statistics.median(cpu_s[-window:])
    report(
        value,
        first_ms=1000 * first,
        last_ms=1000 * last,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )
