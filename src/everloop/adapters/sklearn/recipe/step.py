"""What every fitted step is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from everloop.adapters.sklearn.recipe.flow import Flow


class FittedStep:
    """Attributes are plain values and arrays only, so that it can be stored without code.

    `names` are the columns that it takes; `labels` the names of the features that it puts into the flow, by the key under which it puts them. `mark` is
    of this step alone, for keys that no other step has.
    """

    spends: ClassVar[bool] = True
    """Whether the columns it takes are no features by themselves any more."""
    libraries: ClassVar[tuple[str, ...]] = ()

    def __init__(self, names: Sequence[str], *, mark: str, **options: Any) -> None:
        self.names = list(names)
        self.mark = mark
        self.labels: dict[str, list[str]] = {}
        self.__dict__.update(options)

    def __getstate__(self) -> dict[str, Any]:
        """Names by the thousand as one JSON text: single ones would each be an entry of an archive."""
        return self.__dict__ | {"labels": json.dumps(self.labels)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.labels = json.loads(state["labels"])

    def fit(self, flow: Flow) -> None:
        """Learn from the training part, and set `labels`."""
        raise NotImplementedError

    def run(self, flow: Flow) -> None:
        """Put the features of these rows into the flow. Each row's are made from that row alone."""
        raise NotImplementedError
