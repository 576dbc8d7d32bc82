"""Parquet files that notice a flipped byte: every page has a checksum, and the footer carries its own SHA-256.

Both are plain Parquet (a CRC-32 in each page header, a key-value pair in the footer): any tool reads the files, and
`pyarrow.parquet.ParquetFile(..., page_checksum_verification=True)` checks the pages as we do. Without checksums more than
nine in ten flipped bits of a data page are read as other values without a word; with them none is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from neuropile import remote
from neuropile.errors import StoreError

#: The footer's own digest: SHA-256 over the footer, its length and the closing magic, with the digest's 64 digits read as zeros.
DIGEST_KEY = "neuropile.sha256"
_NO_DIGEST = "0" * 64
#: What pyarrow and the file system raise from the depths of a damaged file.
ERRORS = (OSError, pa.ArrowException, ValueError, KeyError)
_TAIL = 8
#: A table of more rows than this must have a byte for every few of them.
_MANY_ROWS = 1_000_000
_MAX_ROWS_PER_BYTE = 4


@contextmanager
def writing(path: Path, schema: pa.Schema, *, metadata: Mapping[str, str] = {}, **options: Any) -> Iterator[pq.ParquetWriter]:
    """A writer whose file has page checksums and, once the block ends well, a sealed footer; `options` are pyarrow's."""
    with pq.ParquetWriter(path, schema.remove_metadata(), store_schema=False, write_page_checksum=True, **options) as writer:
        yield writer
        writer.add_key_value_metadata({**metadata, DIGEST_KEY: _NO_DIGEST})
    seal(path)


def write(table: pa.Table, path: Path, *, compression_level: int = 3, metadata: Mapping[str, str] = {}) -> None:
    """A table as one row group: floats split by byte, everything else dictionary-coded where it helps."""
    floats = [f.name for f in table.schema if pa.types.is_floating(f.type)]
    others = [f.name for f in table.schema if f.name not in floats]
    options = {"use_dictionary": others or False, "use_byte_stream_split": floats or False}
    with writing(path, table.schema, metadata=metadata, compression="zstd", compression_level=compression_level, **options) as writer:
        writer.write_table(table.replace_schema_metadata(None), row_group_size=max(table.num_rows, 1))


def seal(path: Path) -> None:
    """Put the digest of a finished file's footer into its place there."""
    with open(path, "r+b") as f:
        size = f.seek(0, os.SEEK_END)
        f.seek(size - _TAIL)
        n = int.from_bytes(f.read(4), "little") + _TAIL
        f.seek(size - n)
        footer = f.read(n)
        at = _digest_at(footer)
        if at is None:
            raise StoreError(f"{path} has no place for a digest in its footer")
        blank = footer[:at] + _NO_DIGEST.encode() + footer[at + 64 :]
        f.seek(size - n + at)
        f.write(hashlib.sha256(blank).hexdigest().encode())


def _digest_at(footer: bytes) -> int | None:
    """Where the digits of the digest begin: after the key, in Thrift's compact form a field header and the length 64."""
    mark = DIGEST_KEY.encode() + b"\x18\x40"
    at = footer.rfind(mark)
    return None if at < 0 else at + len(mark)


def footer(data: bytes, where: object, digest: str | None = None) -> pq.FileMetaData:
    """The metadata in a file's last bytes, once its digest is right.

    digest : what it must be, where a marker says so: another file of ours has another

    Raises
    ------
    StoreError : the digest is missing or wrong
    """
    at = _digest_at(data)
    if at is None:
        raise StoreError(f"{where} was written by other software, or is damaged: its footer carries no digest")
    own = data[at : at + 64].decode("ascii", "replace")
    if hashlib.sha256(data[:at] + _NO_DIGEST.encode() + data[at + 64 :]).hexdigest() != own:
        raise StoreError(f"{where} is damaged: its footer is not the one that was written")
    if digest is not None and own != digest:
        raise StoreError(f"{where} is not the file its marker speaks of: it was replaced, or belongs elsewhere; open the session anew, or restore it")
    return pq.read_metadata(pa.BufferReader(data))


def tail_length(tail: bytes, size: int) -> int:
    """How long the footer of a file of `size` bytes is, closing bytes included, by its last bytes; OSError where it cannot be."""
    length = int.from_bytes(tail[-_TAIL:-4], "little") + _TAIL
    if tail[-4:] != b"PAR1" or length > size:
        raise OSError("it does not end as a Parquet file does")
    return length


def opened(path: Path, digest: str | None = None) -> pq.ParquetFile:
    """A local file, its footer checked now (see `footer`) and its pages when they are read.

    Not mapped into memory: of a long job's files all that was ever touched would stay there.
    """
    source = pa.OSFile(str(path))  # opened once: another file may take its name at any time
    size = source.size()
    source.seek(max(size - _TAIL, 0))
    length = tail_length(source.read(_TAIL), size)
    source.seek(size - length)
    return pq.ParquetFile(source, metadata=footer(source.read(length), path, digest), page_checksum_verification=True)


def facts(path: Path) -> dict[str, Any]:
    """A file's size, the length of its footer, which a remote reader needs, and the footer's digest, which ties it to its marker."""
    size = path.stat().st_size
    with open(path, "rb") as f:
        f.seek(size - _TAIL)
        length = tail_length(f.read(_TAIL), size)
        f.seek(size - length)
        data = f.read(length)
    at = _digest_at(data) or 0
    return {"bytes": size, "footer_bytes": length, "sha256": data[at : at + 64].decode()}


def read(path: Any, columns: Sequence[str] | None = None, *, digest: str | None = None) -> pa.Table:
    """A whole file, in one request where it is remote, as a table; `digest` as in `footer`.

    Raises
    ------
    StoreError : it is damaged, and noticed by us
    OSError, ArrowException : by the file system or pyarrow; see ERRORS
    """
    if isinstance(path, Path):
        with opened(path, digest) as file:
            _check_rows(file.metadata, path.stat().st_size, path)
            return file.read(columns=columns)
    return parse(remote.read_bytes(path), path, columns, digest=digest)


def _check_rows(meta: pq.FileMetaData, size: int, where: object) -> None:
    """Refuse a table that announces far more rows than its bytes can hold: a trap."""
    if meta.num_rows > _MANY_ROWS + _MAX_ROWS_PER_BYTE * size:
        raise StoreError(f"{where} announces {meta.num_rows} rows in {size} bytes: it is damaged, or a trap; restore it from a copy")


def parse(data: bytes, where: object, columns: Sequence[str] | None = None, *, digest: str | None = None) -> pa.Table:
    """As `read`, of a file that is in memory."""
    meta = footer(data[-tail_length(data, len(data)) :], where, digest)
    _check_rows(meta, len(data), where)
    return pq.ParquetFile(pa.BufferReader(data), metadata=meta, page_checksum_verification=True).read(columns=columns)
