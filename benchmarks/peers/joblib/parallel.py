"""Many independent calls on worker processes (loky), each kept by joblib.Memory as ours are."""

import sys
import time

from joblib import Memory, Parallel, delayed
from trivial import add_one, report


def one(value: int) -> int:
    return add_one(value)


if __name__ == "__main__":
    steps, workers, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    cached = Memory(folder, verbose=0).cache(one)
    with Parallel(n_jobs=workers) as parallel:
        parallel([delayed(cached)(-1 - number) for number in range(workers)])  # so that the workers are there before the clock starts
        begun = time.perf_counter()
        values = parallel(delayed(cached)(number) for number in range(steps))
        report(sum(values), wall_s=time.perf_counter() - begun)
