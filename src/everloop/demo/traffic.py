"""Requests as clients of the service would send them: one image each, over a kept connection, every answer remembered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import polars as pl

from everloop.demo.digits import PIXELS, TARGET


@dataclass(frozen=True)
class Answer:
    """`truth` is what a person would read; `version` which version answered."""

    id: str
    output: int
    truth: int
    version: int


class Traffic:
    """Sends rows of a table in order, round and round, and counts what failed."""

    def __init__(self, url: str, loop: str) -> None:
        self.loop = loop
        self.sent = 0
        self.failures: list[str] = []
        self._client = httpx.Client(base_url=url, timeout=30)

    def send(self, table: pl.DataFrame) -> list[Answer]:
        """One request a row. A refused or broken one is a failure, never a retry."""
        answers: list[Answer] = []
        for row in table.iter_rows(named=True):
            self.sent += 1
            try:
                response = self._client.post(f"/predict/{self.loop}", json={"rows": [{name: row[name] for name in PIXELS}]})
            except httpx.HTTPError as error:
                self.failures.append(repr(error))
                continue
            if response.status_code != httpx.codes.OK:
                self.failures.append(f"{response.status_code} {response.text[:200]}")
                continue
            prediction: dict[str, Any] = response.json()["predictions"][0]
            answers.append(Answer(prediction["id"], int(prediction["output"]), int(row[TARGET]), int(prediction["version"])))
        return answers

    def label(self, answers: list[Answer]) -> int:
        """Tell the service what was really on the sheets; how many labels were new."""
        response = self._client.post(f"/labels/{self.loop}", json={"labels": {answer.id: answer.truth for answer in answers}})
        response.raise_for_status()
        return int(response.json()["added"])

    def is_served(self) -> bool:
        """True once the data plane has a champion of the loop loaded."""
        try:
            return f'"{self.loop}"' in self._client.get("/models").text
        except httpx.HTTPError:
            return False

    def close(self) -> None:
        self._client.close()


def accuracy(answers: list[Answer]) -> float:
    """Share of answers that are right; not a number when there is none."""
    return sum(answer.output == answer.truth for answer in answers) / len(answers) if answers else float("nan")
