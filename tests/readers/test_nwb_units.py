"""Columns of the units of NWB files, and where and when they were observed, compared with what pynwb reads."""

from __future__ import annotations

import numpy as np
import pytest
from nwbfile import add_electrodes, add_units, column

from neuropile.errors import UnreadableFile
from neuropile.readers import nwb as nwb_reader
from neuropile.readers.nwb import terms as nwb_terms

pytestmark = pytest.mark.filterwarnings("ignore:Shape of data does not match shape in spec")  # pynwb of empty lists


class TestColumns:
    def test_columns_of_every_kind_equal_pynwbs_table(self, nwb, write, read, oracle):
        columns = {
            "snr": [1.5, np.nan, 2.0, -1.0],
            "cluster": [5, 6, 7, 2**40],
            "label": ["a", "", "ünï", "d e"],
            "is_kept": [True, False, True, True],
            "peaks": [[1.0, 2.0], [], [3.0], [4.0, 5.0, 6.0]],
            "tags_of": [["x", "y"], ["z"], [], ["w"]],
        }
        path = write(add_units(nwb, **columns))
        recording, table = read(path), oracle(path).units.to_dataframe()
        for name in columns:
            ours, theirs = column(recording, f"src_{name}"), [np.asarray(v).tolist() for v in table[name]]
            np.testing.assert_equal(ours, theirs)
        kinds = {name: str(recording.units.schema.field(f"src_{name}").type) for name in columns}
        assert kinds == {
            "snr": "double",
            "cluster": "int64",
            "label": "string",
            "is_kept": "bool",
            "peaks": "list<item: double>",
            "tags_of": "list<item: string>",
        }

    def test_narrow_arrays_are_lists_and_wide_ones_are_left_out_by_name(self, nwb, write, read):
        nwb.add_unit_column("place", "xyz")
        nwb.add_unit_column("template", "wide")
        for i in range(3):
            nwb.add_unit(spike_times=[1.0], place=np.arange(3.0) + i, template=np.zeros(100))
        recording = read(write(nwb))
        assert column(recording, "src_place") == [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]
        assert "src_template" not in recording.units.column_names
        assert "left out of the units, not scalars: template" in recording.notes

    def test_lists_of_lists_are_left_out_by_name(self, nwb, write, read):
        nwb.add_unit_column("bursts", "lists of lists", index=2)
        nwb.add_unit(spike_times=[1.0], bursts=[[1.0, 2.0], [3.0]])
        nwb.add_unit(spike_times=[2.0], bursts=[[4.0]])
        recording = read(write(nwb))
        assert "left out of the units, not scalars: bursts" in recording.notes
        assert recording.trains.read(1).tolist() == [2.0]

    def test_long_lists_are_left_out_by_name(self, nwb, write, read):
        path = write(add_units(nwb, [[1.0], [2.0]], amplitudes=[list(np.ones(300)), [1.0]]))
        assert "left out of the units, not scalars: amplitudes" in read(path).notes

    def test_unit_ids_are_the_files(self, nwb, write, read):
        assert column(read(write(add_units(nwb, id=[11, 42, 7, 900_000_000]))), "unit_id") == ["11", "42", "7", "900000000"]

    def test_ids_that_stand_twice_are_qualified_by_probe_where_that_parts_them(self, nwb, write, read):
        recording = read(write(add_units(nwb, id=[1, 2, 1, 2], probe=["A", "A", "B", "B"])))
        assert column(recording, "unit_id") == ["A:1", "A:2", "B:1", "B:2"]
        assert "2 unit ids stood twice; all ids are qualified by probe" in recording.notes

    def test_ids_that_stand_twice_on_one_probe_are_qualified_by_row(self, nwb, write, read):
        recording = read(write(add_units(nwb, id=[1, 2, 1, 1])))
        assert column(recording, "unit_id") == ["1:0", "2:1", "1:2", "1:3"]
        assert "2 unit ids stood twice; all ids are qualified by row" in recording.notes


class TestRegions:
    def test_the_area_is_where_most_of_a_units_electrodes_lie(self, nwb, write, read):
        add_electrodes(nwb, ["CA1", "VISp", "VISp", "unknown", "CA1"])
        path = write(add_units(nwb, electrodes=[[0, 1, 2], [0], [3, 3, 4], [0, 1]]))
        recording = read(path)
        assert column(recording, "region") == ["VISp", "CA1", "CA1", "CA1"]
        assert column(recording, "src_electrode_location") == [["CA1", "VISp", "VISp"], ["CA1"], ["unknown", "unknown", "CA1"], ["CA1", "VISp"]]

    def test_electrodes_that_name_no_area_leave_it_open(self, nwb, write, read):
        add_electrodes(nwb, ["unknown", "n/a"])
        recording = read(write(add_units(nwb, [[1.0], [2.0]], electrodes=[[0, 1], [1]])))
        assert "region" not in recording.units.column_names

    @pytest.mark.parametrize("name", ["region", "brain_area", "location"])
    def test_a_units_own_area_goes_before_its_electrodes(self, nwb, write, read, name):
        add_electrodes(nwb, ["CA1", "VISp"])
        path = write(add_units(nwb, electrodes=[[0], [1], [0], [1]], **{name: ["PMd", "M1", "unknown", "brain_region: M1; layer: 5"]}))
        assert column(read(path), "region") == ["PMd", "M1", None, "M1"]

    def test_a_units_own_column_that_names_no_area_gives_way_to_the_next(self, nwb, write, read):
        add_electrodes(nwb, ["CA1"])
        recording = read(write(add_units(nwb, [[1.0], [2.0]], electrodes=[[0], [0]], region=["unknown", ""], brain_area=["", "PMd"])))
        assert column(recording, "region") == [None, "PMd"]

    def test_a_list_of_areas_a_unit_gives_the_most_frequent(self, nwb, write, read):
        recording = read(write(add_units(nwb, [[1.0], [2.0]], location=[["M1", "S1", "S1"], ["", "M1"]])))
        assert column(recording, "region") == ["S1", "M1"]

    def test_the_column_asked_for_is_the_one_taken(self, nwb, write, read):
        path = write(add_units(nwb, region=["a", "b", "c", "d"], ccf=["e", "f", "g", "unknown"]))
        assert column(read(path, nwb_reader.units(region="ccf")), "region") == ["e", "f", "g", None]

    def test_the_column_asked_for_is_the_only_one_asked(self, nwb, write, read):
        add_electrodes(nwb, ["CA1"])
        path = write(add_units(nwb, [[1.0], [2.0]], electrodes=[[0], [0]], ccf=["unknown", ""]))
        assert "region" not in read(path, nwb_reader.units(region="ccf")).units.column_names

    def test_asking_for_a_column_that_is_not_there_names_those_that_are(self, nwb, write):
        path = write(add_units(nwb, region=["a", "b", "c", "d"]))
        with pytest.raises(UnreadableFile, match=r"no unit column 'ccf'; there are region"):
            nwb_reader.units(region="ccf")(path)
        with pytest.raises(UnreadableFile, match=r"no unit column 'curated'; there are region"):
            nwb_reader.units(quality="curated")(path)

    def test_peak_channel_ids_are_electrode_ids_not_rows(self, nwb, write, read):
        add_electrodes(nwb, ["VISp5", "CA1", " "], ids=[850_126_382, 2, 0], probe_vertical_position=[20.0, 40.0, 60.0])
        recording = read(write(add_units(nwb, peak_channel_id=[2, 850_126_382, 0, 77])))
        assert column(recording, "region") == ["CA1", "VISp5", None, None]
        assert column(recording, "depth_um") == [40.0, 20.0, 60.0, None]
        assert column(recording, "probe") == ["probeA", "probeA", "probeA", None]

    def test_peak_channel_ids_go_before_electrode_rows(self, nwb, write, read):
        add_electrodes(nwb, ["VISp5", "CA1"], ids=[1, 0])
        recording = read(write(add_units(nwb, [[1.0], [2.0]], electrodes=[[0], [1]], peak_channel_id=[0, 1])))
        assert column(recording, "region") == ["CA1", "VISp5"]

    def test_peak_channel_ids_that_are_no_electrodes_ids_give_way_to_electrode_rows(self, nwb, write, read):
        add_electrodes(nwb, ["VISp5", "CA1"])
        recording = read(write(add_units(nwb, [[1.0], [2.0]], electrodes=[[0], [1]], peak_channel_id=[np.nan, 99.0])))
        assert column(recording, "region") == ["VISp5", "CA1"]

    @pytest.mark.parametrize(
        ("label", "area"),
        [
            ("VISp5", "VISp5"),
            ("  CA1 ", "CA1"),
            ("brain_region: Thalamus; brain_subregion: N/A; hemisphere: left", "Thalamus"),
            ("{'brain_region': 'ALM', 'hemisphere': 'left'}", "ALM"),
            ("area=M1, depth=2", "M1"),
            ("subregion: x", "subregion: x"),
            ("brain_region: N/A; hemisphere: left", None),
            ("Unknown", None),
            ("nan", None),
            ("", None),
            (None, None),
        ],
    )
    def test_a_location_text_names_its_area(self, label, area):
        assert nwb_terms.region_of(label) == area


class TestProbesAndPlaces:
    def test_the_probe_is_the_name_of_the_units_electrode_group(self, nwb, write, read, oracle):
        a, b = add_electrodes(nwb, ["x", "y"], groups=("probeA", "probeB"))
        path = write(add_units(nwb, electrode_group=[b, a, a, b]))
        recording = read(path)
        assert column(recording, "probe") == [g.name for g in oracle(path).units["electrode_group"][:]] == ["probeB", "probeA", "probeA", "probeB"]

    def test_without_a_group_the_probe_is_that_of_the_first_electrode(self, nwb, write, read):
        add_electrodes(nwb, ["x", "y", "x", "y"], groups=("probeA", "probeB"))
        assert column(read(write(add_units(nwb, electrodes=[[0], [1], [2], []]))), "probe") == ["probeA", "probeB", "probeA", None]

    def test_depth_is_the_units_own_or_the_mean_of_its_electrodes(self, nwb, write, read):
        add_electrodes(nwb, ["x", "x", "x"], rel_y=[10.0, 20.0, 60.0])
        path = write(add_units(nwb, electrodes=[[0, 1], [2], [], [0, 2]]), "mean.nwb")
        assert column(read(path), "depth_um") == [15.0, 60.0, None, 35.0]

    def test_a_units_own_depth_goes_before_its_electrodes(self, nwb, write, read):
        add_electrodes(nwb, ["x", "x"], rel_y=[10.0, 20.0])
        recording = read(write(add_units(nwb, [[1.0], [2.0]], electrodes=[[0], [1]], distance_from_probe_tip_um=[700.0, np.nan])))
        assert column(recording, "depth_um") == [700.0, None]


class TestQuality:
    def test_words_become_our_three_and_the_rule_names_the_column(self, nwb, write, read):
        path = write(add_units(nwb, [[1.0]] * 6, KSLabel=["good", "MUA", " noise ", "unsorted", "single", ""]))
        recording = read(path)
        assert column(recording, "quality") == ["good", "mua", "noise", None, "good", None]
        assert set(column(recording, "quality_rule")) == {"the file's column 'KSLabel'"}
        assert column(recording, "src_KSLabel")[1] == "MUA"

    def test_a_column_without_such_words_gives_way_to_the_next(self, nwb, write, read):
        recording = read(write(add_units(nwb, quality=[0.1, 0.2, 0.3, 0.4], ks_label=["good", "mua", "noise", "good"])))
        assert column(recording, "quality") == ["good", "mua", "noise", "good"]
        assert set(column(recording, "quality_rule")) == {"the file's column 'ks_label'"}

    def test_without_such_words_quality_stays_open(self, nwb, write, read):
        assert "quality" not in read(write(add_units(nwb, quality=["A", "B", "C", "D"]))).units.column_names

    def test_the_column_asked_for_is_the_one_taken(self, nwb, write, read):
        path = write(add_units(nwb, quality=["good"] * 4, curated=["noise", "mua", "good", "good"]))
        assert column(read(path, nwb_reader.units(quality="curated")), "quality") == ["noise", "mua", "good", "good"]


class TestObserved:
    def test_observation_intervals_alike_for_all_units_become_one_span(self, nwb, write, read, ingest, store):
        path = write(add_units(nwb, [[1.0], [2.0]], obs_intervals=[[[0.0, 4.0], [6.0, 9.5]]] * 2))
        spans = read(path).observed
        assert (spans.unit.tolist(), spans.start_s.tolist(), spans.stop_s.tolist()) == ([0, 0, 1, 1], [0.0, 6.0] * 2, [4.0, 9.5] * 2)
        session = store[ingest(path).session]
        assert not session.observed.differs
        assert (session.observed.start.tolist(), session.observed.stop.tolist()) == ([0, 600_000], [400_000, 950_000])
        assert session.record["span_source"] == "obs_intervals"

    def test_observation_intervals_that_differ_stay_each_units_own(self, nwb, write, ingest, store):
        path = write(add_units(nwb, [[1.0], [2.0], []], obs_intervals=[[[0.0, 4.0]], [[1.0, 2.5]], np.empty((0, 2))]))
        observed = store[ingest(path).session].observed
        assert observed.differs
        assert [observed.of(u).tolist() for u in range(3)] == [[[0, 400_000]], [[100_000, 250_000]], []]

    def test_units_without_any_interval_are_no_evidence(self, nwb, write, read):
        recording = read(write(add_units(nwb, [[1.0], [2.0]], obs_intervals=[np.empty((0, 2))] * 2)))
        assert recording.observed is None
        assert recording.span_source == "spikes"

    def test_intervals_without_a_start_or_a_stop_are_left_out_and_noted(self, nwb, write, read):
        recording = read(write(add_units(nwb, [[1.0], [2.0]], obs_intervals=[[[0.0, np.nan], [1.0, 2.0]], [[np.nan, 3.0]]])))
        assert (recording.observed.unit.tolist(), recording.observed.start_s.tolist()) == ([0], [1.0])
        assert "2 of 3 observation intervals have no start or no stop and were left out" in recording.notes

    def test_an_interval_without_an_end_runs_to_the_last_spike(self, nwb, write, ingest, store):
        path = write(add_units(nwb, [[1.0], [2.0]], obs_intervals=[[[0.5, np.inf]]] * 2))
        assert store[ingest(path).session].observed.of(0).tolist() == [[50_000, 200_001]]

    def test_an_interval_that_ends_before_its_start_is_an_error(self, nwb, write):
        path = write(add_units(nwb, [[1.0]], obs_intervals=[[[4.0, 1.0]]]))
        with pytest.raises(UnreadableFile, match=r"session\.nwb: span 0 runs from 4\.0 s to 1\.0 s: it must end after its start"):
            nwb_reader.units()(path)
