"""For tests of a user's project and for people who write an adapter: rehearsals, golden samples and conformance suites."""

from everloop.testing.golden import GoldenSample
from everloop.testing.rehearsal import Rehearsal, rehearse

__all__ = ["GoldenSample", "Rehearsal", "rehearse"]
