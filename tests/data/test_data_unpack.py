from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput
from everloop.core.ports import Place
from everloop.data.sources.files import Files
from everloop.data.sources.union import collect
from everloop.data.sources.unpack import unpacked


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


def zipped(data: bytes, *names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or ("a.csv",):
            archive.writestr(name, data)
    return out.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "zst": zstd, "bz2": bz2.compress, "xz": lzma.compress, "zip": zipped}


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=300), st.sampled_from(sorted(PACKERS)), st.integers(1, 50))
def test_what_was_packed_is_unpacked_however_its_bytes_arrive(data: bytes, packer: str, size: int) -> None:
    assert b"".join(unpacked(cut(PACKERS[packer](data), size), name="a")) == data


@given(st.binary(max_size=30).filter(lambda data: data[:1] not in (b"\x1f", b"\x28", b"\xfd", b"B", b"P")), st.integers(1, 5))
def test_what_was_not_packed_stays(data: bytes, size: int) -> None:
    assert b"".join(unpacked(cut(data, size), name="a")) == data


@pytest.mark.parametrize("packer", ["gz", "bz2", "xz"])
def test_parts_packed_one_by_one_and_padded_with_zeros(packer: str) -> None:
    packed = PACKERS[packer](b"a\n") + PACKERS[packer](b"1\n") + bytes(512)
    assert b"".join(unpacked(cut(packed, 7), name="a")) == b"a\n1\n"


@pytest.mark.parametrize("packer", sorted(PACKERS))
def test_half_a_file_is_refused(packer: str) -> None:
    packed = PACKERS[packer](b"a,b\n" + bytes(range(256)) * 40)
    with pytest.raises(BadInput, match=r"a is not a whole (gzip|zstd|bzip2|xz|zip) file"):
        list(unpacked([packed[: len(packed) // 2]], name="a"))


def test_damage_is_found() -> None:
    packed = bytearray(gzip.compress(b"a,b\n" * 1000, mtime=0))
    packed[-6] ^= 1
    with pytest.raises(BadInput, match="not a whole gzip file"):
        list(unpacked([bytes(packed)], name="a"))


@pytest.mark.parametrize("packer", ["gz", "zst", "bz2", "xz", "zip"])
def test_a_bomb_is_refused_long_before_it_is_unpacked(packer: str) -> None:
    packed = PACKERS[packer](bytes(20_000_000))
    sizes: list[int] = []
    with pytest.raises(BadInput, match="unpacks to more than 200 times its size"):
        sizes.extend(map(len, unpacked(cut(packed, 1000), name="a.csv", free_bytes=1_000_000)))
    assert sum(sizes) < 20_000_000


def test_a_bomb_of_many_layers_of_gzip_is_refused_too() -> None:
    deflated = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([*(deflated.compress(b"1\n" * 1_000_000) for _ in range(30)), deflated.flush()])
    assert len(bomb) < 1_000_000
    with pytest.raises(BadInput, match="made to fill a disk"):
        for _ in unpacked([bomb], name="a.csv.gz", free_bytes=50_000_000):
            pass


@pytest.mark.parametrize("packer", sorted(PACKERS))
@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl", "arrow"])
def test_every_format_may_be_packed(place: Place, packer: str, suffix: str) -> None:
    table = pl.DataFrame({"n": [1, 2], "t": ["a", None]})
    path = place.project / f"a.{suffix}"
    {"csv": table.write_csv, "parquet": table.write_parquet, "jsonl": table.write_ndjson, "arrow": table.write_ipc}[suffix](path)
    packed = path.with_name(f"a.{suffix}.{packer}")
    packed.write_bytes(PACKERS[packer](path.read_bytes()))
    extract = Files(packed.name).read(place)
    assert collect(extract).equals(table)
    assert extract.origins[0]["rows"] == 2


def test_a_zip_file_holds_one_table(place: Place) -> None:
    (place.project / "two.csv.zip").write_bytes(zipped(b"a\n1\n", "a.csv", "../../b.csv"))
    with pytest.raises(BadInput, match=r"two.csv.zip holds 2 files \('a.csv', '../../b.csv'\)"):
        collect(Files("two.csv.zip").read(place))
    (place.project / "mac.csv.zip").write_bytes(zipped(b"a\n1\n", "../evil.csv", "__MACOSX/._a.csv"))
    assert collect(Files("mac.csv.zip").read(place)).rows() == [(1,)]
    assert not Path(place.project.parent / "evil.csv").exists()
