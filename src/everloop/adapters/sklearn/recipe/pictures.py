"""Bytes of image files -> pixels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from everloop.adapters.sklearn.recipe.flow import Array, Flow
from everloop.adapters.sklearn.recipe.step import FittedStep
from everloop.core.errors import BadInput, Missing

# A small file may unpack to any size.
MAX_PIXELS = 100_000_000


class Image(FittedStep):
    size: tuple[int, int]
    mode: str
    flatten: bool
    libraries = ("pillow",)

    def fit(self, flow: Flow) -> None:
        del flow
        width, height = self.size
        channels = ["r", "g", "b"] if self.mode == "rgb" else [""]
        for name in self.names:
            self.labels[f"{name}[{self.mark}]"] = [f"{name}[{y},{x}]{c}" for y in range(height) for x in range(width) for c in channels]

    def run(self, flow: Flow) -> None:
        width, height = self.size
        shape = (flow.height, height, width) + ((3,) if self.mode == "rgb" else ())
        for name in self.names:
            out = np.full(shape, np.nan)
            for row, data in enumerate(flow.blobs(name)):
                if data is None:
                    continue
                try:
                    out[row] = pixels(data, self.size, self.mode)
                except BadInput as error:
                    raise BadInput(f"Recipe step 'image': row {row}, column {name!r}: {error}") from error
            flow.made[f"{name}[{self.mark}]"] = out.reshape(flow.height, -1) if self.flatten else out


def pixels(data: bytes, size: tuple[int, int], mode: str) -> Array:
    """(height, width) or (height, width, 3), from 0 to 1, upright as the camera meant it. BadInput for what is no image, or a huge one."""
    try:
        import PIL.Image
        import PIL.ImageOps
    except ModuleNotFoundError as error:
        raise Missing("Images are decoded by Pillow, which is not installed. Install it: pip install 'everloop[images]'") from error
    try:
        image: Any = PIL.Image.open(io.BytesIO(data))
        if image.width * image.height > MAX_PIXELS:
            raise BadInput(f"The image has {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are decoded.")
        image = PIL.ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16"):
            # Pillow cuts 16 bits off at 255 instead of scaling them down.
            image = PIL.Image.fromarray((np.asarray(image, dtype=np.float64) / 257).round().astype(np.uint8))
        wanted = "RGB" if mode == "rgb" else "L"
        image = image if image.mode == wanted else image.convert(wanted)
        if image.size != tuple(size):
            image = image.resize(tuple(size), PIL.Image.Resampling.BILINEAR)
        return np.asarray(image, dtype=np.float64) / 255
    except BadInput:
        raise
    except Exception as error:  # Pillow's decoders raise whatever their formats call for
        raise BadInput(f"{len(data)} bytes are no image that can be read ({type(error).__name__}: {str(error)[:100]}).") from error
