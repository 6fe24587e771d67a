"""What a trigger is shown."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from everloop.core.live import Window
from everloop.core.verdict import Verdict


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a loop as triggers see it.

    `window` and `verdict` are the champion's newest ones. `new_rows` counts what the source has beyond the newest run's snapshot,
    `stamp` is the source's stamp now. `since` is when the loop last began a run by whatever cause, None if never.
    """

    window: Window | None = None
    verdict: Verdict | None = None
    new_rows: int = 0
    stamp: str = ""
    since: float | None = None


class Condition(NamedTuple):
    """A trigger's condition is met: why, and the id of what it was seen in. The same id never starts a run twice.

    `episode` names what a suppression is written down once for, where that is more than one id: rows that keep trickling in, say.
    """

    reason: str
    id: str
    evidence: dict[str, object]
    episode: str = ""


class Proposal(NamedTuple):
    """What to write into the ledger, and to do when `outcome` is `done`: start a run with `options`."""

    rule: str
    action: str
    outcome: Literal["done", "suppressed"]
    reason: str
    about: tuple[str, ...]
    evidence: dict[str, object]
    options: dict[str, object]
