"""Pictures -> one row a file: path, bytes, height, width, mode, labels. PNG and JPEG are read here; WebP, GIF, BMP and TIFF by Pillow."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from everloop.core.errors import BadInput, Missing
from everloop.data.sources.media import BrokenFile, Media

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# WebP, GIF, BMP, TIFF in both byte orders.
_OTHERS = (b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")
# (colour type, bits a channel) -> what Pillow calls it. PNG specification, table 11.1.
_PNG_MODES = {
    (0, 1): "1", (0, 2): "L", (0, 4): "L", (0, 8): "L", (0, 16): "I;16", (2, 8): "RGB", (2, 16): "RGB", (3, 1): "P", (3, 2): "P", (3, 4): "P",
    (3, 8): "P", (4, 8): "LA", (4, 16): "LA", (6, 8): "RGBA", (6, 16): "RGBA",
}  # fmt: skip
_JPEG_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
# Markers without a length: restarts, and the standalone TEM. ITU-T T.81, table B.1.
_JPEG_BARE = {0x01, *range(0xD0, 0xD8)}
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class Size(NamedTuple):
    height: int
    width: int
    mode: str


class Images(Media, frozen=True, kw_only=True):
    """`Images("photos/**/*.png")`: one row a picture, with `path`, `bytes` as they are in the file, `height` and `width` in pixels, and `mode`
    in Pillow's names (L, RGB, RGBA ...). Pictures are not decoded here: headers, checksums and ends are looked at.

    A picture that declares more than `max_megapixels` is refused: its file may be small and its pixels fill the memory.
    """

    max_megapixels: float = 80.0

    kind: ClassVar[str] = "images"
    suffixes: ClassVar[tuple[str, ...]] = ("png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff")
    facts: ClassVar[Mapping[str, type]] = {"height": int, "width": int, "mode": str}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.max_megapixels > 0:
            raise BadInput(f"max_megapixels must be more than 0, not {self.max_megapixels:g}.")

    def look(self, data: bytes, name: str) -> Mapping[str, Any]:
        if data.startswith(_PNG):
            size = read_png(data, name)
        elif data.startswith(_JPEG):
            size = read_jpeg(data, name)
        else:
            size = _read_other(data, name)
        if size.height * size.width > self.max_megapixels * 1e6:
            raise BrokenFile(
                f"{name} declares {size.width:,} x {size.height:,} pixels, more than {self.max_megapixels:g} megapixels. "
                "Raise max_megapixels if such pictures are meant, or take the file away."
            )
        return size._asdict()


def read_png(data: bytes, name: str) -> Size:
    """Every chunk must be whole and have its checksum, and the last one must be the end."""
    size: Size | None = None
    at, pixels = len(_PNG), False
    while True:
        if at + 12 > len(data):
            raise BrokenFile(f"{name} is not a whole PNG: it ends after {len(data):,} bytes without its end chunk.")
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        if at + 12 + length > len(data):
            raise BrokenFile(f"{name} is not a whole PNG: it ends in the middle of a chunk, after {len(data):,} bytes.")
        if zlib.crc32(kind + body) != struct.unpack_from(">I", data, at + 8 + length)[0]:
            raise BrokenFile(f"{name} is not a sound PNG: the checksum of the chunk at byte {at:,} is wrong.")
        if size is None:
            size = _png_header(kind, body, name)
        pixels = pixels or kind == b"IDAT"
        at += 12 + length
        if kind == b"IEND":
            if not pixels:
                raise BrokenFile(f"{name} is not a whole PNG: it holds no pixels.")
            return size


def _png_header(kind: bytes, body: bytes, name: str) -> Size:
    if kind != b"IHDR" or len(body) != 13:
        raise BrokenFile(f"{name} is not a sound PNG: it does not begin with a header chunk.")
    width, height, bits, colour = struct.unpack_from(">IIBB", body)
    mode = _PNG_MODES.get((colour, bits))
    if mode is None or not width or not height:
        raise BrokenFile(
            f"{name} is not a sound PNG: its header declares {width} x {height} pixels, colour type {colour} with {bits} bits."
        )
    return Size(height, width, mode)


def read_jpeg(data: bytes, name: str) -> Size:
    """Segments up to the first scan, and the end marker behind it: within a scan the end's two bytes cannot occur."""
    size: Size | None = None
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise BrokenFile(f"{name} is not a sound JPEG: there is no marker at byte {at:,}.")
        marker = data[at + 1]
        if marker == 0xFF or marker in _JPEG_BARE:
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker in _JPEG_FRAMES and at + 10 <= len(data):
            height, width, components = struct.unpack_from(">HHB", data, at + 5)
            mode = _JPEG_MODES.get(components)
            if mode is None or not width or not height:
                raise BrokenFile(f"{name} is not a sound JPEG: it declares {width} x {height} pixels of {components} components.")
            size = Size(height, width, mode)
        if marker == 0xDA:
            if size is None:
                raise BrokenFile(f"{name} is not a sound JPEG: its pixels come before their size.")
            if data.find(b"\xff\xd9", at + 2 + length) < 0:
                break
            return size
        at += 2 + length
    raise BrokenFile(f"{name} is not a whole JPEG: it ends after {len(data):,} bytes without its end marker.")


def _read_other(data: bytes, name: str) -> Size:
    """By Pillow, which reads the header only."""
    import io
    import warnings

    unknown = BrokenFile(f"{name} is no picture that can be read: it begins with {data[:8]!r}.")
    if not data.startswith(_OTHERS):
        raise unknown
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise Missing(f"{name} is neither a PNG nor a JPEG picture. For other formats: pip install 'everloop[images]'") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("WEBP", "GIF", "BMP", "TIFF")) as image:
                return Size(image.height, image.width, image.mode)
    except Image.DecompressionBombError as error:
        raise BrokenFile(f"{name} declares too many pixels: {error}") from error
    except (OSError, ValueError, SyntaxError, struct.error) as error:
        raise unknown from error
