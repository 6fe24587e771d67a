"""A CSV file ingested, profiled and validated by the steps of the ring, in a fresh workspace."""

import os
import sys

from meter import metered, report

from everloop import Files, Loop, pipeline, steps
from everloop.loop import collect

found: dict[str, float] = {}


def nothing(*_):
    raise AssertionError("nothing is trained here")


@pipeline
def intake(loop: Loop) -> None:
    """The beginning of `everloop.loop.cycle`."""
    with metered("ingest_"):
        data = collect(loop)
        taken = data.result()
    with metered("profile_"):
        profile = steps.profile(data)
        columns = len(profile.result().columns)
    with metered("validate_"):
        schema = steps.contract(loop, profile)
        verdict = steps.validate(data, profile, schema).result()
    found.update(rows=taken.rows, columns=columns, stored_mb=taken.bytes / 1e6, failures=len(verdict.failures))


if __name__ == "__main__":
    path = os.path.abspath(sys.argv[1])
    os.makedirs("project")
    os.chdir("project")
    loop = Loop("orders", source=Files(path), target="rating", model=nothing, metrics=["mae"])
    with metered():
        intake(loop)
    report(**found)
