"""An ALF session somewhere below the folder that is given, as archives keep it."""

from __future__ import annotations

import alffolder
import pytest
from alffolder import assert_trains

from neuropile.errors import UnreadableFile
from neuropile.readers.alf import below as alf_below
from neuropile.readers.alf import files as alf_files


@pytest.mark.parametrize("up", [0, 1, 5])
def test_the_session_is_found_however_far_below(tmp_path, up):
    session = alffolder.session(tmp_path)
    folder = [session, *session.parents][up]
    reader = alf_below.session()
    assert reader.session_name(folder) == "KS023_2019-12-10_001"
    assert reader.files(folder) == alf_files.find(session, None, None).files()
    assert_trains(reader(folder), *alffolder.trains(0, 6), list(range(6)))


def test_sorter_and_revision_are_those_asked_for(tmp_path):
    alffolder.session(tmp_path, sorter="iblsorter")
    session = alffolder.session(tmp_path, sorter="pykilosort/#2024-05-06#")
    alffolder.probe(session / "alf" / "probe00" / "pykilosort" / "#2025-01-01#", seed=7)
    reader = alf_below.session(revision="2024-12-31", sorter="pykilosort")
    assert {p.parent.name for p in reader.files(tmp_path) if p.name.startswith("spikes.")} == {"#2024-05-06#"}
    assert_trains(reader(tmp_path), *alffolder.trains(0, 6), list(range(6)))


def test_no_session_or_two_are_told(tmp_path):
    with pytest.raises(UnreadableFile, match=r"sought one session, a folder subject/date/number, found none"):
        alf_below.session()(tmp_path)
    for name in ("a/Subjects/KS023/2019-12-10/001", "b/Subjects/ZM_1743/2019-06-14/002"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(UnreadableFile, match=r"found KS023/2019-12-10/001, ZM_1743/2019-06-14/002"):
        alf_below.session()(tmp_path)
