"""What a URL may carry, for pages and API alike."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path, Query

# Control characters are in no name of ours, and PostgreSQL refuses NUL.
_NAMED = r"^[^\x00-\x1f\x7f]+$"
_FILTER = r"^[^\x00-\x1f\x7f]*$"

Id = Annotated[str, Path(max_length=200, pattern=_NAMED, description="a unique beginning will do")]
Name = Annotated[str, Path(max_length=200, pattern=_NAMED)]
Filter = Annotated[str, Query(max_length=200, pattern=_FILTER, description="empty for any")]
Outcome = Annotated[Literal["", "done", "suppressed"], Query(description="empty for any")]
Status = Annotated[
    Literal["", "queued", "running", "waiting", "done", "stopped", "refused", "failed", "crashed", "cancelled"],
    Query(description="empty for any"),
]
Limit = Annotated[int, Query(ge=1, le=1000)]
Before = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="only entries before this number; `older` of the page before")]
