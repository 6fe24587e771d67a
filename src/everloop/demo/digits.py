"""The demo's input: 1,797 real images of handwritten digits, as two scanners would deliver them.

The images are the UCI optical recognition set that scikit-learn carries in its package: 8 x 8 pixels of 0 to 16.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from everloop.data.samples import sample

SIDE = 8
WHITE = 16.0
PIXELS = tuple(f"p{row}{column}" for row in range(SIDE) for column in range(SIDE))
TARGET = "digit"

Images = np.ndarray[Any, np.dtype[np.float64]]


def load(seed: int = 20261120) -> pl.DataFrame:
    """All rows in one fixed order: 64 pixel columns and `digit`.

    The file is ordered by writer, which alone would drift; a seeded permutation makes the order say nothing.
    """
    table = pl.read_csv(sample("digits.csv.gz"), has_header=False, new_columns=[*PIXELS, TARGET]).cast(pl.Int64)
    return table[np.random.default_rng(seed).permutation(table.height)]


def new_scanner(table: pl.DataFrame, *, angle_deg: float = 14.0, contrast: float = 0.62, brightness: float = 3.0) -> pl.DataFrame:
    """The same sheets through another device: turned a little, with less contrast on a lighter ground.

    Each image is rotated about its centre by `angle_deg` (bilinear), every pixel becomes `brightness + contrast * pixel`,
    clipped to 0..16 and rounded: what a differently set up scanner does to paper.
    """
    images = table.select(PIXELS).to_numpy().astype(np.float64).reshape(-1, SIDE, SIDE)
    turned = _rotate(images, angle_deg)
    pixels = np.rint(np.clip(brightness + contrast * turned, 0.0, WHITE)).astype(np.int64).reshape(-1, SIDE * SIDE)
    return pl.DataFrame(pixels, schema=list(PIXELS)).with_columns(table[TARGET])


def _rotate(images: Images, angle_deg: float) -> Images:
    """Bilinear rotation about the centre; outside is paper (0)."""
    centre = (SIDE - 1) / 2
    angle = np.deg2rad(angle_deg)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] - centre
    from_row = np.cos(angle) * rows + np.sin(angle) * columns + centre
    from_column = -np.sin(angle) * rows + np.cos(angle) * columns + centre
    padded = np.pad(images, ((0, 0), (1, 2), (1, 2)))
    row, column = np.floor(from_row).astype(int), np.floor(from_column).astype(int)
    down, right = from_row - row, from_column - column
    row, column = np.clip(row + 1, 0, SIDE + 1), np.clip(column + 1, 0, SIDE + 1)
    top = padded[:, row, column] * (1 - right) + padded[:, row, column + 1] * right
    bottom = padded[:, row + 1, column] * (1 - right) + padded[:, row + 1, column + 1] * right
    return top * (1 - down) + bottom * down
