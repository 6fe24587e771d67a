"""The arrows of the ring as steps: each calls one stage, and knows how that stage's result is kept.

Steps without `effect` depend on their arguments alone and are memoised; the others change the world and always run. What is no step only
looks something up.
"""

from everloop.steps.ends import nothing_new, refuse, release, stop
from everloop.steps.lookup import before, champion, check, check_gates, gates, known_as, person, slices, snapshot_id, stamp
from everloop.steps.stages import (
    consent,
    contract,
    enter,
    fit,
    ingest,
    judge,
    leakage,
    pinned,
    prepare,
    profile,
    prove,
    register,
    score,
    validate,
)
from everloop.steps.watching import advance, deliver_pages, observe, trigger

__all__ = [
    "advance", "before", "champion", "check", "check_gates", "consent", "contract", "deliver_pages", "enter", "fit", "gates", "ingest", "judge", "known_as", "leakage", "nothing_new",
    "observe", "person", "pinned", "prepare", "profile", "prove", "refuse", "register", "release", "score", "slices", "snapshot_id", "stamp", "stop", "trigger", "validate",
]  # fmt: skip
