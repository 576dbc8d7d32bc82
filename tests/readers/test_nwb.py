"""Units of NWB files, compared with what pynwb reads from the same files."""

from __future__ import annotations

from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynwb import NWBHDF5IO, NWBFile
from pynwb.file import Subject
from pynwb.misc import Units

from neuropile import readers, types
from neuropile.errors import NoEvents, UnreadableFile
from neuropile.readers import nwb as nwb_reader
from neuropile.readers import nwb_terms

pytestmark = pytest.mark.filterwarnings("ignore:Shape of data does not match shape in spec")  # pynwb of empty lists

TRAINS = [[0.5, 0.1, 2.25], [], [-1.5, 0.0, 3.0, np.nan], [7.125]]


def add_units(nwb, trains=TRAINS, **columns):
    """A unit a train; each keyword is a column, a value a unit."""
    for name, values in columns.items():
        if name not in ("obs_intervals", "electrodes", "electrode_group", "id"):
            nwb.add_unit_column(name, name, index=isinstance(values[0], list))
    for i, times in enumerate(trains):
        nwb.add_unit(spike_times=times, **{name: values[i] for name, values in columns.items()})
    return nwb


def add_electrodes(nwb, locations, groups=("probeA",), ids=None, **columns):
    """An electrode a location, dealt over the groups in turn."""
    device = nwb.create_device("device")
    made = [nwb.create_electrode_group(g, "a probe", "somewhere", device) for g in groups]
    for name in columns:
        nwb.add_electrode_column(name, name)
    for i, location in enumerate(locations):
        own = {name: values[i] for name, values in columns.items()}
        nwb.add_electrode(id=None if ids is None else ids[i], location=location, group=made[i % len(made)], **own)
    return made


def column(recording, name):
    return recording.units.column(name).to_pylist()


class TestTrains:
    def test_every_unit_has_the_times_pynwb_reads_back_as_stored(self, nwb, write, read, oracle):
        path = write(add_units(nwb))
        recording, units = read(path), oracle(path).units
        assert recording.trains.n_units == len(units)
        for row in range(len(units)):
            np.testing.assert_array_equal(recording.trains.read(row), units["spike_times"][row])

    @given(trains=st.lists(st.lists(st.floats(width=64), max_size=8), min_size=1, max_size=6))
    def test_any_ragged_list_of_trains_comes_back_unit_by_unit(self, tmp_path_factory, trains):
        path = tmp_path_factory.mktemp("ragged") / "s.nwb"
        with NWBHDF5IO(str(path), "w") as io:
            io.write(add_units(NWBFile("d", "i", datetime(2020, 1, 1, tzinfo=UTC)), trains))
        with nwb_reader.units()(path) as recording:
            assert recording.trains.n_units == len(trains)
            for row, train in enumerate(trains):
                np.testing.assert_array_equal(recording.trains.read(row), np.array(train, np.float64))

    def test_times_stored_as_32_bit_floats_stay_so_and_are_noted(self, nwb, write, read, ingest):
        path = write(add_units(nwb, [[0.1, 1000.7], [0.3]]))
        with h5py.File(path, "r+") as f:
            stored = f["units/spike_times"]
            attributes, values = dict(stored.attrs), stored[()].astype(np.float32)
            index_target = f["units/spike_times_index"].attrs
            del f["units/spike_times"]
            f["units"].create_dataset("spike_times", data=values).attrs.update(attributes)
            index_target["target"] = f["units/spike_times"].ref
        assert read(path).trains.read(0).dtype == np.float32
        assert any("32-bit floats" in note for note in ingest(path).notes)

    def test_a_stored_session_has_every_finite_spike_in_its_tick(self, nwb, write, ingest, store):
        trains = [sorted(np.round(np.random.default_rng(0).uniform(-2, 20, 300), 5)), [], [4.0, 3.0, *np.arange(200) / 10, np.nan]]
        outcome = ingest(write(add_units(nwb, trains)))
        assert (outcome.status, outcome.n_units, outcome.n_spikes) == ("stored", 3, 502)
        spikes = store[outcome.session].spikes()
        for row, train in enumerate(trains):
            expected = np.sort([t for t in train if np.isfinite(t)])
            ticks = np.rint(spikes[row] * 100_000 - 0.5)
            np.testing.assert_array_equal(ticks, np.rint(expected * 100_000))
        assert any("1 of 503 spike times were NaN" in n for n in outcome.notes)
        assert any("1 spike trains were not in time order" in n for n in outcome.notes)

    def test_trailing_times_that_belong_to_no_unit_are_noted(self, nwb, write, read):
        path = write(add_units(nwb, [[1.0, 2.0], [3.0, 4.0, 5.0]]))
        with h5py.File(path, "r+") as f:
            f["units/spike_times_index"][...] = [2, 3]
        recording = read(path)
        assert recording.trains.read(1).tolist() == [3.0]
        assert "2 of 5 values of /units/spike_times belong to no unit and were left out" in recording.notes

    def test_one_unit_needs_no_index(self, nwb, write, read):
        path = write(add_units(nwb, [[1.0, 2.0]]))
        with h5py.File(path, "r+") as f:
            del f["units/spike_times_index"]
        assert read(path).trains.read(0).tolist() == [1.0, 2.0]


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


class TestWhereUnitsLive:
    def test_units_in_a_processing_module_are_found(self, nwb, write, read, oracle):
        table = Units(name="units", description="curated")
        for times in ([1.0, 2.0], [], [3.0]):
            table.add_unit(spike_times=times)
        nwb.create_processing_module("ecephys", "sorted").add(table)
        path = write(nwb)
        recording, theirs = read(path), oracle(path).processing["ecephys"]["units"]
        assert [recording.trains.read(u).tolist() for u in range(3)] == [np.asarray(theirs["spike_times"][u]).tolist() for u in range(3)]

    def test_two_tables_are_one_and_clashing_ids_and_types_part(self, nwb, write, read):
        for module, probe, depth in (("left", "A", 1), ("right", "B", "deep")):
            table = Units(name="units", description=module)
            table.add_column("probe", "probe")
            table.add_column("layer", "an integer here, a text there")
            for i in range(2):
                table.add_unit(spike_times=[i + 1.0, i + (10.0 if probe == "B" else 5.0)], probe=probe, layer=depth)
            nwb.create_processing_module(module, module).add(table)
        recording = read(write(nwb))
        assert column(recording, "unit_id") == ["A:0", "A:1", "B:0", "B:1"]
        assert column(recording, "src_layer") == ["1", "1", "deep", "deep"]
        assert [recording.trains.read(u).tolist() for u in range(4)] == [[1.0, 5.0], [2.0, 6.0], [1.0, 10.0], [2.0, 11.0]]

    def test_observation_intervals_of_two_tables_stay_with_their_units(self, nwb, write, read):
        for module, stop in (("left", 5.0), ("right", 7.0)):
            table = Units(name="units", description=module)
            for _ in range(2):
                table.add_unit(spike_times=[1.0], obs_intervals=[[0.0, stop]])
            nwb.create_processing_module(module, module).add(table)
        spans = read(write(nwb)).observed
        assert list(zip(spans.unit.tolist(), spans.stop_s.tolist(), strict=True)) == [(0, 5.0), (1, 5.0), (2, 7.0), (3, 7.0)]

    def test_observation_intervals_of_one_table_of_two_are_no_evidence_for_all(self, nwb, write, read):
        for module in ("left", "right"):
            table = Units(name="units", description=module)
            table.add_unit(spike_times=[1.0], **({"obs_intervals": [[0.0, 3.0]]} if module == "left" else {}))
            nwb.create_processing_module(module, module).add(table)
        assert read(write(nwb)).observed is None

    def test_the_files_own_table_goes_before_those_of_processing(self, nwb, write, read):
        table = Units(name="units", description="raw")
        table.add_unit(spike_times=[9.0])
        nwb.create_processing_module("ecephys", "sorted").add(table)
        assert read(write(add_units(nwb, [[1.0], [2.0]]))).trains.n_units == 2

    def test_waveforms_of_one_shape_are_signals_over_the_units(self, nwb, write, read, oracle):
        for i in range(3):
            nwb.add_unit(spike_times=[1.0], waveform_mean=np.arange(5.0) + i, waveform_sd=np.ones(5) * i)
        path = write(nwb)
        signals, units = read(path).signals, oracle(path).units
        for name in ("waveform_mean", "waveform_sd"):
            np.testing.assert_array_equal(signals[name].data[:], np.array(units[name][:]))
            assert signals[name].dims == ("unit", "sample")

    def test_waveforms_of_another_number_of_units_are_no_signal(self, nwb, write, read):
        for _ in range(3):
            nwb.add_unit(spike_times=[1.0], waveform_mean=np.ones(5))
        path = write(nwb)
        with h5py.File(path, "r+") as f:
            del f["units/waveform_mean"]
            f["units/waveform_mean"] = np.ones((2, 5))
        assert read(path).signals == {}


class TestNoSpikes:
    def test_no_units_table_names_what_the_file_holds(self, nwb, write):
        nwb.add_trial(start_time=0.0, stop_time=1.0)
        with pytest.raises(NoEvents, match=r"sought spike_times in /units and processing/\*/units, found none; the file holds trials \(1 rows\)"):
            nwb_reader.units()(write(nwb))

    def test_an_empty_file_says_so(self, nwb, write):
        with pytest.raises(NoEvents, match="the file holds no intervals and no signals"):
            nwb_reader.units()(write(nwb))

    def test_units_without_spike_times_are_named_as_such(self, nwb, write):
        nwb.add_unit_column("snr", "snr")
        for _ in range(3):
            nwb.add_unit(snr=1.0)
        with pytest.raises(NoEvents, match=r"found none; the file holds /units \(3 rows, no spike_times\)"):
            nwb_reader.units()(write(nwb))

    def test_units_that_are_all_silent_fail_with_what_was_sought_and_found(self, nwb, write, ingest, store):
        nwb.add_trial(start_time=0.0, stop_time=1.0)
        outcome = ingest(write(add_units(nwb, [[], [], []])))
        assert outcome.status == "failed"
        assert "sought spikes, found 3 units without a single one; the file holds trials (1 rows)" in outcome.error
        assert store.failed.loc["local/session", "error"] == outcome.error


class TestWhatTheFileSaysOfItself:
    def test_the_subject_is_the_files(self, nwb, write, read):
        nwb.subject = Subject(subject_id="M 12", species="Mus musculus", sex="F", age="P90D", genotype="Pvalb-IRES-Cre/wt")
        assert read(write(add_units(nwb))).subject == types.Subject("M 12", "Mus musculus", "F", "P90D", "Pvalb-IRES-Cre/wt")

    def test_without_a_subject_nothing_is_invented(self, nwb, write, read):
        assert read(write(add_units(nwb))).subject == types.Subject()

    def test_its_own_texts_are_kept_but_the_session_is_named_by_the_file(self, nwb, write, read):
        nwb.lab, nwb.experimenter = "a lab", ["Ann", "Bo"]
        recording = read(write(add_units(nwb), "sub 1 ses:2.nwb"))
        assert recording.session_id == "sub_1_ses_2"
        found = {k: recording.source[k] for k in ("src_identifier", "src_lab", "src_experimenter", "src_session_description")}
        assert found == {"src_identifier": "session-7", "src_lab": "a lab", "src_experimenter": "Ann, Bo", "src_session_description": "a test"}


def test_a_reader_prints_compares_and_hashes_as_a_value():
    assert nwb_reader.units() == nwb_reader.units()
    assert len({nwb_reader.units(), nwb_reader.units(), nwb_reader.units(region="ccf")}) == 2
    assert "region='ccf'" in repr(nwb_reader.units(region="ccf"))


def test_find_takes_a_file_by_what_it_is_whatever_its_name(nwb, write):
    path = write(add_units(nwb))
    assert readers.find(path.rename(path.with_suffix(".dat"))) == nwb_reader.units()
