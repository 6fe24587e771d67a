"""Where in the text of a JSON object its fields and their entries stand."""

from __future__ import annotations

import json
import re

_decoder = json.JSONDecoder()


class Places:
    """Of a text that is known to be a JSON object."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.fields: dict[str, tuple[int, int]] = {}
        """Name -> where the name stands, and where its value."""
        at = self._after(text.index("{") + 1)
        while text[at] != "}":
            start = at
            name, at = _decoder.raw_decode(text, at)
            at = self._after(self._after(at) + 1)
            self.fields[name] = (start, at)
            _, at = _decoder.raw_decode(text, at)
            at = self._after(at)

    def line(self, at: int) -> int:
        return self._text.count("\n", 0, at) + 1

    def of(self, field: str) -> int:
        """The line of a field; 1 where there is none."""
        return self.line(self.fields[field][0]) if field in self.fields else 1

    def entries(self, field: str) -> list[tuple[int, int]]:
        """Where each entry of a list begins and ends."""
        found: list[tuple[int, int]] = []
        at = self._after(self.fields[field][1] + 1)
        while self._text[at] != "]":
            start = at
            _, at = _decoder.raw_decode(self._text, at)
            found.append((start, at))
            at = self._after(at)
        return found

    def within(self, name: str, span: tuple[int, int]) -> int:
        """The line of a field's name within an entry; the entry's own where it is not found."""
        found = re.compile(re.escape(json.dumps(name, ensure_ascii=False)) + r"\s*:").search(self._text, *span)
        return self.line(found.start() if found else span[0])

    def _after(self, at: int) -> int:
        """Past what separates."""
        while self._text[at] in " \t\r\n,":
            at += 1
        return at
