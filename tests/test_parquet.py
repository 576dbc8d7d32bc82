import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neuropile import parquet
from neuropile.errors import StoreError
from neuropile.layout import spikes_writer

TABLE = pa.table(
    {
        "f": pa.array([0.1, None, -3.5e8, float("nan")]),
        "s": pa.array(["VISp", None, "", "Ünit"]),
        "n": pa.array([1, 2, None, 2**40]),
        "l": pa.array([["a", None], [], None, ["b"]]),
        "b": pa.array([True, None, False, True]),
    }
)


@pytest.fixture
def spikes(tmp_path):
    """A small spikes.parquet of three row groups, and its rows."""
    rng = np.random.default_rng(0)
    unit = np.sort(rng.integers(0, 4, 150)).astype(np.int32)
    tick = np.concatenate([np.sort(rng.integers(0, 60_000_000, (unit == u).sum())) for u in range(4)]).astype(np.int32)
    with spikes_writer(tmp_path / "spikes.parquet", pa.int32()) as writer:
        for i in range(0, 150, 50):
            writer.write_table(pa.table([unit[i : i + 50], tick[i : i + 50]], schema=writer.schema))
    return tmp_path / "spikes.parquet", pa.table([unit, tick], names=["unit", "tick"])


def damaged_reads(path, expected):
    """Reads of the file with each bit flipped in turn, the closing magic included: how many were told, and which read wrongly."""
    data = path.read_bytes()
    told, wrong = 0, []
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            try:
                if not parquet.parse(bytes(changed), path).equals(expected):
                    wrong.append((place, bit))
            except (StoreError, *parquet.ERRORS):
                told += 1
    return told, wrong


def test_a_flipped_bit_anywhere_in_a_spike_file_is_told_or_harmless(spikes):
    path, expected = spikes
    told, wrong = damaged_reads(path, pq.read_table(path))
    assert pq.read_table(path).to_pydict() == expected.to_pydict()
    assert not wrong
    assert told > 0.9 * 8 * path.stat().st_size


def test_a_flipped_bit_anywhere_in_a_table_is_told_or_harmless(tmp_path):
    table = TABLE.slice(0, 3)
    parquet.write(table, tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet").to_pydict() == table.to_pydict()
    told, wrong = damaged_reads(tmp_path / "t.parquet", pq.read_table(tmp_path / "t.parquet"))
    assert not wrong
    assert told


def test_any_parquet_reader_reads_what_is_written(tmp_path):
    parquet.write(TABLE, tmp_path / "t.parquet", metadata={"made": "here"})
    assert str(pq.read_table(tmp_path / "t.parquet").to_pydict()) == str(TABLE.to_pydict())
    assert pq.read_metadata(tmp_path / "t.parquet").metadata[b"made"] == b"here"
    assert str(parquet.read(tmp_path / "t.parquet", ["n", "l"]).to_pydict()) == str(TABLE.select(["n", "l"]).to_pydict())


def test_a_table_that_was_read_is_written_as_the_same_bytes(tmp_path):
    parquet.write(TABLE, tmp_path / "a.parquet")
    parquet.write(parquet.read(tmp_path / "a.parquet"), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_file_of_other_software_is_not_taken_for_ours(tmp_path):
    pq.write_table(TABLE, tmp_path / "t.parquet")
    with pytest.raises(StoreError, match="was written by other software, or is damaged: its footer carries no digest"):
        parquet.read(tmp_path / "t.parquet")


def test_a_file_that_is_not_the_one_spoken_of_is_told(tmp_path):
    for name, table in (("a", TABLE), ("b", TABLE.slice(1))):
        parquet.write(table, tmp_path / name)
    spoken_of = parquet.facts(tmp_path / "a")["sha256"]
    assert parquet.read(tmp_path / "a", digest=spoken_of).num_rows == 4
    with pytest.raises(StoreError, match="b is not the file its marker speaks of: it was replaced, or belongs elsewhere"):
        parquet.read(tmp_path / "b", digest=spoken_of)


def test_a_table_that_announces_more_rows_than_its_bytes_can_hold_is_refused_unread(tmp_path):
    parquet.write(pa.table({"x": pa.nulls(20_000_000, pa.int8())}), tmp_path / "t.parquet")
    with pytest.raises(StoreError, match=r"announces 20000000 rows in [0-9]+ bytes: it is damaged, or a trap"):
        parquet.read(tmp_path / "t.parquet")


def test_the_digest_is_what_its_definition_says(tmp_path):
    import hashlib

    parquet.write(TABLE, tmp_path / "t.parquet")
    data = (tmp_path / "t.parquet").read_bytes()
    footer = data[-parquet.facts(tmp_path / "t.parquet")["footer_bytes"] :]
    said = pq.read_metadata(tmp_path / "t.parquet").metadata[b"neuropile.sha256"]
    assert footer.count(said) == 1
    assert hashlib.sha256(footer.replace(said, b"0" * 64)).hexdigest().encode() == said


@pytest.mark.parametrize("data", [b"", b"PAR1", b"x" * 100, b"\xff\xff\xff\xffPAR1"])
def test_what_is_no_parquet_is_told(tmp_path, data):
    (tmp_path / "t.parquet").write_bytes(data)
    with pytest.raises((StoreError, *parquet.ERRORS)):
        parquet.read(tmp_path / "t.parquet")
    with pytest.raises((StoreError, *parquet.ERRORS)):
        parquet.parse(data, "t")
