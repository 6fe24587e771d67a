"""Ours, in the form of the peers: chained trivial steps, inline. Results are always kept."""

import os
import time

from trivial import add_one, report, task

from everloop import pipeline, step

clock: list[tuple[float, float]] = []


@step
def one(value: int) -> int:
    return add_one(value)


@pipeline
def chain(steps: int):
    value = 0
    for _ in range(steps):
        value = one(value)
        if not clock:  # behind the first step, which opens the store and reads the code
            clock.append((time.perf_counter(), time.process_time()))
    clock.append((time.perf_counter(), time.process_time()))
    return value


if __name__ == "__main__":
    steps, folder, _ = task()
    os.chdir(folder)
    value = chain(steps)
    (wall, cpu), (wall_end, cpu_end) = clock
    report(value, wall_s=wall_end - wall, cpu_s=cpu_end - cpu)
