"""What Allen's own software gives of a session, over made sessions once stored, against plain readings of the same files by pynwb."""

from __future__ import annotations

from itertools import pairwise

import allen_sessions
import numpy as np
import pandas as pd
import pytest
from pynwb import NWBHDF5IO

import neuropile
from neuropile import allen, readers, shown
from neuropile.errors import NotThere, StoreError

SESSIONS = ("watched", "compared", "behaved")
TICKS_PER_S = 100_000


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    store = neuropile.create_store(tmp_path_factory.mktemp("parity") / "store")
    outcomes = neuropile.ingest([allen_sessions.made(n) for n in SESSIONS], store, readers.find)
    assert not [o for o in outcomes if o.error], outcomes
    return store


@pytest.fixture(scope="module")
def plain():
    """Of each file what pynwb reads: units by id with their spike times, and every presentation by time."""
    found = {}
    for name in SESSIONS:
        with NWBHDF5IO(str(allen_sessions.made(name)), "r") as io:
            nwb = io.read()
            frames = [t.to_dataframe().drop(columns="timeseries") for n, t in nwb.intervals.items() if n.endswith("_presentations")]
            table = pd.concat(frames, ignore_index=True).sort_values("start_time", kind="stable").reset_index(drop=True)
            trains = {str(i): np.asarray(nwb.units["spike_times"][row]) for row, i in enumerate(nwb.units.id[:])}
            found[name] = (trains, table, nwb.units.to_dataframe().drop(columns=["spike_times", "spike_amplitudes", "waveform_mean"]))
    return found


@pytest.fixture(params=SESSIONS)
def case(request, stored, plain):
    """A stored session, its spike times by unit id, its presentations, its units."""
    return stored[f"local/{request.param}"], *plain[request.param]


def tick(seconds):
    """The tick a time lies in, by its definition."""
    return np.floor(np.asarray(seconds) * TICKS_PER_S + 1e-3).astype(np.int64)


def counted(train, start, stop):
    """How many of a unit's spikes lie in [start, stop), ticks."""
    return int(((tick(train) >= start) & (tick(train) < stop)).sum())


class TestStimuli:
    def test_the_table_of_a_stimulus_has_its_rows_and_no_empty_column(self, case):
        session, _, table, _ = case
        for name in shown.stimulus_names(session):
            ours, theirs = shown.stimulus_table(session, name, valid=False), table[table["stimulus_name"] == name]
            np.testing.assert_array_equal(ours.index, theirs.index)
            np.testing.assert_array_equal(ours["start_s"], theirs["start_time"])
            np.testing.assert_array_equal(ours["duration_s"], theirs["stop_time"] - theirs["start_time"])
            assert ours.notna().any().all() or name == "spontaneous"
        assert set(shown.stimulus_names(session)) == set(table["stimulus_name"])

    def test_an_unknown_stimulus_is_told_with_those_there_are(self, case):
        session = case[0]
        with pytest.raises(NotThere, match=r"no stimulus 'gabor'; there are (spontaneous|Natural)"):
            shown.stimulus_table(session, "gabor")

    def test_conditions_are_the_distinct_settings_of_what_the_file_says(self, case):
        session, _, table, _ = case
        columns = {"gabors": ["x_position", "y_position", "orientation"], "flashes": ["color"], "drifting_gratings": ["orientation"]}
        columns |= {"natural_scenes": ["frame"], "static_gratings": ["orientation", "spatial_frequency", "phase"], "dot_motion": ["Dir", "Speed"]}
        columns |= {"drifting_gratings_contrast": ["orientation", "contrast"], "gabor_20_deg_250ms": ["orientation", "position_x", "position_y"]}
        columns |= {"Natural_Images_Lum_Matched_set_ophys_G_2019": ["image_name"], "natural_movie_one": ["frame"]}
        for name in set(shown.stimulus_names(session)) & set(columns):
            rows = table[(table["stimulus_name"] == name) & ~in_invalid(table)]
            expected = rows.groupby(columns[name], dropna=False).size()
            found = shown.conditions(session, name)
            assert sorted(found["n_presentations"]) == sorted(expected), name

    def test_presentations_of_a_condition_are_alike(self, case):
        session = case[0]
        table = shown.stimulus_table(session)
        ids = shown.condition_ids(table)
        assert list(dict.fromkeys(ids)) == list(range(ids.max() + 1))
        for name in [c for c in ("stimulus", *shown.PARAMETERS) if c in table]:
            assert all(len(own[name].drop_duplicates()) == 1 for _, own in table.groupby(ids))

    def test_epochs_are_runs_of_one_block(self, case):
        session, _, table, _ = case
        runs: list[list[int]] = []
        previous = None
        for i, (block, name) in enumerate(zip(table["stimulus_block"], table["stimulus_name"], strict=True)):
            key = (None if pd.isna(block) else block, name)
            if key != previous:
                runs.append([])
            runs[-1].append(i)
            previous = key
        found = shown.epochs(session)
        assert found["n_presentations"].tolist() == [len(r) for r in runs]
        assert found["start_s"].tolist() == [table["start_time"][r[0]] for r in runs]
        assert found["stop_s"].tolist() == [table["stop_time"][r].max() for r in runs]
        assert "spontaneous" not in shown.epochs(session, at_least={"spontaneous": 90.0})["stimulus"].tolist()

    def test_pauses_run_from_the_end_of_one_to_the_start_of_the_next(self, case):
        session, _, table, _ = case
        found = shown.pauses(session)
        np.testing.assert_array_equal(found, table["start_time"].to_numpy()[1:] - table["stop_time"].to_numpy()[:-1])
        name = shown.stimulus_names(session)[1]
        pairs = [(i, i + 1) for i in range(len(table) - 1) if table["stimulus_name"][i] == table["stimulus_name"][i + 1] == name]
        assert shown.pauses(session, name).index.tolist() == pairs

    def test_parameters_take_the_values_that_the_file_holds(self, stored):
        found = shown.parameter_values(stored["local/watched"], "drifting_gratings")
        assert found["orientation_deg"].tolist() == [0.0, 45.0, 90.0]
        assert found["contrast"].tolist() == [0.8]
        assert "spatial_frequency_cpd" not in found

    def test_what_was_shown_in_invalid_time_is_left_out_unless_asked_for(self, stored, plain):
        session, table = stored["local/watched"], plain["watched"][1]
        bad = table.index[in_invalid(table)].tolist()
        assert bad
        assert not set(bad) & set(shown.stimulus_table(session).index)
        assert set(bad) <= set(shown.stimulus_table(session, valid=False).index)


def in_invalid(table):
    """Rows that share time with the invalid time of the stimulus."""
    return (table["start_time"] < 12.3) & (table["stop_time"] > 12.1)


class TestResponses:
    @pytest.mark.parametrize("edges", [[-0.1, 0.0, 0.1, 0.2], [-0.05, 0.0, 0.03, 0.25], np.linspace(-0.1, 0.5, 7)], ids=["even", "uneven", "linspace"])
    def test_each_count_is_of_the_ticks_between_two_edges(self, case, edges):
        session, trains, table, _ = case
        asked = table.index[5:45]
        found = shown.presentation_counts(session, edges, asked)
        assert found.dims == ("presentation", "time", "unit")
        np.testing.assert_allclose(found["time"], (np.asarray(edges)[1:] + np.asarray(edges)[:-1]) / 2, atol=1e-9)
        edge_ticks = np.rint(np.asarray(edges) * TICKS_PER_S).astype(int)
        moments = tick(table["start_time"][asked])
        expected = [[[counted(t, m + a, m + b) for t in trains.values()] for a, b in pairwise(edge_ticks)] for m in moments]
        np.testing.assert_array_equal(found, expected)
        assert found["unit_id"].values.tolist() == list(trains)

    def test_bins_that_touch_invalid_time_are_not_observed(self, case):
        session, _, table, _ = case
        found = shown.presentation_counts(session, [0.0, 0.5, 1.0], shown.presentations(session))
        starts = tick(table["start_time"])[:, None] + np.array([0, 50_000])
        for u, (probe, *_) in enumerate(allen_sessions.UNITS):
            holes = [(30.0, 31.5)] + ([(60.0, 62.0)] if probe == "probeB" else [])
            touched = np.logical_or.reduce([(starts < tick(b)) & (starts + 50_000 > tick(a)) for a, b in holes])
            assert not found["unit_observed"].values[..., u][touched].any()
            inside = (starts > tick(5.0)) & (starts < tick(100.0))
            assert found["unit_observed"].values[..., u][inside & ~touched].all()

    def test_listed_spikes_are_those_between_start_and_stop(self, case):
        session, trains, table, _ = case
        found = shown.presentation_spikes(session, shown.presentations(session))
        expected = {
            (i, u): counted(t, tick(a), tick(b))
            for i, (a, b) in enumerate(zip(table["start_time"], table["stop_time"], strict=True))
            if b == b
            for u, t in trains.items()
        }
        assert found.groupby(["presentation", "unit_id"]).size().to_dict() == {k: n for k, n in expected.items() if n}
        assert found["spike_s"].is_monotonic_increasing
        onset = table["start_time"].to_numpy()[found["presentation"]]
        np.testing.assert_allclose(found["since_onset_s"], found["spike_s"] - onset)

    @pytest.mark.parametrize("rates", [False, True])
    def test_statistics_by_condition_are_those_of_a_plain_table(self, case, rates):
        session, trains, *_ = case
        name = shown.stimulus_names(session)[1]
        rows = shown.stimulus_table(session, name).dropna(subset="stop_s")
        found = shown.condition_statistics(session, rows, how=shown.How(rates=rates, observed=False))
        condition = shown.condition_ids(rows)
        for unit, train in trains.items():
            counts = np.array([counted(train, tick(a), tick(b)) for a, b in zip(rows["start_s"], rows["stop_s"], strict=True)])
            values = counts / (tick(rows["stop_s"]) - tick(rows["start_s"])) * TICKS_PER_S if rates else counts
            groups = pd.Series(values, dtype=float).groupby(condition)
            ours = found.loc[unit]
            assert ours["n_presentations"].tolist() == groups.size().tolist()
            assert ours["spike_count"].tolist() == pd.Series(counts).groupby(condition).sum().tolist()
            for column, theirs in (("mean", groups.mean()), ("sd", groups.std()), ("sem", groups.sem())):
                np.testing.assert_allclose(ours[column], theirs)

    def test_presentations_not_wholly_observed_are_left_out_unit_by_unit(self, stored):
        session = stored["local/watched"]
        rows = shown.stimulus_table(session, "drifting_gratings")
        found = shown.condition_statistics(session, rows)["n_presentations"].groupby("unit_id", sort=False).sum()
        lost = int(((rows["start_s"] < 31.5) & (rows["stop_s"] > 30.0)).sum())
        assert lost
        assert set(found) == {len(rows) - lost}
        movie = shown.stimulus_table(session, "natural_movie_three")
        found = shown.condition_statistics(session, movie)["n_presentations"].groupby("unit_id", sort=False).sum()
        on_b = np.array([probe == "probeB" for probe, *_ in allen_sessions.UNITS])
        assert set(found[~on_b]) == {len(movie)}
        assert set(found[on_b]) == {int((movie["start_s"] >= 62.0).sum())}

    def test_omissions_have_spikes_once_it_is_said_how_long_they_last(self, stored, plain):
        session, (trains, table, _) = stored["local/behaved"], plain["behaved"]
        omitted = shown.presentations(session).query("is_omitted == True")
        assert shown.presentation_spikes(session, omitted).empty
        found = shown.presentation_spikes(session, omitted, lasts=0.75)
        starts = tick(table["start_time"][table["image_name"] == "omitted"])
        assert len(found) == sum(counted(t, a, a + 75_000) for t in trains.values() for a in starts)


class TestTables:
    def test_sessions_tell_the_animal_and_what_was_shown(self, stored):
        table = allen.session_table(stored)
        assert sorted(table["session"]) == ["local/behaved", "local/compared", "local/watched"]
        assert set(table["session_type"]) == {"brain_observatory_1.1", "functional_connectivity", "EPHYS_1_images_G_5uL_reward"}
        assert set(table["n_channels"]) == {24}
        only = allen.session_table(stored, "session_type = 'functional_connectivity' and sex = 'M'")
        assert only["session"].tolist() == ["local/compared"]
        with pytest.raises(StoreError, match="SQL not understood"):
            allen.session_table(stored, "no_such_column = 1")

    def test_probes_have_their_own_rates(self, stored):
        table = allen.probe_table(stored["local/watched"])
        assert table[["probe", "probe_id", "has_lfp", "n_channels", "n_units"]].to_numpy().tolist() == [
            ["probeA", 810755797, True, 12, 4],
            ["probeB", 810755799, False, 12, 3],
        ]
        assert table["lfp_sampling_rate_hz"].tolist() == list(allen_sessions.LFP_HZ.values())

    def test_channels_with_valid_data_are_those_the_owner_shows(self, stored):
        session = stored["local/watched"]
        assert len(allen.channel_table(session)) == 22
        assert len(allen.channel_table(stored, "probe = 'probeA' and region = 'CA1'", valid=False)) == 6
        everything = allen.channel_table(session, valid=False)
        peaks = session.units["src_peak_channel_id"].astype(str).value_counts()
        assert everything.set_index("channel_id")["n_units"][lambda n: n > 0].to_dict() == peaks.to_dict()

    def test_areas_are_counted_over_units(self, case):
        session, _, _, units = case
        areas = pd.Series([allen_sessions.AREAS[place] for _, place, *_ in allen_sessions.UNITS])
        assert allen.structure_counts(session).to_dict() == areas[areas != ""].value_counts().to_dict()
        assert len(allen.unit_table(session, "src_presence_ratio >= 0.95")) == (units["presence_ratio"] >= 0.95).sum()

    def test_metrics_are_the_files_own(self, case):
        session, _, _, units = case
        found = allen.unit_metrics(session).loc[session.key]
        assert found.index.tolist() == [str(i) for i in units.index]
        for name in ("snr", "firing_rate", "presence_ratio", "PT_ratio"):
            np.testing.assert_array_equal(found[name], units[name])

    def test_bands_of_an_area_follow_each_other_along_the_probe(self, stored):
        bands = allen.structure_intervals(stored["local/watched"], "probeA")
        assert bands["first"].tolist() == [0, *bands["stop"][:-1]]
        assert bands["n_channels"].sum() == 12
        regions = [None if pd.isna(r) else r for r in bands["region"]]
        assert all(a != b for a, b in pairwise(regions))
        assert regions[:3] == ["APN", "LP", "CA1"]
        assert regions[-1] is None
        assert (bands["to_um"] >= bands["from_um"]).all()


class TestQuality:
    def test_the_rule_keeps_what_each_of_its_parts_keeps(self, case):
        session = case[0]
        mask, rule = allen.allen_quality(session.units)
        expected = [
            amplitude <= 0.1 and presence >= 0.95 and isi <= 0.5 and verdict == "good" and place != 1 and allen_sessions.AREAS[place] != ""
            for _, place, verdict, presence, isi, amplitude in allen_sessions.UNITS
        ]
        assert mask.tolist() == expected
        assert rule.startswith("amplitude_cutoff <= 0.1 and presence_ratio >= 0.95 and isi_violations <= 0.5")

    def test_a_limit_drops_what_has_no_number_and_none_keeps_it(self):
        units = pd.DataFrame({"presence_ratio": [0.99, np.nan, 0.0], "isi_violations": [0.0, np.nan, 0.2], "amplitude_cutoff": [0.1, 0.1, 0.1]})
        more = {"good": False, "valid": False, "in_brain": False}
        assert allen.allen_quality(units, **more)[0].tolist() == [True, False, False]
        for none in (None, np.inf):
            assert allen.allen_quality(units, presence_ratio=none, isi_violations=none, **more)[0].tolist() == [True] * 3
        assert allen.allen_quality(units, presence_ratio=0, isi_violations=0, **more)[0].tolist() == [True, False, False]  # 0 is a limit
        assert allen.allen_quality(units, presence_ratio=0, isi_violations=None, **more)[1] == "amplitude_cutoff <= 0.1 and presence_ratio >= 0"

    def test_a_column_that_is_not_there_is_not_asked_and_told(self):
        units = pd.DataFrame({"amplitude_cutoff": [0.05, 0.2], "isi_violations": [0.1, 0.1], "presence_ratio": [1.0, 1.0]})
        mask, rule = allen.allen_quality(units)
        assert mask.tolist() == [True, False]
        assert "(quality: no such column)" in rule


class TestBehaviour:
    def test_running_has_the_end_of_each_measurement_where_the_file_has_it(self, stored):
        watched, behaved = (allen.running_speed(stored[f"local/{n}"]) for n in ("watched", "behaved"))
        np.testing.assert_allclose(watched["stop_s"] - watched["start_s"], 0.014)
        assert behaved["stop_s"].isna().all()
        assert {"rotation_rad"} == set(watched) - {"start_s", "stop_s", "speed_cm_s"}
        assert {"dx_cm"} == set(behaved) - {"start_s", "stop_s", "speed_cm_s"}

    @pytest.mark.parametrize("name", ["watched", "behaved"])
    def test_pupils_are_whole_axes_by_frame(self, stored, name):
        session = stored[f"local/{name}"]
        table = allen.pupil(session)
        halves = session.signals["pupil_ellipse"].to_numpy()
        np.testing.assert_array_equal(table[["pupil_width", "pupil_height"]], 2 * halves[:, 2:4])
        np.testing.assert_array_equal(table.index, session.signals["pupil_ellipse"]["time"])
        assert ("likely_blink" in table) == (name == "behaved")

    def test_gaze_puts_x_before_y(self, stored):
        session = stored["local/watched"]
        raw, filtered = allen.gaze(session), allen.gaze(session, filtered=True)
        np.testing.assert_array_equal(raw[["y_cm", "x_cm"]], session.signals["raw_gaze_mapping_screen_coordinates"])
        np.testing.assert_array_equal(filtered[["y_deg", "x_deg"]], session.signals["filtered_gaze_mapping_screen_coordinates_spherical"])
        with pytest.raises(NotThere, match="no processing/raw_gaze_mapping"):
            allen.gaze(stored["local/compared"])

    def test_light_is_told_in_volts_of_command(self, stored):
        table = allen.optotagging_epochs(stored["local/watched"])
        assert table["level_v"].tolist() == [1.5, 2.0, 2.5]
        np.testing.assert_allclose(table["stop_s"] - table["start_s"], table["duration_s"])

    def test_invalid_times_are_found_by_tag(self, stored):
        session = stored["local/watched"]
        assert len(allen.invalid_times(session)) == 3
        assert allen.invalid_times(session, "stimulus")["start_s"].tolist() == [12.1]
        assert allen.invalid_times(session, ["all_probes", "probeB"])["start_s"].tolist() == [30.0, 60.0]

    def test_waveforms_have_the_channels_and_times_they_are_of(self, stored):
        session = stored["local/watched"]
        found = allen.mean_waveforms(session, ["950911013", "950911000"])
        assert found.dims == ("unit", "channel", "time")
        assert found["unit_id"].values.tolist() == ["950911013", "950911000"]
        np.testing.assert_allclose(found["time"], np.arange(82) / 29999.967)
        own = session.channels.set_index("channel_id").loc[found["channel_id"].values[0], "probe"]
        assert set(own) == {"probeA"}


class TestProbeFiles:
    def test_lfp_is_joined_by_channel_and_masked_by_the_sessions_invalid_times(self, stored):
        session, path = stored["local/watched"], allen_sessions.made("lfp")
        lfp = allen.lfp_of(session, path)
        assert list(lfp) == ["probeA"]
        window = lfp["probeA"].read(29.0, 32.0)
        with NWBHDF5IO(str(path), "r") as io:
            nwb = io.read()
            series = nwb.acquisition["probe_810755797_lfp"]["probe_810755797_lfp_data"]
            times = series.timestamps[:]
            inside = (times >= 29.0) & (times < 32.0)
            np.testing.assert_array_equal(window, series.data[:][inside])
            np.testing.assert_array_equal(window["time"], times[inside])
            assert window["channel"].values.tolist() == [str(i) for i in nwb.electrodes.id[:]]
        known = session.channels.set_index("channel_id").loc[window["channel"].values]
        assert window["region"].values.tolist() == known["region"].tolist()
        np.testing.assert_array_equal(window["depth_um"], known["depth_um"])
        valid = (window["time"] < 30.0) | (window["time"] >= 31.5)
        assert not window["valid"].values[~valid.values].any()
        assert window["valid"].values[valid.values].all()
        lfp["probeA"].close()

    def test_the_clock_is_the_probes_own(self, stored):
        lfp = allen.lfp_of(stored["local/watched"], [allen_sessions.made("lfp")])["probeA"]
        assert lfp.rate_hz == pytest.approx(1249.998617, abs=1e-4)
        lfp.close()

    def test_lfp_of_another_session_is_refused(self, stored, tmp_path, monkeypatch):
        monkeypatch.setattr(allen_sessions, "channel_id", lambda probe, place: 111 + place)
        other = allen_sessions.lfp(tmp_path / "other.nwb", gap=False)
        with pytest.raises(NotThere, match="are not those of one probe of local/watched"):
            allen.lfp_of(stored["local/watched"], other)

    def test_current_source_density_is_as_pynwb_reads_it(self):
        path = allen_sessions.made("lfp")
        found = allen.csd_of(path)
        with NWBHDF5IO(str(path), "r") as io:
            csd = io.read().processing["current_source_density"]["ecephys_csd"]
            np.testing.assert_array_equal(found, csd.time_series.data[:])
            np.testing.assert_array_equal(found["time"], csd.time_series.timestamps[:])
            np.testing.assert_array_equal(found["depth_um"], csd.virtual_electrode_y_positions[:])

    def test_images_are_read_from_the_file_they_stay_in(self):
        path, name = allen_sessions.made("behaved"), "Natural_Images_Lum_Matched_set_ophys_G_2019"
        with NWBHDF5IO(str(path), "r") as io:
            expected = io.read().stimulus_template[name].data[:]
        np.testing.assert_array_equal(allen.stimulus_template(path, name), expected)
        np.testing.assert_array_equal(allen.stimulus_template(path, f"stimulus/templates/{name}", "im024_r"), expected[1])
        for image, words in (("im999", "no image 'im999'; there are im104_r, im024_r"), (2, "no image 2; there are numbers from 0 to 1")):
            with pytest.raises(NotThere, match=words):
                allen.stimulus_template(path, name, image)
        with pytest.raises(NotThere, match="no stimulus template 'scenes'; there are Natural_Images"):
            allen.stimulus_template(path, "scenes")
