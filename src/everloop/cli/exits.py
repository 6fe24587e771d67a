"""What the exit code of a command means: one table."""

from __future__ import annotations

from everloop.core import errors

OK = 0
FAILED = 1  # the user's own code failed, or something that should not happen
USAGE = 2
STOPPED = 20  # `run`: the schema verdict stopped the data
REFUSED = 21  # `run`: the gate refused the candidate
UNPROVEN = 22  # `demo`, `why --verify`: an assertion did not hold
INTERRUPTED = 130

ERRORS: dict[type[errors.EverloopError], int] = {
    errors.BadInput: 3,
    errors.BadProject: 4,
    errors.NotFound: 5,
    errors.Busy: 6,
    errors.Missing: 7,
    errors.Conflict: 8,
    errors.Broken: 9,
    errors.Stopped: 10,
    errors.Lost: 11,
}


def code_of(error: errors.EverloopError) -> int:
    return next((code for kind, code in ERRORS.items() if isinstance(error, kind)), FAILED)
