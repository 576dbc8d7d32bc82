"""A variable a unit in MATLAB 5 files: every letter of every channel, none invented, as scipy reads them."""

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from neuropile.errors import NoEvents, UnreadableFile
from neuropile.readers.layouts import lanzarini
from neuropile.readers.upstream import channels as upstream_channels

UPSTREAM = upstream_channels.by_division(lanzarini.channels(letter="a", channels=128))


def saved(path, **variables):
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {name: np.asarray(v, float) if np.ndim(v) else v for name, v in variables.items()}, do_compression=True)
    return path


def test_every_letter_is_a_unit_and_nothing_else_is(tmp_path, read) -> None:
    path = saved(
        tmp_path / "s.mat",
        Spk_017b_sh=[[0.5, 1.5]],
        Spk_002a_sh=[[0.25]],
        Spk_017a_sh=np.zeros((0, 0)),
        Ethogram=[[1, 2]],
        Spk_002a_wf=[[3.0]],
        Spk_2a_sh=[[9.0]],
    )
    recording = read(path, lanzarini.channels())
    assert recording.units.to_pydict() == {"unit_id": ["002a", "017a", "017b"], "src_channel": [2, 17, 17], "src_letter": ["a", "a", "b"]}
    oracle = scipy.io.loadmat(path)
    assert [recording.trains.read(u).tolist() for u in range(3)] == [oracle[f"Spk_{i}_sh"].reshape(-1).tolist() for i in ("002a", "017a", "017b")]
    assert any("Ethogram" in n for n in recording.notes)


def test_times_are_the_first_row_or_the_one_column(tmp_path, read) -> None:
    recording = read(saved(tmp_path / "s.mat", Spk_001a_sh=[[0.5, 1.5], [7.0, 8.0]], Spk_002a_sh=[[0.25], [0.75]]), lanzarini.channels())
    assert recording.trains.read(0).tolist() == [0.5, 1.5]
    assert recording.trains.read(1).tolist() == [0.25, 0.75]


def test_silences_of_the_whole_array_that_no_chance_explains_are_invalid(tmp_path, read) -> None:
    rng = np.random.default_rng(0)
    trains = [np.sort(np.r_[rng.uniform(0, 20, 200), rng.uniform(25, 40, 150)]) for _ in range(4)]
    recording = read(saved(tmp_path / "s.mat", **{f"Spk_{i:03d}a_sh": t.reshape(1, -1) for i, t in enumerate(trains)}), lanzarini.channels())
    every = np.concatenate(trains)
    before, behind = every[every < 22].max(), every[every > 22].min()
    assert recording.invalid.start_s.tolist() == pytest.approx([before], abs=2e-4)
    assert recording.invalid.stop_s.tolist() == pytest.approx([behind], abs=2e-4)
    assert before < recording.invalid.start_s[0] < recording.invalid.stop_s[0] < behind
    assert any("1 stretches" in n for n in recording.notes)


@given(st.lists(st.lists(st.integers(0, 5000), max_size=40), min_size=1, max_size=4))
def test_no_spike_lies_in_lost_time_and_few_spikes_lose_none(trains) -> None:
    lost = lanzarini.losses([np.sort(np.array(t, float)) / 100 for t in trains])
    every = np.concatenate([np.array(t, float) / 100 for t in trains])
    assert not any(((every >= a) & (every <= b)).any() for a, b in zip(lost.start_s, lost.stop_s, strict=True))
    if every.size <= lanzarini.MIN_LOST:  # as long as all there is, a silence says nothing
        assert len(lost.unit) == 0


def test_upstream_has_128_rows_of_letter_a_by_division_and_drops_a_spike_on_the_last_edge(tmp_path, read) -> None:
    path = saved(tmp_path / "MonkeyA/s.mat", Spk_001a_sh=[[0.0, 0.019, 0.02, 0.4]], Spk_001b_sh=[[9.0]], Spk_005a_sh=[[0.1] * 257], Spk_128a_sh=[[0.3]])
    recording = read(path, UPSTREAM)
    counts = np.stack([np.bincount(recording.trains.read(u), minlength=20) for u in range(recording.trains.n_units)])
    expected = np.zeros((128, 20), int)
    expected[1, :2] = 2, 1
    expected[5, 5] = 257 - 256
    np.testing.assert_array_equal(counts, expected)
    assert recording.subject.subject_id == "MonkeyA"
    assert recording.observed.stop_s.tolist() == [0.4]


def test_upstream_without_a_spike_is_told(tmp_path, read) -> None:
    with pytest.raises(NoEvents, match="no spikes that the published scripts count"):
        read(saved(tmp_path / "s.mat", Spk_001b_sh=[[0.5]]), UPSTREAM)


def test_a_file_without_units_says_what_it_holds(tmp_path, read) -> None:
    with pytest.raises(NoEvents, match="Spk_017a_sh, found none; the file holds Ethogram"):
        read(saved(tmp_path / "s.mat", Ethogram=[[1, 2]]), lanzarini.channels())


def test_a_unit_of_something_else_is_told(tmp_path, read) -> None:
    path = tmp_path / "s.mat"
    scipy.io.savemat(path, {"Spk_001a_sh": np.array([["a", "b"]], object)})
    with pytest.raises(UnreadableFile, match="Spk_001a_sh holds cell"):
        read(path, lanzarini.channels())


def test_a_file_cut_short_is_told(tmp_path, read) -> None:
    path = saved(tmp_path / "s.mat", Spk_001a_sh=[np.arange(1000.0)])
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UnreadableFile, match="fetch it again"):
        read(path, lanzarini.channels())
