"""joblib.Memory on a function, called in a chain. Its results are always kept."""

from joblib import Memory
from trivial import add_one, report, task


def one(value: int) -> int:
    return add_one(value)


if __name__ == "__main__":
    steps, folder, _ = task()
    cached = Memory(folder, verbose=0).cache(one)
    value = 0
    for _ in range(steps):
        value = cached(value)
    report(value)
