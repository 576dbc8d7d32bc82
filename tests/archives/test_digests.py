"""Digests, against values of other people's software and the definitions in plain hashlib."""

from __future__ import annotations

import hashlib
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile.archives import digests
from neuropile.errors import ArchiveError
from neuropile.types import Asset


def checked(digest: str, data: bytes, chunk: int = 7, sha256: str | None = None) -> str:
    parts = [data[i : i + chunk] for i in range(0, len(data), chunk)]
    return digests.check(Asset("a", len(data), sha256, digest=digest), parts, len(data))


#: Of b"hello", by coreutils, git, and DANDI's own software.
HELLO = {
    "md5": "5d41402abc4b2a76b9719d911017c592",
    "sha1": "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
    "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    "git-sha1": "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0",
    "dandi-etag": "62109206880d38a4010a98e11243924a-1",
    "crc32": "3610a686",
}


@pytest.mark.parametrize("algorithm", HELLO)
def test_hello_has_the_digest_others_give_it(algorithm: str) -> None:
    assert checked(f"{algorithm}:{HELLO[algorithm]}", b"hello") == algorithm
    with pytest.raises(digests.WrongBytes, match=rf"its {algorithm} is {HELLO[algorithm]}, \w+(-1)? was announced"):
        checked(f"{algorithm}:{'0' * len(HELLO[algorithm])}", b"hello")


@pytest.mark.parametrize("tool", ["sha1sum", "sha256sum", "sha384sum", "sha512sum", "b2sum", "md5sum"])
def test_plain_hashes_are_those_of_the_system(tool: str) -> None:
    said = subprocess.run([tool], input=b"spikes", capture_output=True, check=True).stdout.decode().split()[0]
    algorithm = {"b2sum": "blake2b"}.get(tool, tool.removesuffix("sum"))
    assert checked(f"{algorithm.upper()}:{said.upper()}", b"spikes") == algorithm


@pytest.mark.parametrize(
    ("data", "etag"),
    [
        (b"123", "d022646351048ac0ba397d12dfafa304-1"),
        (b"\0", "7e4696ef25d5faececd853ce5e2a233b-1"),
        (bytes(64 << 20), "a78211a9709e5a28de9e2fd6eda275f2-1"),
        (bytes((64 << 20) + 1), "d4b4f6056a5f5a23cda477d1895a2bbd-2"),
    ],
)
def test_dandi_etags_of_known_files(data: bytes, etag: str) -> None:
    assert checked(f"dandi-etag:{etag}", data, 1 << 20) == "dandi-etag"


def test_dandi_parts_grow_where_ten_thousand_would_not_do() -> None:
    assert digests.dandi_part(5 << 40) == 549755814
    assert digests.dandi_part((64 << 20) * 9_999) == 64 << 20


def test_the_strongest_digest_decides() -> None:
    assert checked("md5:" + "0" * 32, b"hello", sha256=HELLO["sha256"]) == "sha256"
    assert checked("sha512:" + hashlib.sha512(b"hello").hexdigest(), b"hello", sha256="0" * 64) == "sha512"
    assert checked("xet:123", b"hello") == "size"


@pytest.mark.parametrize("written", ["SHA-256", "sha2-256", "Sha256"])
def test_algorithms_are_known_by_all_their_names(written: str) -> None:
    assert checked(f'{written}:"{HELLO["sha256"].upper()}"', b"hello") == "sha256"


@given(st.binary(max_size=300), st.integers(1, 40), st.integers(1, 50))
def test_an_etag_of_parts_is_the_md5_of_the_parts_md5s(data: bytes, part: int, chunk: int) -> None:
    hashed = digests._Parts(part)
    for i in range(0, len(data), chunk):
        hashed.update(data[i : i + chunk])
    parts = [data[i : i + part] for i in range(0, len(data), part)] or [b""]
    said = hashlib.md5(b"".join(hashlib.md5(p).digest() for p in parts)).hexdigest()
    assert hashed.hexdigest() == f"{said}-{len(parts)}"


def test_an_s3_etag_of_unknown_parts_proves_nothing_and_one_of_one_part_does() -> None:
    data = bytes(range(256)) * (40 << 10)  # 10 MiB
    parts = [data[: 8 << 20], data[8 << 20 :]]
    etag = hashlib.md5(b"".join(hashlib.md5(p).digest() for p in parts)).hexdigest() + "-2"
    assert checked(f"s3-etag:{etag}", data, 1 << 20) == "s3-etag"
    assert checked("s3-etag:" + "0" * 32 + "-2", data, 1 << 20) == "size"
    with pytest.raises(digests.WrongBytes):
        checked("s3-etag:" + "0" * 32, data, 1 << 20)


def test_zarr_checksums_are_those_of_dandi() -> None:
    files = [(".zgroup", hashlib.md5(b"{}").hexdigest(), 2), ("a/0", hashlib.md5(b"hello").hexdigest(), 5)]
    assert digests.zarr_checksum(files) == "325f3aed93ae57395d13db97f52e8d70-2--7"
    assert digests.zarr_checksum(files[::-1]) == digests.zarr_checksum(files)
    for clash in ([("a", "", 1), ("a/b", "", 1)], [("a/b", "", 1), ("a", "", 1)]):
        with pytest.raises(ArchiveError, match="as well"):
            digests.zarr_checksum(clash)
