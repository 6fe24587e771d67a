"""Whether a failed attempt is followed by another one, and when."""

from __future__ import annotations

from everloop.core.errors import EverloopError, Lost, Stopped
from everloop.engine.step import Settings

LONGEST_S = 30.0


def again(settings: Settings, *, attempt: int, error: BaseException) -> bool:
    """`attempt` (from 1) failed with `error`. Input that is wrong stays wrong; a lost process or a deadline that passed may be luck."""
    if attempt > settings.retries or not isinstance(error, Exception):
        return False
    return not isinstance(error, EverloopError) or isinstance(error, Lost | Stopped)


def delay_s(settings: Settings, *, attempt: int, chance: float) -> float:
    """Seconds to wait after `attempt` (from 1) failed: doubling up to LONGEST_S, and with `chance` (0 to 1) somewhere in its upper half,
    so that many that failed together come back apart."""
    longest = min(settings.retry_delay_s * 2.0 ** min(attempt - 1, 60), max(LONGEST_S, settings.retry_delay_s))
    return longest * (0.5 + 0.5 * chance)
