"""The next block is read, hashed, unpacked, cut and counted while the last one is parsed."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

from everloop.data.sources.csv.cut import Block

# Less than this is cut sooner than a thread is woken.
_WORTH_BYTES = 1 << 20


def ahead(blocks: Iterator[Block], *, worth_bytes: int = _WORTH_BYTES) -> Generator[Block, None, None]:
    """The same blocks, and what stops them where it would have. One is made in advance, in a thread that has ended once this iterator is
    exhausted or closed: whoever may stop early closes it before what the blocks are read from."""
    with ThreadPoolExecutor(1, "csv") as beside:
        block = next(blocks, None)
        while block is not None:
            coming = beside.submit(next, blocks, None) if len(block.data) >= worth_bytes else None
            yield block
            block = coming.result() if coming is not None else next(blocks, None)
