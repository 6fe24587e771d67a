"""Which version answers a request: a pure rule on the deployment and the caller's key."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

from everloop.core.live import Deployment

Answerer = Literal["champion", "challenger"]


def position(deployment: Deployment, key: str) -> float:
    """Where a key falls in [0, 1) for this challenger: evenly spread, always the same, independent between challengers."""
    salt = f"{deployment.loop}/{deployment.challenger}/"
    return int.from_bytes(blake2b((salt + key).encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") / 2.0**64


def answerer(deployment: Deployment, key: str) -> Answerer:
    """In `canary`, the challenger answers the keys below `share`: a key that it answers at 5 % it also answers at 25 %."""
    if deployment.stage != "canary" or deployment.challenger is None:
        return "champion"
    return "challenger" if position(deployment, key) < deployment.share else "champion"


def mirrored(deployment: Deployment) -> bool:
    """Whether the challenger also sees what the champion answers, without anyone seeing its answers."""
    return deployment.stage == "shadow" and deployment.challenger is not None
