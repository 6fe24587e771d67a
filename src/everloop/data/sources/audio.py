"""Sound -> one row a file: path, bytes, rate, channels, seconds, labels. WAV is read here; FLAC, Ogg, MP3 and AIFF by soundfile."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from everloop.core.errors import BadInput, Missing
from everloop.data.sources.media import BrokenFile, Media

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
# What is written as the length of a stream whose end was not known yet.
_OPEN_ENDS = (0, 0xFFFFFFFF)
# FLAC, Ogg, AIFF, and MP3 with and without a tag.
_OTHERS = (b"fLaC", b"OggS", b"FORM", b"ID3", b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2", b"\xff\xe3", b"\xff\xe2")


class Sound(NamedTuple):
    rate: int
    channels: int
    seconds: float


class Audio(Media, frozen=True, kw_only=True):
    """`Audio("digits/*.wav", label=r"(?P<digit>\\d)_(?P<speaker>\\w+)_")`: one row a recording, with `path`, `bytes` as they are in the file,
    `rate` in samples a second, `channels`, and `seconds`. Nothing is decoded here: headers and lengths are looked at.

    A recording that declares more than `max_seconds` is refused: silence packs so well that a small file may fill the memory.
    """

    max_seconds: float = 3600.0

    kind: ClassVar[str] = "audio"
    suffixes: ClassVar[tuple[str, ...]] = ("wav", "flac", "ogg", "mp3", "aiff", "aif")
    facts: ClassVar[Mapping[str, type]] = {"rate": int, "channels": int, "seconds": float}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.max_seconds > 0:
            raise BadInput(f"max_seconds must be more than 0, not {self.max_seconds:g}.")

    def look(self, data: bytes, name: str) -> Mapping[str, Any]:
        sound = read_wav(data, name) if data[:4] == b"RIFF" and data[8:12] == b"WAVE" else _read_other(data, name)
        if sound.seconds > self.max_seconds:
            raise BrokenFile(
                f"{name} declares {sound.seconds:,.0f} seconds, more than {self.max_seconds:g}. "
                "Raise max_seconds if such recordings are meant, or take the file away."
            )
        return sound._asdict()


def read_wav(data: bytes, name: str) -> Sound:
    """RIFF chunks up to the samples: those must all be there. Multimedia Programming Interface and Data Specifications 1.0, 1991, and its
    extensible form of 2001."""
    at = 12
    bytes_a_second = rate = channels = 0
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        at += 8
        if kind == b"fmt ":
            if length < 16 or at + length > len(data):
                raise BrokenFile(f"{name} is not a sound WAV: its format chunk has {length} bytes.")
            coding, channels, rate, bytes_a_second, block, bits = struct.unpack_from("<HHIIHH", data, at)
            if coding == _EXTENSIBLE and length >= 26:
                (coding,) = struct.unpack_from("<H", data, at + 24)
            if coding in (_PCM, _FLOAT):
                bytes_a_second = rate * block
            if not (channels and rate and bytes_a_second) or (coding in (_PCM, _FLOAT) and block != channels * ((bits + 7) // 8)):
                raise BrokenFile(
                    f"{name} is not a sound WAV: its header declares {channels} channels of {bits} bits at {rate} Hz in {block} bytes."
                )
        elif kind == b"data":
            if not bytes_a_second:
                raise BrokenFile(f"{name} is not a sound WAV: its samples come before their format.")
            there = len(data) - at
            held = there if length in _OPEN_ENDS else length
            if held > there:
                raise BrokenFile(f"{name} is not a whole WAV: it declares {length:,} bytes of samples and holds {there:,}.")
            if not held:
                raise BrokenFile(f"{name} is a WAV without samples.")
            return Sound(rate, channels, held / bytes_a_second)
        at += length + length % 2
    raise BrokenFile(f"{name} is not a whole WAV: it ends after {len(data):,} bytes without samples.")


def _read_other(data: bytes, name: str) -> Sound:
    """By soundfile, which reads headers, and of MP3 the frames."""
    import io

    unknown = BrokenFile(f"{name} is no recording that can be read: it begins with {data[:8]!r}.")
    if not data.startswith(_OTHERS):
        raise unknown
    try:
        import soundfile  # pyright: ignore[reportMissingTypeStubs]
    except ModuleNotFoundError:
        raise Missing(f"{name} is no WAV recording. For other formats: pip install 'everloop[audio]'") from None
    try:
        found: Any = soundfile.info(io.BytesIO(data))
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        raise unknown from error
    if found.frames <= 0 or found.samplerate <= 0:
        raise BrokenFile(f"{name} is a recording without samples.")
    return Sound(found.samplerate, found.channels, found.frames / found.samplerate)
