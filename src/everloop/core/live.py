"""Nouns of the living system: Deployment, Prediction, Window, Decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from everloop.core.models import Metric
from everloop.core.record import Record

Stage: TypeAlias = Literal["none", "shadow", "canary"]
Role: TypeAlias = Literal["champion", "canary", "shadow"]


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A loop's endpoint and its traffic policy, as the database holds it now. Numbers are version numbers.

    `stage` is where the challenger stands; `share` the part of live traffic it answers in `canary`. `revision` grows with each
    change, so that servers notice cheaply. `since` is when the present stage began, `champion_since` when the champion took over.
    """

    loop: str
    champion: int | None = None
    previous: int | None = None
    challenger: int | None = None
    stage: Stage = "none"
    share: float = 0.0
    since: float = 0.0
    champion_since: float = 0.0
    revision: int = 0


class Prediction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One captured answer. `features` are in the order of the model's signature; `output` is the label or value that was returned.

    `probabilities` are in `Signature.classes` order, None for regression. `at` is seconds since the epoch (UTC).
    A `shadow` prediction was never returned to anyone; `request` joins it with the answer that was.
    """

    id: str
    loop: str
    version: int
    role: Role
    at: float
    features: list[bool | int | float | str | None]
    output: bool | int | float | str | None
    probabilities: list[float] | None = None
    latency_us: int = 0
    request: str = ""


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """What really happened for a prediction. `at` is when the label arrived."""

    prediction: str
    loop: str
    value: bool | int | float | str
    at: float


class Window(Record, frozen=True, kw_only=True, tag="window"):
    """Profile and quality of what one version served: rows [`first`, `first + rows`) of its captured stream, by `start` and `end` time.

    `estimated` needs no labels; `realised` covers the `labelled` rows among them that were known when the window was closed.
    """

    loop: str
    version: int
    first: int
    rows: int
    start: float
    end: float
    profile: str
    estimated: Metric | None = None
    realised: Metric | None = None
    labelled: int = 0

    def parents(self) -> dict[str, str]:
        return {"profile": self.profile}


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the ledger: what was seen, which rule, what was done or not done, by whom.

    `action` is a verb (start_run, stop, page, register, refuse, shadow, canary, promote, rollback, resume ...); `outcome` is `done` or
    `suppressed`; `about` lists the ids of the records, runs, versions or predictions concerned. `hash` covers all other fields and
    `previous`, the hash of the entry before.
    """

    seq: int
    at: float
    loop: str
    rule: str
    action: str
    outcome: Literal["done", "suppressed"]
    reason: str
    about: tuple[str, ...] = ()
    evidence: Mapping[str, object] = {}
    actor: str = ""
    previous: str = ""
    hash: str = ""

    @property
    def id(self) -> str:
        return f"decision-{self.hash[:24]}"
