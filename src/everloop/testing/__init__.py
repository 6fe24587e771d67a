"""For tests of a user's project and for people who write an adapter: rehearsals and conformance suites."""

from everloop.testing.rehearsal import Rehearsal, rehearse

__all__ = ["Rehearsal", "rehearse"]
