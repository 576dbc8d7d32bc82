"""A column of a dataset's own as quality."""

from collections.abc import Callable
from pathlib import Path

import pytest
from nwbfile import add_units, column

from neuropile.errors import UnreadableFile
from neuropile.readers import nwb as nwb_reader
from neuropile.readers.told import judged

Write = Callable[..., Path]


@pytest.mark.parametrize("values", [[1, 0, 1, 7], [1.0, 0.0, 1.0, float("nan")], [True, False, True, True], ["1", "0", " 1", "?"]])
def test_a_column_s_words_and_numbers_become_quality(nwb, write: Write, values):
    reader = judged.units(nwb_reader.units(), "is_sua", {"1": "good", "0": "mua"})
    with reader(write(add_units(nwb, is_sua=values))) as recording:
        assert column(recording, "quality")[:3] == ["good", "mua", "good"]
        assert column(recording, "quality")[3] == ("good" if values[3] is True else None)
        assert set(column(recording, "quality_rule")) == {"the file's column 'is_sua': 1 is good, 0 is mua"}


def test_a_missing_column_names_those_there_are(nwb, write: Write):
    reader = judged.units(nwb_reader.units(), "is_sua", {"1": "good"})
    with pytest.raises(UnreadableFile, match="no unit column 'is_sua' to judge by; there are depth"):
        reader(write(add_units(nwb, depth=[1.0, 2.0, 3.0, 4.0])))


def test_it_is_a_value_that_prints_compares_and_hashes():
    a, b = (judged.units(nwb_reader.units(), "is_sua", {"1": "good"}) for _ in range(2))
    assert (a, hash(a)) == (b, hash(b))
    assert "is_sua" in repr(a)
