"""Many independent steps on worker processes."""

import os
import sys
import time

from trivial import add_one, report

from everloop import pipeline, step


@step
def one(value: int) -> int:
    return add_one(value)


@pipeline(executor="processes", workers=int(sys.argv[2]))
def wide(steps: int):
    for handle in [one(-1 - number) for number in range(int(sys.argv[2]))]:
        handle.result()  # so that the workers are there before the clock starts
    begun = time.perf_counter()
    values = [handle.result() for handle in [one(number) for number in range(steps)]]
    clock.append(time.perf_counter() - begun)
    return sum(values)


clock: list[float] = []

if __name__ == "__main__":
    steps, folder = int(sys.argv[1]), sys.argv[3]
    os.chdir(folder)
    value = wide(steps)
    report(value, wall_s=clock[0])
