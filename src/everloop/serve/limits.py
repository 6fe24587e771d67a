"""How much one server takes at a time, before it says no."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the data plane. `queued_rows` wait for one version; beyond `shadow_rows`, copies for a shadow are dropped instead."""

    body_bytes: int = 8 * 1024 * 1024
    request_rows: int = 10_000
    batch_rows: int = 2_048
    queued_rows: int = 20_000
    shadow_rows: int = 2_000
    body_timeout_s: float = 30.0
    """A client that has begun a request must have sent it all by then."""
    inline_s: float = 0.0005
    """Model calls that are expected to be shorter run on the event loop itself: handing over to a thread would cost more."""
    pinned_versions: int = 4
    """Versions kept loaded because requests asked for them by number."""
    drain_s: float = 20.0
    """How long a stopping server waits for the requests that it has begun to answer."""
