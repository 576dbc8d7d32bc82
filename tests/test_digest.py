import numpy as np
import pyarrow as pa
import pytest

from neuropile.digest import ContentDigest

TABLE = pa.table({"f": [1.5, None], "n": [1, 2], "s": ["x", None], "b": [True, False], "l": [["p"], []], "none": pa.nulls(2)})


def digest_of(**tables: pa.Table) -> str:
    digest = ContentDigest()
    for name, table in tables.items():
        digest.table(name, table)
    return digest.hex()


def test_the_digest_is_over_values_and_not_over_chunks():
    assert digest_of(t=TABLE) == digest_of(t=pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)]))


def test_the_digest_of_an_array_does_not_depend_on_byte_order_or_chunks():
    values = np.arange(10, dtype=np.int64)
    digests = set()
    for chunks in ([values], [values[:3], values[3:]], [values.astype(">i8")], [np.arange(20)[::2] // 2]):
        digest = ContentDigest()
        digest.array("x", chunks, "int64", (10,))
        digests.add(digest.hex())
    assert len(digests) == 1


@pytest.mark.parametrize(
    "other",
    [
        TABLE.rename_columns(["g", *TABLE.column_names[1:]]),
        TABLE.set_column(0, "f", pa.array([1.5, 0.0])),
        TABLE.set_column(0, "f", pa.array([1.5, None], pa.float32())),
        TABLE.set_column(2, "s", pa.array(["x", "None"])),
        TABLE.set_column(4, "l", pa.array([["p"], None])),
        TABLE.slice(0, 1),
        TABLE.take([1, 0]),
    ],
)
def test_the_digest_tells_tables_apart(other):
    assert digest_of(t=TABLE) != digest_of(t=other)


def test_the_digest_tells_where_one_text_ends():
    assert digest_of(t=pa.table({"s": ["ab", "c"]})) != digest_of(t=pa.table({"s": ["a", "bc"]}))


def test_the_digest_is_the_same_in_every_version():
    """A change here makes every stored session look changed: raise the format version with it."""
    assert digest_of(t=TABLE) == "sha256:f350bfba04e4b773f69b02a85fab7c2f9faad5596a2c9a7265485637e2ed768a"
