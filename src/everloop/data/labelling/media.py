"""Bytes of a cell -> what a browser may be told they are, by how they begin. What is not known is never shown."""

from __future__ import annotations

UNKNOWN = "application/octet-stream"

# Nothing that can carry a script: no SVG, no HTML, no PDF.
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
)
_RIFF = {b"WAVE": "audio/wav", b"WEBP": "image/webp"}


def type_of(content: bytes) -> str:
    """`image/...`, `audio/...`, or `application/octet-stream`."""
    if content[:4] == b"RIFF":
        return _RIFF.get(content[8:12], UNKNOWN)
    return next((kind for beginning, kind in _BEGINNINGS if content.startswith(beginning)), UNKNOWN)
