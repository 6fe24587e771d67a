"""Pictures and sound as rows, told apart from what only looks like them; Pillow and soundfile are the oracles for headers."""

from __future__ import annotations

import io
import os
import struct
import wave
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from everloop.core.errors import BadInput, NotFound
from everloop.core.ports import BATCH_BYTES, Place, Source
from everloop.data.sources.audio import Audio, read_wav
from everloop.data.sources.images import Images, read_jpeg, read_png
from everloop.data.sources.media import BrokenFile
from everloop.data.sources.union import collect
from everloop.testing.sources import LARGE_BYTES, SourceSuite


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *, pixels: bytes = b"") -> bytes:
    """A PNG with any declared size, whatever its pixels are."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels, 0)) + chunk(b"IEND", b"")


def picture(value: int, size: tuple[int, int] = (6, 4)) -> bytes:
    sink = io.BytesIO()
    Image.new("L", size, value % 256).save(sink, "PNG")
    return sink.getvalue()


def wav(samples: int, *, rate: int = 8000, channels: int = 1, seed: int = 0) -> bytes:
    sink = io.BytesIO()
    with wave.open(sink, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.random.default_rng(seed).integers(-999, 999, samples * channels).astype("<i2").tobytes())
    return sink.getvalue()


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


class FolderSuite(SourceSuite):
    incremental = True
    suffix = ""

    def made(self, number: int) -> bytes:
        raise NotImplementedError

    def begin(self, place: Place) -> None:
        for number in range(3):
            write(place.project / "media" / "abc"[number] / f"{number}.{self.suffix}", self.made(number))

    def add(self, place: Place) -> None:
        count = sum(1 for path in place.project.rglob("*") if path.is_file())
        write(place.project / "media" / "a" / f"{count:03}.{self.suffix}", self.made(count))

    def change(self, place: Place) -> None:
        self._put_in_place(place, 9)

    def remove(self, place: Place) -> None:
        next(place.project.rglob(f"1.{self.suffix}")).unlink()

    def vanish(self, place: Place) -> None:
        for path in place.project.rglob(f"*.{self.suffix}"):
            path.unlink()

    def _put_in_place(self, place: Place, number: int) -> None:
        write(place.project / "new", self.made(number)).replace(next(place.project.rglob(f"0.{self.suffix}")))


class TestImages(FolderSuite):
    suffix = "png"

    def source(self, place: Place) -> Source:
        return Images("media/**/*.png")

    def made(self, number: int) -> bytes:
        return picture(number)

    def enlarge(self, place: Place) -> None:
        for number in range(10):
            noise = np.random.default_rng(number).bytes(LARGE_BYTES // 9)
            write(place.project / "media" / "large" / f"{number}.png", png(1000, 1000, pixels=noise))


class TestAudio(FolderSuite):
    suffix = "wav"

    def source(self, place: Place) -> Source:
        return Audio("media", label=None)

    def made(self, number: int) -> bytes:
        return wav(400 + number, seed=number)

    def enlarge(self, place: Place) -> None:
        for number in range(10):
            write(place.project / "media" / "large" / f"{number}.wav", wav(LARGE_BYTES // 18, seed=number))


def test_scikit_learn_s_digits_come_back_as_they_were_with_their_labels(place: Place) -> None:
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    for at in range(60):
        sink = io.BytesIO()
        Image.fromarray((digits.images[at] * 16).clip(0, 255).astype("u1")).save(sink, "PNG")
        write(place.project / "digits" / str(digits.target[at]) / f"{at:03}.png", sink.getvalue())
    table = collect(Images("digits").read(place))
    assert table.columns == ["path", "bytes", "height", "width", "mode", "label"]
    assert table.select("height", "width", "mode").unique().rows() == [(8, 8, "L")]
    for row in table.iter_rows(named=True):
        at = int(Path(row["path"]).stem)
        assert row["label"] == str(digits.target[at])
        assert (np.asarray(Image.open(io.BytesIO(row["bytes"]))) == (digits.images[at] * 16).clip(0, 255)).all()


def test_spoken_digits_with_digit_speaker_and_take_from_their_names(real_data: Path) -> None:
    place = Place("speech", real_data, real_data / ".everloop")
    files = sorted((real_data / "fsdd").rglob("*.wav"))
    pattern = files[0].parent.relative_to(real_data).as_posix() + "/*.wav"
    table = collect(Audio(pattern, label=r"(?P<digit>\d)_(?P<speaker>\w+)_(?P<take>\d+)\.wav$").read(place))
    assert (table.height, table["rate"].unique().to_list(), table["channels"].unique().to_list()) == (len(files), [8000], [1])
    assert table["digit"].value_counts()["count"].n_unique() == 1
    assert (table["digit"].n_unique(), table["speaker"].n_unique()) == (10, 6)
    for path, seconds in table.select("path", "seconds").sample(40, seed=0).iter_rows():
        with wave.open(str(real_data / path)) as file:
            assert seconds == file.getnframes() / file.getframerate()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    cut=st.integers(1, 60),
    at=st.integers(0, 10**6),
)
def test_png_headers_say_what_pillow_says_and_what_is_cut_or_flipped_is_noticed(
    mode: str, width: int, height: int, cut: int, at: int
) -> None:
    sink = io.BytesIO()
    Image.new(mode, (width, height)).save(sink, "PNG")
    data = sink.getvalue()
    assert read_png(data, "p") == (height, width, Image.open(io.BytesIO(data)).mode)
    with pytest.raises(BrokenFile, match="not a whole PNG"):
        read_png(data[: -min(cut, len(data) - 40)], "p")
    flipped = bytearray(data)
    flipped[8 + at % (len(data) - 8)] ^= 1
    with pytest.raises(BrokenFile, match="PNG"):
        read_png(bytes(flipped), "p")


@settings(max_examples=40, deadline=None)
@given(
    mode=st.sampled_from(["L", "RGB", "CMYK"]),
    width=st.integers(1, 80),
    height=st.integers(1, 80),
    progressive=st.booleans(),
    cut=st.floats(0, 1),
)
def test_jpeg_headers_say_what_pillow_says_and_what_is_cut_is_noticed(
    mode: str, width: int, height: int, progressive: bool, cut: float
) -> None:
    sink = io.BytesIO()
    noise = np.random.default_rng(width * 100 + height).integers(0, 255, (height, width), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(sink, "JPEG", progressive=progressive, comment=b"a \xff\xd9 in a comment is no end")
    data = sink.getvalue()
    assert read_jpeg(data, "p") == (height, width, mode)
    with pytest.raises(BrokenFile, match="JPEG"):
        read_jpeg(data[: max(int(cut * (len(data) - 2)), 4)], "p")


@settings(max_examples=40, deadline=None)
@given(samples=st.integers(1, 500), rate=st.integers(1, 96_000), channels=st.integers(1, 4), cut=st.integers(1, 2000))
def test_wav_headers_say_what_the_standard_library_says_and_what_is_cut_is_noticed(
    samples: int, rate: int, channels: int, cut: int
) -> None:
    data = wav(samples, rate=rate, channels=channels)
    assert read_wav(data, "w") == (rate, channels, samples / rate)
    with pytest.raises(BrokenFile, match=r"not a whole WAV|without samples"):
        read_wav(data[: max(len(data) - cut, 12)], "w")


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "FLOAT", "DOUBLE", "ULAW"])
def test_other_codings_of_wav(subtype: str) -> None:
    import soundfile

    for form in ("WAV", "WAVEX"):
        sink = io.BytesIO()
        soundfile.write(sink, np.zeros((441, 2)), 44_100, format=form, subtype=subtype)
        assert read_wav(sink.getvalue(), "w") == (44_100, 2, 0.01)


def test_other_formats_are_read_by_their_libraries(place: Place) -> None:
    import soundfile

    for form, suffix in (("WEBP", "webp"), ("GIF", "gif"), ("BMP", "bmp"), ("TIFF", "tif")):
        Image.new("RGB", (7, 5)).save(place.project / f"a.{suffix}", form)
    table = collect(Images(".", label=None).read(place))
    assert table.select("path", "height", "width").rows() == [(f"a.{suffix}", 5, 7) for suffix in ("bmp", "gif", "tif", "webp")]
    for suffix in ("flac", "ogg", "mp3", "aiff"):
        soundfile.write(place.project / f"b.{suffix}", np.zeros(8000), 8000)
    table = collect(Audio(".", label=None).read(place))
    assert table.select("path", "rate", "channels").rows() == [(f"b.{suffix}", 8000, 1) for suffix in ("aiff", "flac", "mp3", "ogg")]
    assert (table["seconds"] - 1).abs().max() < 0.2  # type: ignore[operator]  # MP3 pads


def test_a_bomb_is_refused_by_what_it_declares(place: Place) -> None:
    write(place.project / "bomb.png", png(100_000, 100_000))
    with pytest.raises(BadInput, match=r"bomb.png declares 100,000 x 100,000 pixels, more than 80 megapixels"):
        collect(Images("bomb.png").read(place))
    assert collect(Images("bomb.png", max_megapixels=20_000).read(place)).height == 1
    import soundfile

    soundfile.write(place.project / "silence.flac", np.zeros(8000 * 60 * 90, dtype="i2"), 8000)
    with pytest.raises(BadInput, match=r"silence.flac declares 5,400 seconds, more than 3600"):
        collect(Audio("silence.flac").read(place))
    write(place.project / "big.wav", wav(600_000))
    with pytest.raises(BadInput, match=r"big.wav has 1 MB; 1 are allowed. Raise max_mb"):
        collect(Audio("big.wav", max_mb=1).read(place))


def test_broken_files_are_refused_by_name_or_listed(place: Place) -> None:
    write(place.project / "p" / "a.png", picture(1))
    write(place.project / "p" / "b.png", picture(2)[:-10])
    write(place.project / "p" / "c.png", b"hello")
    with pytest.raises(BadInput, match=r"p/b.png is not a whole PNG"):
        collect(Images("p").read(place))
    extract = Images("p", skip_broken=True).read(place)
    assert collect(extract)["path"].to_list() == ["p/a.png"]
    (origin,) = extract.origins
    assert (origin["rows"], origin["skipped"]) == (1, 2)
    assert "p/b.png is not a whole PNG" in str(origin["broken"])
    assert "p/c.png is no picture" in str(origin["broken"])
    # What is broken stays known, and is looked at again once it is mended.
    write(place.project / "p" / "d.png", picture(3))
    later = Images("p", skip_broken=True).read(place, since=extract.origins)
    assert (collect(later)["path"].to_list(), later.whole, later.origins[0]["skipped"]) == (["p/d.png"], False, 2)
    write(place.project / "p" / "b.png", picture(2))
    mended = Images("p", skip_broken=True).read(place, since=later.origins)
    assert (mended.whole, collect(mended).height, mended.origins[0]["skipped"]) == (True, 3, 1)
    for name in "abd":
        (place.project / "p" / f"{name}.png").unlink()
    with pytest.raises(BadInput, match=r"none of 1 files is whole. The first: p/c.png is no picture"):
        collect(Images("p", skip_broken=True).read(place))


def test_a_file_with_an_old_time_is_new_all_the_same(place: Place) -> None:
    """As archives and copies with their times leave them."""
    write(place.project / "p" / "a.png", picture(1))
    first = Images("p").read(place)
    collect(first)
    os.utime(write(place.project / "p" / "b.png", picture(2)), (0, 0))
    later = Images("p").read(place, since=first.origins)
    assert (collect(later)["path"].to_list(), later.whole) == (["p/b.png"], False)
    other = Images("p", label=None).read(place, since=first.origins)
    assert other.whole, "asked in another way, all is read"


def test_labels_come_from_the_path(place: Place) -> None:
    write(place.project / "7_ann_0.png", picture(1))
    assert collect(Images("*.png").read(place))["label"].to_list() == [None]
    table = collect(Images("*.png", label=r"(?P<digit>\d)_(?P<who>[a-z]+)(?P<extra>x)?").read(place))
    assert table.select("digit", "who", "extra").rows() == [("7", "ann", None)]
    assert table.schema["extra"] == pl.String
    with pytest.raises(BadInput, match=r"7_ann_0.png does not have the form"):
        collect(Images("*.png", label=r"(?P<digit>\d)-").read(place))
    for label, said in ((r"(\d)_", "names no group"), (r"(?P<a", "no regular expression"), (r"(?P<mode>\d)", "'mode' is a column already")):
        with pytest.raises(BadInput, match=said):
            Images("*.png", label=label)


def test_what_is_not_there_and_what_lies_outside(place: Place, tmp_path_factory: pytest.TempPathFactory) -> None:
    write(place.project / "p" / "a.txt", b"x")
    with pytest.raises(NotFound, match=r"No file in 'p' ends in .png"):
        Images("p").stamp(place)
    with pytest.raises(NotFound, match=r"There: a.txt"):
        Images("p/a.png").stamp(place)
    with pytest.raises(BadInput, match="is a URL"):
        Images("https://x/*.png")
    outside = write(tmp_path_factory.mktemp("outside") / "o.png", picture(1))
    (place.project / "p" / "o.png").symlink_to(outside)
    with pytest.raises(BadInput, match="outside the project"):
        Images("p").stamp(place)
    assert collect(Images(str(outside)).read(place))["path"].to_list() == [outside.as_posix()]


def test_many_small_files_come_in_few_batches_and_large_ones_in_many(place: Place) -> None:
    for number in range(300):
        write(place.project / "s" / f"{number:03}.png", picture(number))
    assert [batch.height for batch in Images("s").read(place).batches()] == [300]
    for number in range(3):
        write(place.project / "l" / f"{number}.png", png(10, 10, pixels=np.random.default_rng(number).bytes(BATCH_BYTES * 2 // 3)))
    assert [batch.height for batch in Images("l").read(place).batches()] == [1, 1, 1]
