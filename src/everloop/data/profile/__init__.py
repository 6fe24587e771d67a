"""Table -> profile; tallies of parts -> the profile of the whole."""

from everloop.data.profile.against import merge
from everloop.data.profile.bins import BINS
from everloop.data.profile.describe import TOP
from everloop.data.profile.hints import hints
from everloop.data.profile.quantile import quantile
from everloop.data.profile.summary import summarise
from everloop.data.profile.tally import Tally, merge_tallies

__all__ = ["BINS", "TOP", "Tally", "hints", "merge", "merge_tallies", "quantile", "summarise"]
