"""Features, rates, envelopes and averages over trials, against the arrays that h5py, numpy and scipy wrote."""

import io
import tracemalloc

import h5py
import numpy as np
import pytest
import scipy.io

from neuropile.errors import UnreadableFile
from neuropile.readers.layouts import condition_averages, trial_envelopes, trial_features, trial_rates
from neuropile.readers.layouts.trial_envelopes import Areas
from neuropile.readers.upstream import by_layout


def whole(recording, name):
    return recording.signals[name].data[0 : recording.signals[name].data.shape[0]]


def trials_of(recording):
    return recording.intervals["trials"].to_pylist()


def write_day(folder, files):
    """`files` : for each file its trials: (features, attributes)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, trials in files.items():
        with h5py.File(folder / name, "w") as file:
            for i, (values, attrs) in enumerate(trials):
                file[f"trial_{i:04d}/input_features"] = np.asarray(values, np.float32)
                file[f"trial_{i:04d}"].attrs.update(attrs)
    return folder


def test_a_day_s_files_are_one_session_in_the_order_it_was_recorded(tmp_path):
    a, b, c = (np.full((n, 4), n, np.float32) for n in (3, 5, 4))
    files = {
        "data_train.hdf5": [(b, {"block_num": 2, "trial_num": 0, "sentence_label": "two"}), (a, {"block_num": 1, "trial_num": 3})],
        "data_val.hdf5": [(c, {"block_num": 1, "trial_num": 7, "n_time_steps": 2})],
    }
    with trial_features.features(2)(write_day(tmp_path / "t15.2023.08.13", files)) as recording:
        assert recording.session_id == "t15.2023.08.13"
        np.testing.assert_array_equal(whole(recording, "rates"), np.concatenate([a, c[:2], b])[:, :2])
        np.testing.assert_array_equal(whole(recording, "spike_band_power"), np.concatenate([a, c[:2], b])[:, 2:])
        found = [(t["src_split"], t["src_block_num"], t["src_trial_num"], t["src_sentence"]) for t in trials_of(recording)]
        assert found == [("data_train", 1, 3, None), ("data_val", 1, 7, None), ("data_train", 2, 0, "two")]


def test_trials_of_two_widths_or_none_are_told(tmp_path):
    with pytest.raises(UnreadableFile, match="4 and 6 features"):
        trial_features.features(2)(write_day(tmp_path / "d", {"x.hdf5": [(np.ones((3, 4)), {}), (np.ones((3, 6)), {})]}))
    with pytest.raises(UnreadableFile, match="sought 3 threshold crossings"):
        trial_features.features(3)(write_day(tmp_path / "e", {"x.hdf5": [(np.ones((3, 4)), {})]}))
    with pytest.raises(UnreadableFile, match=r"a group of input_features a trial, found x.hdf5"):
        trial_features.features(2)(write_day(tmp_path / "f", {"x.hdf5": []}))


def test_upstream_s_guess_takes_the_lowest_for_none_and_a_doubled_step_for_one(tmp_path):
    counts = np.array([[2, 0, 0], [4, 0, 1], [8, 0, 30]])  # no neighbours in the first channel, none at all in the second
    path = write_day(tmp_path / "t15.2023.08.13", {"data_val.hdf5": [((counts - 1.5) / 3, {})]}) / "data_val.hdf5"
    with by_layout.Features(3)(path) as recording:
        got = np.stack([np.bincount(recording.trains.read(u), minlength=3) for u in range(3)])
        assert got.tolist() == [[0, 1, 3], [0, 0, 0], [0, 1, 20]]
        assert (recording.subject.subject_id, recording.session_id) == ("T15", "t15.2023.08.13_data_val")


def write_rates(folder, rates, **beside):
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "Wom_Spikes_preprocessed.npy", rates)
    for name, values in beside.items():
        np.save(folder / f"Wom_{name}.npy", values)
    return folder


def test_rates_stay_rates_with_their_trials_facts_and_neurons_sites(tmp_path):
    rates = np.random.default_rng(1).gamma(2, 5, (3, 2, 40))
    meta = np.array([(1, 0.5), (2, 0.25), (1, 0.75)], [("colour", "i4"), ("width", "f8")])
    folder = write_rates(tmp_path / "m1_ses1", rates, meta=meta)
    (folder / "Wom_cell_loc.csv").write_text("Unit,Area\n1,dorsal\n2,ventral\n")
    recording = trial_rates.rates()(folder)
    assert (recording.session_id, recording.quantity, recording.clock) == ("m1_ses1", "rates", "trials")
    np.testing.assert_array_equal(whole(recording, "rates"), rates.transpose(0, 2, 1).reshape(-1, 2))
    assert [(t["src_colour"], t["src_width"]) for t in trials_of(recording)] == meta.tolist()
    assert recording.units.column("region").to_pylist() == ["dorsal", "ventral"]


def test_sites_that_are_codes_are_kept_but_are_no_areas(tmp_path):
    recording = trial_rates.rates()(write_rates(tmp_path / "s", np.ones((2, 3, 20)), cell_loc=np.array([1.0, 2.0, 2.0]), meta=np.ones((2, 2))))
    assert recording.units.column("src_cell_loc").to_pylist() == ["1", "2", "2"]
    assert "region" not in recording.units.column_names
    assert trials_of(recording)[0]["src_meta_1"] == 1


def test_metadata_that_are_pickled_objects_are_left_out_and_told(tmp_path):
    recording = trial_rates.rates()(write_rates(tmp_path / "s", np.ones((2, 3, 20)), meta=np.array([{"a": 1}, None])))
    assert any("never unpickled" in n for n in recording.notes)


def test_two_arrays_of_rates_or_none_are_told(tmp_path):
    with pytest.raises(UnreadableFile, match=r"sought one array of rates.*found Wom_Spikes_preprocessed.npy, Wom_more.npy"):
        trial_rates.rates()(write_rates(tmp_path / "a", np.ones((2, 3, 20)), more=np.ones((2, 3, 20))))
    with pytest.raises(UnreadableFile, match=r"sought one array of rates.*found none"):
        trial_rates.rates()(write_rates(tmp_path / "b", np.ones((2, 3))))


def test_upstream_makes_a_spike_of_any_rate_above_none(tmp_path):
    rates = np.zeros((2, 1, 45))
    rates[1, 0, 20], rates[0, 0, :20], rates[0, 0, 44] = 0.001, 60.0, 500.0
    with by_layout.Rates()(write_rates(tmp_path / "s", rates)) as recording:
        assert np.bincount(recording.trains.read(0), minlength=4).tolist() == [2, 0, 0, 1]


AREAS = (Areas("monkeyF", ((1, "V1"), (3, "IT"))),)


def write_envelopes(folder, data, mapping=None, **changed):
    (folder / "_logs").mkdir(parents=True)
    n_samples, n_trials, _ = data.shape
    variables = {"ALLMUA": data, "ALLMAT": np.arange(7.0 * n_trials).reshape(7, -1), "tb": np.arange(n_samples)[:, None] - 2.0} | changed
    with h5py.File(folder / "THINGS_MUA_trials.mat", "w") as file:
        for name, values in variables.items():
            chunks = (len(values) // 2, min(2, n_trials), -(-data.shape[2] // 2)) if name == "ALLMUA" else None
            file.create_dataset(name, data=values, chunks=chunks)
    if mapping is not None:
        held = io.BytesIO()
        scipy.io.savemat(held, {"mapping": np.reshape(mapping, (-1, 1))})
        (folder / "_logs" / "1024chns_mapping_20220105.mat").write_bytes(held.getvalue())
    return folder


def test_electrodes_stand_as_the_arrays_do_whatever_way_they_were_recorded(tmp_path):
    data = np.random.default_rng(3).normal(size=(5, 3, 4))
    with trial_envelopes.envelopes(*AREAS)(write_envelopes(tmp_path / "monkeyF", data, [3, 1, 4, 2])) as recording:
        by_electrode = data[:, :, [2, 0, 3, 1]]
        np.testing.assert_array_equal(whole(recording, "envelope"), np.concatenate([by_electrode[:, t] for t in range(3)]))
        np.testing.assert_array_equal(recording.signals["envelope"].data[4:11], np.concatenate([by_electrode[:, t] for t in range(3)])[4:11])
        assert recording.units.column("region").to_pylist() == ["V1", "V1", "IT", "IT"]
        assert recording.units.column("src_recorded_channel").to_pylist() == [3, 1, 4, 2]
        first = trials_of(recording)[0]
        assert (first["start_s"], first["stim_on_s"], first["src_train_idx"], first["src_day"]) == (0.0, pytest.approx(0.002), 3.0, 18.0)


def test_without_a_mapping_channels_stand_as_recorded_and_it_is_told(tmp_path):
    with trial_envelopes.envelopes(*AREAS)(write_envelopes(tmp_path / "monkeyF", np.ones((5, 3, 4)))) as recording:
        assert "region" not in recording.units.column_names
        assert "as recorded" in recording.notes[0]


@pytest.mark.parametrize(
    ("mapping", "changed", "said"),
    [
        ([1, 2, 3, 3], {}, "sought each of 4 channels once"),
        ([1, 2, 3, 4], {"tb": np.arange(4.0)[:, None]}, "5 samples and 3 trials, tb 4"),
        ([1, 2, 3, 4], {"tb": np.array([0, 1, 2, 3, 5.0])[:, None]}, "equal steps"),
        ([1, 2, 3, 4], {"ALLMAT": np.ones((7, 2))}, "ALLMAT 2"),
        ([1, 2, 3, 4], {"ALLMUA": np.ones((5, 3), np.float64)}, "sought numbers on 3 axes"),
    ],
)
def test_envelopes_that_contradict_themselves_are_told(tmp_path, mapping, changed, said):
    data = np.ones((5, 3, 4))
    folder = write_envelopes(tmp_path / "monkeyF", data, mapping)
    with h5py.File(folder / "THINGS_MUA_trials.mat", "r+") as file:
        for name, values in changed.items():
            del file[name]
            file[name] = values
    with pytest.raises(UnreadableFile, match=said):
        trial_envelopes.envelopes(*AREAS)(folder)


def test_envelopes_are_read_in_parts_of_bounded_size(tmp_path):
    """A hundredth of the real number of trials, of 32 electrodes, each shard's rows asked for in turn as the writer does."""
    data = np.zeros((300, 252, 32), np.float32)
    folder = write_envelopes(tmp_path / "monkeyF", data, np.arange(32) + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial_envelopes, "HELD_BYTES", 1 << 18)
        with trial_envelopes.envelopes(*AREAS)(folder) as recording:
            signal = recording.signals["envelope"].data
            tracemalloc.start()
            for first in range(0, signal.shape[0], 512):
                signal[first : first + 512]
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert peak < 3 << 20 < data.nbytes


def test_upstream_s_events_are_falls_and_its_rows_go_bin_by_bin_over_all_trials(tmp_path):
    data = np.zeros((40, 3, 1))
    data[4:9, 0], data[25, 2] = 9, 9  # the first lasts, and so raises its own threshold above itself
    with by_layout.Peaks()(write_envelopes(tmp_path / "monkeyN", data)) as recording:
        assert np.bincount(recording.trains.read(0), minlength=6).tolist() == [0, 0, 0, 0, 0, 1]
        assert (recording.subject.subject_id, recording.session_id) == ("monkey_N", "N_0")
    with by_layout.Peaks(deviations=1.0)(write_envelopes(tmp_path / "b" / "monkeyN", data)) as recording:
        assert np.bincount(recording.trains.read(0), minlength=6).tolist() == [1, 0, 0, 0, 0, 1]


def test_a_condition_ends_with_its_last_value_and_one_without_any_is_none(tmp_path):
    values = np.arange(2 * 3 * 4, dtype=float).reshape(2, 3, 4)
    values[:, 0, 2:], values[:, 1], values[0, 2, 1] = np.nan, np.nan, np.nan
    scipy.io.savemat(tmp_path / "mahler_x.mat", {"neural_responses_reliable": {"vis": values * 7, "occ": values}})
    recording = condition_averages.rates()(tmp_path / "mahler_x.mat")
    assert (recording.session_id, recording.subject.subject_id) == ("mahler", "mahler")
    np.testing.assert_array_equal(whole(recording, "rates"), np.concatenate([values[:, 0, :2].T, values[:, 2].T]) * 1000)
    assert [(t["src_condition"], t["stop_s"] - t["start_s"]) for t in trials_of(recording)] == [(0, pytest.approx(0.1)), (2, pytest.approx(0.2))]


def test_upstream_takes_the_first_field_whatever_it_is(tmp_path):
    values = np.full((1, 1, 2), 0.03)
    scipy.io.savemat(tmp_path / "perle_x.mat", {"neural_responses_reliable": {"vis": values * 2, "occ": values}})
    with by_layout.Averages()(tmp_path / "perle_x.mat") as recording:
        assert np.bincount(recording.trains.read(0)).tolist() == [3, 3]
        assert (recording.subject.subject_id, recording.session_id) == ("Perle", "P_0")


def test_a_struct_without_the_condition_names_those_it_has(tmp_path):
    scipy.io.savemat(tmp_path / "m_x.mat", {"neural_responses_reliable": {"vis": np.ones((1, 2, 3))}, "other": np.ones(3)})
    with pytest.raises(UnreadableFile, match="no 'occ', only vis"):
        condition_averages.rates()(tmp_path / "m_x.mat")
    with pytest.raises(UnreadableFile, match="no struct of arrays"):
        condition_averages.rates("other")(tmp_path / "m_x.mat")
