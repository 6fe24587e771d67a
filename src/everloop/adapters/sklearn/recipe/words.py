"""Texts -> weights of their words or characters."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from everloop.adapters.sklearn.recipe.categories import Vocabularies, signed
from everloop.adapters.sklearn.recipe.flow import Flow
from everloop.core.errors import BadInput

# Beyond, a dense matrix of texts is mostly zeros that cost memory.
DENSE_FEATURES = 256


class Text(Vocabularies):
    """tf-idf with idf = ln((1 + rows) / (1 + rows with the word)) + 1 (as scikit-learn's TfidfVectorizer), or feature hashing; each row
    divided by its Euclidean length. A missing text is an empty one."""

    how: str
    of: str
    ngrams: tuple[int, int]
    max_features: int
    min_rows: int
    sparse: Any

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("analyse", None)
        return state

    def fit(self, flow: Flow) -> None:
        self._analyser()
        known: dict[str, list[Any]] = {}
        self.idf: dict[str, Any] = {}
        for name in self.names:
            texts = flow.texts(name)
            if self.how == "hashed":
                known[name] = []
                self.idf[name] = np.empty(0)
                self.labels[f"{name}[{self.mark}]"] = [f"{name}#{at}" for at in range(self.max_features)]
                continue
            rows = Counter(word for text in texts for word in set(self.analyse(text or "")))
            usual = [(word, count) for word, count in rows.items() if count >= self.min_rows]
            usual.sort(key=lambda item: (-item[1], item[0]))
            kept = sorted(usual[: self.max_features])
            if not kept:
                raise BadInput(
                    f"Recipe step 'text': no {'word' if self.of == 'words' else 'character'} of {name!r} occurs in {self.min_rows} training rows or more. "
                    "Lower min_rows, or leave the column out."
                )
            known[name] = [word for word, _ in kept]
            self.idf[name] = np.log((1 + len(texts)) / (1 + np.array([count for _, count in kept]))) + 1
            self.labels[f"{name}[{self.mark}]"] = [f"{name}:{word}" for word in known[name]]
        self._know(known)

    def run(self, flow: Flow) -> None:
        self._analyser()
        for name in self.names:
            width = len(self.labels[f"{name}[{self.mark}]"])
            weigh = self._hashed if self.how == "hashed" else self._tfidf
            data: list[float] = []
            columns: list[int] = []
            starts = [0]
            for text in flow.texts(name):
                found = weigh(name, text or "")
                # Summed in the same order whatever stands in other rows.
                length = math.sqrt(math.fsum(value * value for _, value in found)) or 1.0
                columns.extend(at for at, _ in found)
                data.extend(value / length for _, value in found)
                starts.append(len(columns))
            matrix = sparse.csr_array(
                (np.array(data), np.array(columns, dtype=np.int32), np.array(starts, dtype=np.int32)), (flow.height, width)
            )
            asked = width > DENSE_FEATURES if self.sparse is None else self.sparse
            flow.made[f"{name}[{self.mark}]"] = matrix if asked else matrix.toarray()

    def _tfidf(self, name: str, text: str) -> list[tuple[int, float]]:
        places, idf = self.places[name], self.idf[name]
        counts = Counter(at for at in map(places.get, self.analyse(text)) if at is not None)
        return [(at, float(count * idf[at])) for at, count in sorted(counts.items())]

    def _hashed(self, name: str, text: str) -> list[tuple[int, float]]:
        weights: dict[int, float] = {}
        for word in self.analyse(text):
            at, sign = signed(word, self.max_features)
            weights[at] = weights.get(at, 0.0) + sign
        return [(at, weight) for at, weight in sorted(weights.items()) if weight]

    def _analyser(self) -> None:
        if "analyse" not in self.__dict__:
            kind = "word" if self.of == "words" else "char_wb"
            self.analyse: Callable[[str], list[str]] = CountVectorizer(analyzer=kind, ngram_range=tuple(self.ngrams)).build_analyzer()
