"""Arrays read by a mapping: what was made up comes back, whatever file it was written to and in whatever form."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neuropile
from neuropile.errors import NeuropileError, NoEvents, UnreadableFile
from neuropile.readers import arrays

TIMES = st.floats(-100, 1000, allow_nan=False)
TRAINS = st.lists(st.lists(TIMES, max_size=8), min_size=2, max_size=6)
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FILES = ("npz", "h5", "mat")


def put(path: Path, values: dict) -> Path:
    """A file of arrays, of the kind its name says."""
    if path.suffix == ".npz":
        np.savez_compressed(path, **values)
    elif path.suffix == ".mat":
        scipy.io.savemat(path, values, do_compression=True)
    else:
        with h5py.File(path, "w") as file:
            for name, array in values.items():
                file[name] = array if np.asarray(array).dtype.kind != "U" else np.asarray(array).astype("S")
    return path


def cells(items: list) -> np.ndarray:
    out = np.empty(len(items), object)
    out[:] = [np.asarray(i) for i in items]
    return out


def trains_of(path: Path, **mapping: str) -> tuple[list[str], list[np.ndarray]]:
    with arrays.mapped(mapping)(path) as recording:
        return recording.units.column("unit_id").to_pylist(), [np.array(recording.trains.read(i)) for i in range(recording.trains.n_units)]


def error_of(path: Path, kind: type = UnreadableFile, **mapping: str) -> str:
    with pytest.raises(kind) as caught:
        trains_of(path, **mapping)
    return str(caught.value)


class TestForms:
    @pytest.mark.parametrize("suffix", FILES)
    @given(trains=TRAINS)
    @QUICK
    def test_flat_times_with_counts_come_back_unit_by_unit(self, tmp_path, suffix, trains):
        flat = np.array([t for train in trains for t in train] or [1.0])
        counts = [len(t) for t in trains] if sum(map(len, trains)) else [1, *[0] * (len(trains) - 1)]
        path = put(tmp_path / f"a.{suffix}", {"t": flat, "n": np.array(counts)})
        ids, found = trains_of(path, times="t", counts="n")
        assert ids == [str(i) for i in range(len(counts))]
        assert np.concatenate(found).tolist() == flat.tolist()
        assert [len(f) for f in found] == counts

    @pytest.mark.parametrize("suffix", FILES)
    @given(pairs=st.lists(st.tuples(st.integers(1, 5), TIMES), min_size=3, max_size=20))
    @QUICK
    def test_units_and_times_in_two_columns_come_back_by_unit(self, tmp_path, suffix, pairs):
        path = put(tmp_path / f"a.{suffix}", {"m": np.array(pairs, float)})
        ids, found = trains_of(path, times="m[:,1]", units="m[:,0]")
        assert ids == [str(u) for u in sorted({u for u, _ in pairs})]
        assert [f.tolist() for f in found] == [[t for u, t in pairs if str(u) == i] for i in ids]

    @given(trains=TRAINS)
    @QUICK
    def test_a_cell_a_unit_comes_back_silent_ones_too(self, tmp_path, trains):
        scipy.io.savemat(tmp_path / "a.mat", {"spikes": cells(trains)})
        ids, found = trains_of(tmp_path / "a.mat", times="spikes")
        assert ids == [str(i + 1) for i in range(len(trains))]
        assert [f.tolist() for f in found] == trains

    def test_a_struct_array_and_ragged_hdf5_rows_and_a_group_are_units_too(self, tmp_path, matfile):
        trains = [[0.5, 1.0], [], [2.0]]
        records = np.array([(np.array(t), f"u{i}") for i, t in enumerate(trains)], dtype=[("times", object), ("name", object)])
        scipy.io.savemat(tmp_path / "a.mat", {"units": records})
        assert [f.tolist() for f in trains_of(tmp_path / "a.mat", times="units/times")[1]] == trains
        assert trains_of(tmp_path / "a.mat", times="units/times", ids="units/name")[0] == ["u0", "u1", "u2"]
        with h5py.File(tmp_path / "a.h5", "w") as file:
            rows = file.create_dataset("rows", (3,), h5py.vlen_dtype(np.float64))
            for i, train in enumerate(trains):
                rows[i] = train
                file[f"units/u{i + 8}/times"] = np.array(train)
        assert [f.tolist() for f in trains_of(tmp_path / "a.h5", times="rows")[1]] == trains
        ids, found = trains_of(tmp_path / "a.h5", times="units/times")
        assert ids == ["u8", "u9", "u10"]
        assert [f.tolist() for f in found] == trains
        matfile.cell("spikes", [t or None for t in trains])
        assert [f.tolist() for f in trains_of(matfile.close(), times="spikes")[1]] == trains

    def test_nested_cells_are_named_by_their_place_and_empty_ones_left_out(self, tmp_path):
        nest = cells([cells([[1.0, 2.0], []]), [], cells([[], [], [3.0]])])
        scipy.io.savemat(tmp_path / "a.mat", {"spikes": nest, "rate": cells([cells([1.0, 0.0]), [], cells([0.0, 0.0, 5.0])])})
        ids, found = trains_of(tmp_path / "a.mat", times="spikes")
        assert (ids, [f.tolist() for f in found]) == (["1/1", "3/3"], [[1.0, 2.0], [3.0]])
        with arrays.mapped({"times": "spikes"})(tmp_path / "a.mat") as recording:
            assert "nested arrays of spikes are empty" in recording.notes[0]

    @given(counts=st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=2, max_size=4))
    @QUICK
    def test_a_count_of_n_is_n_ticks_of_its_bin_whatever_the_axes(self, tmp_path, counts):
        matrix = np.array(counts, np.uint8)
        np.save(tmp_path / "a.npy", matrix.T)
        with arrays.mapped({"matrix": "array", "bin": "0.02", "axes": "time,unit"})(tmp_path / "a.npy") as recording:
            assert (recording.ticks_per_s, recording.quantity, recording.trains.kind) == (50, "counts", "ticks")
            assert recording.observed.stop_s.tolist() == [pytest.approx(0.12)]
            found = [np.bincount(recording.trains.read(i), minlength=6).tolist() for i in range(len(matrix))]
        assert found == matrix.tolist()

    @pytest.mark.parametrize(("axes", "order"), [("trial,unit,time", (0, 1, 2)), ("unit,time,trial", (1, 2, 0)), ("time,trial,unit", (2, 0, 1))])
    def test_trials_of_a_cube_lie_a_whole_second_apart(self, tmp_path, axes, order):
        cube = np.random.default_rng(0).integers(0, 2, (3, 4, 50)).astype(float)
        np.savez(tmp_path / "a.npz", cube=cube.transpose(order))
        with arrays.mapped({"matrix": "cube", "bin": "0.001", "axes": axes})(tmp_path / "a.npz") as recording:
            assert recording.clock == "trials"
            assert recording.intervals["trials"].column("start_s").to_pylist() == [0.0, 2.0, 4.0]
            for unit in range(4):
                want = np.concatenate([np.flatnonzero(cube[k, unit]) + 2000 * k for k in range(3)])
                assert recording.trains.read(unit).tolist() == want.tolist()

    def test_cells_of_rasters_are_trials_or_with_their_axes_units(self, tmp_path):
        rng = np.random.default_rng(1)
        by_trial = [rng.integers(0, 2, (3, n)) for n in (40, 60)]
        by_unit = [rng.integers(0, 2, (5, 30)) for _ in range(3)]
        scipy.io.savemat(tmp_path / "a.mat", {"by_trial": cells(by_trial), "by_unit": cells(by_unit), "names": ["a", "b", "c"]})
        _, found = trains_of(tmp_path / "a.mat", matrix="by_trial", bin="0.001")
        assert [len(f) for f in found] == [sum(int(m[u].sum()) for m in by_trial) for u in range(3)]
        ids, found = trains_of(tmp_path / "a.mat", matrix="by_unit", bin="0.001", axes="trial,time", ids="names")
        assert ids == ["a", "b", "c"]
        assert [len(f) for f in found] == [int(m.sum()) for m in by_unit]

    def test_a_width_that_is_no_whole_rate_has_ticks_that_fit_it(self, tmp_path):
        np.save(tmp_path / "a.npy", np.array([[0, 1, 2], [1, 0, 0]]))
        with arrays.mapped({"matrix": "array", "bin": "0.03"})(tmp_path / "a.npy") as recording:
            assert recording.ticks_per_s == 100
            assert recording.trains.read(0).tolist() == [3, 6, 6]


class TestTimes:
    @pytest.mark.parametrize(("unit", "scale"), [("s", 1), ("ms", 1000), ("us", 1_000_000)])
    def test_the_unit_of_the_times_is_told(self, tmp_path, unit, scale):
        np.savez(tmp_path / "a.npz", t=np.array([-2, 1, 3]) * scale)
        assert trains_of(tmp_path / "a.npz", times="t", unit=unit)[1][0].tolist() == [-2.0, 1.0, 3.0]

    def test_samples_become_ticks_by_integer_arithmetic(self, tmp_path, store):
        rate = Fraction("30000.554039")
        samples = np.sort(np.random.default_rng(0).choice(20_000_000, 500, replace=False))
        np.savez(tmp_path / "a.npz", t=samples)
        reader = arrays.mapped(arrays.parse(["times=t", "unit=samples"]), sample_rate=rate)
        (outcome,) = neuropile.ingest([tmp_path / "a.npz"], store, lambda _: reader)
        ticks = np.rint(store[outcome.session].spikes()[0] * 100_000 - 0.5).astype(int)
        assert ticks.tolist() == [int(s) * 100_000 // rate for s in samples]

    def test_trials_are_laid_out_with_their_own_numbers_and_columns(self, tmp_path):
        rng = np.random.default_rng(2)
        trial, unit, time = rng.integers(3, 7, 200), rng.integers(0, 3, 200), rng.integers(-100, 400, 200)
        np.savez(tmp_path / "a.npz", trial=trial, unit=unit, time=time, odour=np.arange(3, 7) * 10)
        mapping = {"times": "time", "units": "unit", "trials": "trial", "trial_start": "-100", "trial_stop": "400", "unit": "ms"}
        with arrays.mapped(mapping)(tmp_path / "a.npz") as recording:
            table = recording.intervals["trials"]
            assert table.column("src_trial").to_pylist() == ["3", "4", "5", "6"]
            offset = dict(zip(range(3, 7), table.column("offset_s").to_pylist(), strict=True))
            assert table.column("src_odour").to_pylist() == [30, 40, 50, 60]
            assert table.column("start_s").to_pylist() == pytest.approx([0, 2, 4, 6], abs=1e-12)
            for u in range(3):
                want = sorted(t / 1000 + offset[k] for k, v, t in zip(trial, unit, time, strict=True) if v == u)
                np.testing.assert_allclose(sorted(recording.trains.read(u)), want, rtol=0, atol=1e-12)

    def test_regions_in_cells_and_in_matlabs_strings_are_text_missing_where_empty(self, tmp_path, matfile):
        scipy.io.savemat(tmp_path / "a.mat", {"t": cells([[0.1], [], [0.3]]), "area": cells(["CA1", "", "none"]), "d": cells([1.5, [], 2.0])})
        with arrays.mapped({"times": "t", "region": "area", "depth": "d"})(tmp_path / "a.mat") as recording:
            assert recording.units.column("region").to_pylist() == ["CA1", None, None]
            assert recording.units.column("depth_um").to_pylist() == [1.5, None, 2.0]
        matfile.cell("t", [[0.1], [0.2]])
        matfile.string("area", ["M2", None])
        matfile.char("names", ["u1", "u2"])
        with arrays.mapped({"times": "t", "region": "area", "ids": "names"})(matfile.close()) as recording:
            assert recording.units.column("region").to_pylist() == ["M2", None]
            assert recording.units.column("unit_id").to_pylist() == ["u1", "u2"]

    def test_a_path_of_a_remote_folder_reads_the_same(self, tmp_path):
        upath = pytest.importorskip("upath")
        put(tmp_path / "a.npz", {"t": np.arange(5.0), "n": [2, 3]})
        put(tmp_path / "a.mat", {"t": np.arange(5.0), "n": [2, 3]})
        np.save(tmp_path / "a.npy", np.arange(5.0))
        for name, mapping in [("a.npz", {"times": "t", "counts": "n"}), ("a.mat", {"times": "t", "counts": "n"}), ("a.npy", {"times": "array"})]:
            remote = upath.UPath(f"memory://arrays/{name}")
            remote.parent.mkdir(parents=True, exist_ok=True)
            remote.write_bytes((tmp_path / name).read_bytes())
            ids, found = trains_of(remote, **mapping)
            assert (ids, [f.tolist() for f in found]) == (
                trains_of(tmp_path / name, **mapping)[0],
                [f.tolist() for f in trains_of(tmp_path / name, **mapping)[1]],
            )
            assert arrays.contents(remote) == arrays.contents(tmp_path / name)

    def test_units_known_only_from_a_column_are_silent_rows(self, tmp_path):
        np.savez(tmp_path / "a.npz", t=[0.1, 0.2], u=[0, 2], area=np.array(["V1", "none", "LM", "AL"]), good=np.array(["good", "mua", "?", "noise"]))
        with arrays.mapped({"times": "t", "units": "u", "region": "area", "quality": "good"})(tmp_path / "a.npz") as recording:
            assert recording.units.column("region").to_pylist() == ["V1", None, "LM", "AL"]
            assert recording.units.column("quality").to_pylist() == ["good", "mua", None, "noise"]
            assert [len(recording.trains.read(i)) for i in range(4)] == [1, 0, 1, 0]

    def test_ids_list_the_units_in_their_order(self, tmp_path):
        np.savez(tmp_path / "a.npz", t=[0.1, 0.2, 0.3], u=[7, 3, 7], ids=[9, 7, 3], depth=[1.0, np.nan, 3.0])
        ids, found = trains_of(tmp_path / "a.npz", times="t", units="u", ids="ids", depth="depth")
        assert (ids, [f.tolist() for f in found]) == (["9", "7", "3"], [[], [0.1, 0.3], [0.2]])

    def test_ids_that_stand_twice_are_qualified_by_row(self, tmp_path):
        np.savez(tmp_path / "a.npz", t=[0.1, 0.2], n=[1, 1], ids=np.array(["a", "a"]))
        assert trains_of(tmp_path / "a.npz", times="t", counts="n", ids="ids")[0] == ["a:0", "a:1"]

    def test_unsorted_and_negative_times_are_kept_and_nan_dropped_by_the_writer(self, tmp_path, store):
        times = np.append(np.linspace(5, -5, 300), np.nan)
        np.savez(tmp_path / "a.npz", t=times)
        (outcome,) = neuropile.ingest([tmp_path / "a.npz"], store, lambda _: arrays.mapped({"times": "t"}))
        assert (outcome.status, outcome.n_spikes) == ("stored", 300)
        assert len(outcome.notes) == 2


class TestContradictions:
    def check(self, tmp_path, values, words, kind=UnreadableFile, **mapping):
        np.savez(tmp_path / "a.npz", **values)
        assert words in error_of(tmp_path / "a.npz", kind, **mapping)

    def test_what_arrays_contradict_is_said(self, tmp_path):
        t = np.arange(4.0)
        self.check(tmp_path, {"t": t, "n": [1, 2]}, "counts=n: the counts sum to 3, times=t holds 4", times="t", counts="n")
        self.check(tmp_path, {"t": t, "n": [5, -1]}, "whole numbers, 0 or more", times="t", counts="n")
        self.check(tmp_path, {"t": t, "u": [1, 2]}, "units=u: 2 values for 4 times", times="t", units="u")
        self.check(tmp_path, {"t": t, "u": t + 0.5}, "not whole, or NaN", times="t", units="u")
        self.check(tmp_path, {"t": t, "k": [1]}, "trials=k: 1 values for 4 times", times="t", trials="k", trial_stop="9")
        self.check(tmp_path, {"t": t, "d": [1.0, 2.0]}, "depth=d: 2 values for 1 units", times="t", depth="d")
        self.check(tmp_path, {"t": t, "u": t, "r": [1.0, 2.0]}, "names 4 of them, 2 are described elsewhere", times="t", units="u", depth="r")
        self.check(tmp_path, {"t": np.eye(3)}, "one row of values is sought; name a column, such as [:,0]", times="t")
        self.check(tmp_path, {"t": np.eye(3)}, "has no column 3", times="t[:,3]")
        self.check(tmp_path, {"t": np.array(["a"])}, "not numbers", times="t")

    def test_an_absent_array_is_an_error_that_lists_what_is_there(self, tmp_path):
        self.check(tmp_path, {"t": np.arange(3.0), "u": [1]}, "times=spikes: no such array; the file holds t (3,) float64, u (1,) int64", times="spikes")
        self.check(tmp_path, {"t": [1.0]}, "not a path", times="t[0]")

    def test_times_outside_their_trials_are_no_times_within_trials(self, tmp_path):
        values = {"t": np.arange(100.0), "k": np.arange(100) // 10}
        words = "90 of 100 times lie outside their trials, such as 10 s in a trial from 0 to 9.5 s; check unit="
        self.check(tmp_path, values, words, times="t", trials="k", trial_stop="9.5")
        self.check(tmp_path, values, "must end after its start", times="t", trials="k", trial_stop="0")

    @pytest.mark.parametrize("bad", [0.5, -1, np.nan, np.inf, 60_000])
    def test_a_matrix_of_no_counts_is_a_signal_and_no_events(self, tmp_path, bad):
        matrix = np.zeros((3, 20))
        matrix[2, 5] = bad
        self.check(tmp_path, {"m": matrix}, "sought whole counts of spikes, found rates, calcium or another signal", NoEvents, matrix="m", bin="0.02")

    def test_a_matrix_has_the_axes_it_is_said_to_have(self, tmp_path):
        self.check(tmp_path, {"m": np.zeros(5)}, "has not the axes unit,time", matrix="m", bin="0.02")
        self.check(tmp_path, {"m": np.full((2, 5), 2)}, "it is of quantity=counts", matrix="m", bin="0.02", quantity="spikes")
        self.check(tmp_path, {"m": np.zeros((0, 5))}, "no values", NoEvents, matrix="m", bin="0.02")

    def test_trials_of_unlike_units_are_named(self, tmp_path):
        scipy.io.savemat(tmp_path / "a.mat", {"m": cells([np.ones((3, 9)), np.ones((2, 9))])})
        assert "trial 2 has 2 units, the first 3" in error_of(tmp_path / "a.mat", matrix="m", bin="0.02")


class TestTheMapping:
    @pytest.mark.parametrize(
        ("mapping", "words"),
        [
            ({"time": "t"}, "no key 'time' in a mapping: there are times, counts, units"),
            ({}, "either times=PATH or matrix=PATH; for example times=spikes counts=sCount"),
            ({"times": "t", "matrix": "m", "bin": "1"}, "either times=PATH or matrix=PATH"),
            ({"times": ""}, "times= is empty"),
            ({"times": "t", "counts": "n", "units": "u"}, "give one of them"),
            ({"times": "t", "trials": "k"}, "trial_stop=NUMBER or PATH"),
            ({"times": "t", "trial_stop": "3"}, "trial_stop= goes with trials="),
            ({"times": "t", "unit": "minutes"}, "unit=minutes is not one of s, ms, us, samples"),
            ({"times": "t", "unit": "samples"}, "unit=samples needs sample_rate="),
            ({"times": "t", "sample_rate": "30000"}, "sample_rate= is for times in samples: add unit=samples, or leave it out"),
            ({"times": "t", "unit": "ms", "sample_rate": "30000"}, "sample_rate= is for times in samples: add unit=samples"),
            ({"matrix": "m", "bin": "0.02", "sample_rate": "30000"}, "sample_rate= is for times in samples, and matrix= has its bin=: leave it out"),
            ({"times": "t", "sample_rate": "fast"}, "sample_rate=fast is not a number"),
            ({"times": "t", "quantity": "calcium"}, "quantity=calcium is not one of spikes"),
            ({"matrix": "m"}, "matrix= needs bin=SECONDS"),
            ({"matrix": "m", "bin": "20"}, "bin=20 is no width of a bin in seconds"),
            ({"matrix": "m", "bin": "0.02", "axes": "unit,bin"}, "axes=unit,bin must name each axis once"),
        ],
    )
    def test_a_mapping_that_makes_no_sense_is_refused_before_any_file(self, mapping, words):
        with pytest.raises(NeuropileError, match=words):
            arrays.mapped(mapping)

    @pytest.mark.parametrize("mapping", [{"times": "t", "units": "u"}, {"matrix": "m", "bin": "0.02"}])
    def test_a_sample_rate_beside_a_mapping_without_samples_is_refused_too(self, mapping):
        with pytest.raises(NeuropileError, match="sample_rate= is for times in samples"):
            arrays.mapped(mapping, sample_rate=30000)

    def test_pairs_of_the_command_line_are_parsed(self):
        assert arrays.parse(["times=spikes[:,1]", "subject = a=b"]) == {"times": "spikes[:,1]", "subject": "a=b"}
        for pairs, words in [(["times"], "is no key=value"), (["tims=x"], "keys: times, counts"), (["unit=s", "unit=ms"], "unit= is given twice")]:
            with pytest.raises(NeuropileError, match=words):
                arrays.parse(pairs)

    def test_readers_of_one_mapping_are_equal_and_print_what_they_read(self):
        reader = arrays.mapped({"units": "u", "times": "t", "unit": "samples"}, sample_rate=30000)
        assert reader == arrays.mapped({"times": "t", "unit": "samples", "units": "u", "sample_rate": "30000"})
        assert hash(reader) == hash(arrays.mapped({"times": "t", "units": "u", "unit": "samples"}, sample_rate=Fraction(30000)))
        assert "('times', 't')" in repr(reader)

    def test_subject_and_columns_beside_the_units_are_kept(self, tmp_path):
        put(tmp_path / "rat 7.h5", {"t": np.arange(5.0), "n": [2, 3], "info/rate": [0.5, 1.5], "info/lab": np.array(["here"]), "pos": np.eye(2)})
        mapping = {"times": "t", "counts": "n", "subject": "r7", "species": "Rattus norvegicus", "x": "pos[0,:]"}
        with arrays.mapped(mapping)(tmp_path / "rat 7.h5") as recording:
            assert recording.session_id == "rat_7"
            assert (recording.subject.subject_id, recording.subject.species) == ("r7", "Rattus norvegicus")
            assert recording.units.column("src_info_rate").to_pylist() == [0.5, 1.5]
            assert recording.units.column("x_um").to_pylist() == [1.0, 0.0]
            assert recording.source == {"src_info_lab": "here"}


class TestSuggestions:
    @pytest.mark.parametrize(
        ("suffix", "values", "words"),
        [
            ("npz", {"spikes": np.linspace(0, 9, 50), "nCount": [20, 30]}, "--map times=spikes --map counts=nCount"),
            ("mat", {"spks": np.stack([np.arange(40) // 9, np.linspace(0, 1, 40)], 1)}, r"--map times=spks\[:,1\] --map units=spks\[:,0\]"),
            ("h5", {"spike_times": np.linspace(0, 9, 50), "cluster": np.arange(50) % 4}, "--map times=spike_times --map units=cluster"),
            ("mat", {"spikes": cells([[0.1, 0.2], [0.3]])}, "--map times=spikes"),
            ("npz", {"spike_counts": np.ones((4, 100), int)}, "--map matrix=spike_counts --map bin=SECONDS"),
            ("npz", {"speed": np.linspace(0, 9, 50), "nCount": [20, 30]}, "no mapping suggests itself"),
            ("npz", {"spike_times": np.arange(50), "cluster": np.arange(50) % 4}, "no mapping suggests itself"),
            ("npz", {"spikes": np.linspace(0, 9, 50), "nCount": [20, 31]}, "no mapping suggests itself"),
            ("npz", {"spikes": np.random.default_rng(0).normal(size=(4, 100))}, "no spikes and no counts of them, but a signal"),
        ],
    )
    def test_a_mapping_is_suggested_only_where_the_values_bear_it_out(self, tmp_path, suffix, values, words):
        said = arrays.suggest(put(tmp_path / f"a.{suffix}", values))
        assert "\n" not in said
        assert said.startswith("it holds ")
        assert re.search(words, said)
