"""A database driver's error -> ours, when a person can do something about it."""

from __future__ import annotations

from everloop.core.errors import Broken, Busy, EverloopError


def told(error: BaseException, where: str, *, lock_timeout_s: float) -> EverloopError | None:
    """What to raise in place of a driver's `error` on the database `where` (no password in it); None to let it pass."""
    text = str(error).lower()
    if "locked" in text or "busy" in text or "lock timeout" in text:
        return Busy(
            f"The database {where} stayed locked for {lock_timeout_s:g} s by another process. Wait for it, or stop it, and try again."
        )
    if "not a database" in text or "malformed" in text or "disk image" in text:
        return Broken(f"The database {where} is damaged ({error}). Restore it from a backup, or move it away to start anew.")
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return Broken(f"The database {where} cannot be written ({error}). Make its folder writable, or set EVERLOOP_HOME.")
    if "disk is full" in text or "no space left" in text or "disk full" in text:
        return Broken(f"There is no space left for the database {where}. Free some and run again; nothing was lost.")
    return None
