"""Sessions of a file a probe, read as one; and sessions that lie there in two forms, read once."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

import numpy as np
import pytest
from nwbfile import add_electrodes, add_units, column
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.ecephys import ElectricalSeries
from pynwb.file import Subject
from upath import UPath

import neuropile
from neuropile.errors import NeuropileError, UnreadableFile
from neuropile.readers import joined, nwb, upstream
from neuropile.readers.told import preferred
from neuropile.types import ALL_UNITS

START = datetime(2020, 2, 3, tzinfo=UTC)
FIRST, SECOND = [[0.5, 12.0], [3.0]], [[2.0, 7.5], [], [4.0]]


def file_of(folder, name, trains, subject="m1", **extra):
    """An NWB file with these trains; `voltage` gives the seconds of raw voltage, `trials` their starts."""
    made = NWBFile("a test", name, START)
    made.subject = Subject(subject_id=subject, species="Mus musculus")
    add_units(made, trains)
    if "voltage" in extra:
        add_electrodes(made, ["PL", "ILA"])
        region = made.create_electrode_table_region([0, 1], "both")
        made.add_acquisition(ElectricalSeries(name="raw", data=np.zeros((extra["voltage"] * 10, 2)), electrodes=region, starting_time=0.0, rate=10.0))
    for start in extra.get("trials", ()):
        made.add_trial(start_time=start, stop_time=start + 1.0)
    made.add_acquisition(TimeSeries(name="wheel", data=np.arange(extra.get("samples", 50.0)), unit="rad", starting_time=0.0, rate=10.0))
    folder.mkdir(parents=True, exist_ok=True)
    with NWBHDF5IO(str(folder / name), "w") as io:
        io.write(made, cache_spec=False)
    return folder / name


@pytest.fixture
def two(tmp_path):
    """A folder with the two probes of one session."""
    folder = tmp_path / "sub-m1_ses-1"
    file_of(folder / "sub-m1", "sub-m1_ses-1-probe0_behavior+ecephys.nwb", FIRST, voltage=13, trials=(1.0, 5.0))
    file_of(folder / "sub-m1", "sub-m1_ses-1-probe1_behavior+ecephys.nwb", SECOND, voltage=8, trials=(1.0, 5.0))
    return folder


READER = joined.probes(nwb.units())


def test_every_unit_is_there_with_its_probe_and_its_times(two):
    with READER(two) as recording:
        assert column(recording, "unit_id") == ["probe0:0", "probe0:1", "probe1:0", "probe1:1", "probe1:2"]
        assert column(recording, "probe") == ["probe0"] * 2 + ["probe1"] * 3
        assert [recording.trains.read(u).tolist() for u in range(5)] == [*FIRST, *SECOND]
        assert recording.session_id == "sub-m1_ses-1"


def test_each_probe_is_observed_for_as_long_as_it_was_recorded(two):
    with READER(two) as recording:
        spans = recording.observed
        each = {u: (a, b) for u, a, b in zip(spans.unit.tolist(), spans.start_s.tolist(), spans.stop_s.tolist(), strict=True)}
    assert each == {0: (0.0, 13.0), 1: (0.0, 13.0), 2: (0.0, 8.0), 3: (0.0, 8.0), 4: (0.0, 8.0)}


def test_probes_recorded_for_the_same_time_share_their_spans(tmp_path):
    for i in range(2):
        file_of(tmp_path / "s", f"x-probe{i}.nwb", FIRST, voltage=13)
    with READER(tmp_path / "s") as recording:
        assert recording.observed.unit.tolist() == [ALL_UNITS]


def test_without_other_evidence_a_probe_is_observed_from_its_first_spike_to_its_last(tmp_path):
    for i, trains in enumerate((FIRST, SECOND)):
        file_of(tmp_path / "s", f"x-probe{i}.nwb", trains)
    store = neuropile.create_store(tmp_path / "store")
    (outcome,) = neuropile.ingest([tmp_path / "s"], store, lambda _: READER)
    session = store[outcome.session]
    assert [session.observed.of(u).tolist() for u in (0, 1, 2, 3)] == [[[50_000, 1_200_001]]] * 2 + [[[200_000, 750_001]]] * 2
    assert session.record["span_source"] == "first to last spike of each probe"


def test_what_the_files_repeat_is_kept_once_and_what_differs_under_the_probes_name(tmp_path):
    file_of(tmp_path / "s", "x-probe0.nwb", FIRST, trials=(1.0, 5.0))
    file_of(tmp_path / "s", "x-probe1.nwb", SECOND, trials=(1.0, 6.0), samples=80.0)
    file_of(tmp_path / "s", "x-probe2.nwb", SECOND, trials=(1.0, 5.0))
    with READER(tmp_path / "s") as recording:
        assert {n: t.column("start_s").to_pylist() for n, t in recording.intervals.items()} == {"trials": [1.0, 5.0], "trials_probe1": [1.0, 6.0]}
        assert {n: s.data.shape for n, s in recording.signals.items()} == {"wheel": (50,), "wheel_probe1": (80,)}


def test_one_file_is_a_session_of_one_probe_named_without_it(two):
    file = two / "sub-m1" / "sub-m1_ses-1-probe1_behavior+ecephys.nwb"
    with READER(file) as recording:
        assert column(recording, "probe") == ["probe1"] * 3
        assert recording.session_id == "sub-m1_ses-1_behavior+ecephys"


def test_names_that_tell_no_probe_are_numbered(tmp_path):
    for name in ("a.nwb", "b.nwb"):
        file_of(tmp_path / "s", name, [[1.0]])
    with READER(tmp_path / "s") as recording:
        assert column(recording, "unit_id") == ["probe0:0", "probe1:0"]


def test_a_folder_far_away_reads_the_same(two):
    there = UPath("memory://joined/session")
    for file in two.rglob("*.nwb"):
        (there / "sub-m1" / file.name).parent.mkdir(parents=True, exist_ok=True)
        (there / "sub-m1" / file.name).write_bytes(file.read_bytes())
    with READER(two) as here, READER(there) as far:
        assert here.units.equals(far.units)
        assert [here.trains.read(u).tolist() for u in range(5)] == [far.trains.read(u).tolist() for u in range(5)]


def test_a_probe_that_cannot_be_read_fails_the_session_unless_it_is_to_be_left_out(two):
    bad = two / "sub-m1" / "sub-m1_ses-1-probe1_behavior+ecephys.nwb"
    bad.write_bytes(bad.read_bytes()[:1000])
    with pytest.raises(UnreadableFile, match="probe1"):
        READER(two)
    with joined.probes(nwb.units(), skip=True)(two) as recording:
        assert column(recording, "probe") == ["probe0"] * 2
        assert any("left out, as in the published scripts" in n and "probe1" in n for n in recording.notes)
    for file in two.rglob("*.nwb"):
        file.write_bytes(b"")
    with pytest.raises(NeuropileError, match="none of 2 files could be read"):
        joined.probes(nwb.units(), skip=True)(two)


def test_files_of_two_subjects_are_no_session(tmp_path):
    file_of(tmp_path / "s", "x-probe0.nwb", FIRST, subject="m1")
    file_of(tmp_path / "s", "x-probe1.nwb", SECOND, subject="m2")
    with pytest.raises(UnreadableFile, match="of 2 subjects: m1, m2"):
        READER(tmp_path / "s")


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir()])
def test_nothing_there_is_told(tmp_path, make):
    make(tmp_path / "gone")
    with pytest.raises(UnreadableFile, match=r"no such file or folder|an empty folder"):
        READER(tmp_path / "gone")


def test_upstreams_subject_is_the_folder_that_holds_the_files(two):
    with upstream.counts(READER)(two) as recording:
        assert recording.subject.subject_id == "sub-m1"
        assert recording.observed.stop_s.tolist() == [(len(np.arange(0, 12.0 + 0.02, 0.02)) - 1) / 50]


class TestPreferred:
    READER = preferred.first(nwb.units(), "*_desc-processed_*", "*-processed-only_*")

    @pytest.fixture
    def forms(self, tmp_path):
        file_of(tmp_path / "old", "sub-m1_ses-1-processed-only_behavior.nwb", FIRST)
        file_of(tmp_path / "new", "sub-m1_ses-1_desc-processed_behavior+ecephys.nwb", SECOND)
        shutil.copytree(tmp_path / "old", tmp_path / "both" / "sub-m1")
        shutil.copytree(tmp_path / "new", tmp_path / "both" / "sub-m1", dirs_exist_ok=True)
        return tmp_path

    @pytest.mark.parametrize(("folder", "trains"), [("old", FIRST), ("new", SECOND), ("both", SECOND)])
    def test_the_best_form_that_is_there_is_read(self, forms, folder, trains):
        with self.READER(forms / folder) as recording:
            assert [recording.trains.read(u).tolist() for u in range(recording.trains.n_units)] == trains
            assert any("not from sub-m1_ses-1-processed-only" in n for n in recording.notes) == (folder == "both")

    def test_two_files_of_one_form_are_refused(self, forms):
        shutil.copy(forms / "new" / "sub-m1_ses-1_desc-processed_behavior+ecephys.nwb", forms / "new" / "sub-m1_ses-2_desc-processed_x.nwb")
        with pytest.raises(UnreadableFile, match="sought one file of"):
            self.READER(forms / "new")
