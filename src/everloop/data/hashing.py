"""Values -> 64 bits each: the same in every process, on every platform and with every version of every library."""

from __future__ import annotations

import hashlib
from typing import Any, TypeAlias, cast

import numpy as np
import polars as pl

Bits: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]
Offsets: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Bytes: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]

# Longer texts are hashed one by one: there the call is cheap beside the bytes.
ONE_BY_ONE_FROM = 256
# Values worked on at a time: what is made on the way stays in the processor's cache.
CUT = 1 << 14
_WORD = 8
# What leaves the first k bytes of a word, for k from 0 to 8.
_FIRST = np.array([(1 << 8 * k) - 1 for k in range(_WORD + 1)], dtype=np.uint64)


def mix(x: Bits) -> Bits:
    """Finaliser of SplitMix64 (Steele, Lea and Flood 2014): each input bit flips each output bit with probability one half. One to one."""
    out = np.empty(len(x), np.uint64)
    spare = np.empty(min(CUT, len(x)), np.uint64)
    for at in range(0, len(x), CUT):
        some, y = x[at : at + CUT], out[at : at + CUT]
        shifted = spare[: len(y)]
        np.right_shift(some, np.uint64(30), out=shifted)
        np.bitwise_xor(some, shifted, out=y)
        y *= np.uint64(0xBF58476D1CE4E5B9)
        np.right_shift(y, np.uint64(27), out=shifted)
        y ^= shifted
        y *= np.uint64(0x94D049BB133111EB)
        np.right_shift(y, np.uint64(31), out=shifted)
        y ^= shifted
    return out


def flat(texts: pl.Series) -> tuple[Offsets, Bytes]:
    """Where each text (or byte string) begins and ends, (n + 1,), in the bytes of all, UTF-8. `texts` has no nulls."""
    arrow = cast("Any", texts).to_arrow(compat_level=pl.CompatLevel.oldest())
    _, at, data = arrow.buffers()
    offsets = np.frombuffer(at, dtype=np.int64, count=len(texts) + 1, offset=8 * arrow.offset) if len(texts) else np.zeros(1, np.int64)
    content = np.frombuffer(data, dtype=np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    # Of a slice, only its own bytes.
    return offsets - offsets[0], content[offsets[0] : offsets[-1]]


def text_hash(texts: pl.Series) -> Bits:
    """64 bits of each text or byte string, (n,). No nulls among `texts`."""
    return flat_hash(*flat(texts))


def flat_hash(offsets: Offsets, data: Bytes) -> Bits:
    """The hashes of what `flat` laid out, (n,): eight bytes a round for all texts at once, folded in by multiply and shift."""
    state = np.empty(len(offsets) - 1, np.uint64)
    for at in range(0, len(state), CUT):
        state[at : at + CUT] = mix(_folded(offsets[at : at + CUT + 1], data))
    return state


def _folded(offsets: Offsets, data: Bytes) -> Bits:
    """All words of each text folded into one, (n,)."""
    data, offsets = data[offsets[0] : offsets[-1]], offsets - offsets[0]
    padded = np.zeros(len(data) // _WORD + 2, "<u8")
    padded.view(np.uint8)[: len(data)] = data
    starts, sizes = offsets[:-1], np.diff(offsets)
    state = cast("Bits", sizes.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    shortest, longest = int(sizes.min()), int(sizes.max())
    for done in range(0, min(longest, ONE_BY_ONE_FROM - 1), _WORD):
        # Everyone while the shortest has a byte left, then those that have.
        who: Any = (
            slice(None) if done < shortest and longest < ONE_BY_ONE_FROM else np.flatnonzero((sizes > done) & (sizes < ONE_BY_ONE_FROM))
        )
        if shortest == longest < ONE_BY_ONE_FROM:
            # Texts of one size lie evenly.
            word = _evenly(int(starts[0]) + done, shortest, len(state), padded)
            if done + _WORD > longest:
                word &= _FIRST[longest - done]
        else:
            word = _words(starts[who] + done, padded)
            if done + _WORD > shortest:
                word &= _FIRST.take(sizes[who] - done, mode="clip")
        word ^= state[who]
        word *= np.uint64(0xD6E8FEB86659FD93)
        word ^= word >> np.uint64(32)
        state[who] = word
    for at in np.flatnonzero(sizes >= ONE_BY_ONE_FROM).tolist() if longest >= ONE_BY_ONE_FROM else ():
        digest = hashlib.blake2b(data[offsets[at] : offsets[at + 1]].data, digest_size=8).digest()
        state[at] = int.from_bytes(digest, "little")
    return state


def _evenly(first: int, step: int, n: int, padded: Bits) -> Bits:
    words: Any = np.ndarray((n,), dtype="<u8", buffer=padded.data, offset=first, strides=(step,))
    return words.astype(np.uint64)


def _words(at: Offsets, padded: Bits) -> Bits:
    """The eight bytes from each place on, (n,). Out of two aligned words: picking unaligned ones costs five times as much."""
    which = at >> 3
    low = cast("Bits", (at & 7).astype(np.uint64) << np.uint64(3))
    first, second = padded.take(which), padded[1:].take(which)
    first >>= low
    # In two steps, for a shift by all 64 bits is none.
    second <<= np.uint64(63) - low
    second <<= np.uint64(1)
    first |= second
    return first
