"""Blocks of threshold crossings in MATLAB 5 files, against what scipy wrote."""

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from neuropile.errors import UnreadableFile
from neuropile.readers.layouts import blocks


def cell(texts):
    out = np.empty((len(texts), 1), object)
    out[:, 0] = texts
    return out


def write(path, counts, block, **more):
    scipy.io.savemat(path, {"tx1": counts, "blockNum": np.reshape(block, (-1, 1)), **more}, do_compression=True)
    return path


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 120), min_size=1, max_size=5), st.integers(0, 99))
def test_every_count_lies_in_its_own_block_and_blocks_are_apart(tmp_path_factory, lengths, seed):
    counts = np.random.default_rng(seed).poisson(1.0, (sum(lengths), 3)).astype(np.uint8)
    block = np.repeat([5, 6, 5, 8, 9][: len(lengths)], lengths)  # a number may come again
    path = write(tmp_path_factory.mktemp("b") / "t12.2022.04.28_sentences.mat", counts, block)
    recording = blocks.counts()(path)
    start, stop = recording.observed.start_s, recording.observed.stop_s
    np.testing.assert_allclose(stop - start, np.array(lengths) / 50)
    np.testing.assert_array_equal(start, np.round(start))
    assert np.all(start[1:] - stop[:-1] >= 1 - 1e-9)
    for unit in range(3):
        ticks = recording.trains.read(unit)
        got = [np.bincount(ticks[(ticks >= a * 50) & (ticks < b * 50 - 1e-6)] - int(a * 50), minlength=n) for a, b, n in zip(start, stop, lengths, strict=True)]
        np.testing.assert_array_equal(np.concatenate(got), counts[:, unit])
        assert len(ticks) == counts[:, unit].sum()
    assert recording.session_id == "t12.2022.04.28_sentences"
    assert recording.intervals["blocks"].column("src_block").to_pylist() == block[np.cumsum([0, *lengths[:-1]])].tolist()


def test_trials_are_cut_at_matlab_s_inclusive_epochs_from_1_and_keep_their_words(tmp_path):
    epochs = {"delayTrialEpochs": [[1, 2], [12, 13]], "goTrialEpochs": [[3, 6], [14, 15]], "sentences": cell(["hello", "good bye"])}
    path = write(tmp_path / "x.mat", np.ones((15, 2), np.uint8), [3] * 10 + [4] * 5, **epochs)
    trials = blocks.counts()(path).intervals["trials"].to_pylist()
    # block 4 begins at second 2, its second bin, the 12th of the file, at 2.02 s
    for trial, (start, go, stop, offset) in zip(trials, [(0.0, 0.04, 0.12, 0.0), (2.02, 2.06, 2.1, 1.8)], strict=True):
        found = (trial["start_s"], trial["go_cue_s"], trial["stop_s"], trial["offset_s"])
        assert found == pytest.approx((start, go, stop, offset))
    assert [(t["src_sentence"], t["src_block"]) for t in trials] == [("hello", 3), ("good bye", 4)]


def test_cues_are_told_by_their_words_and_epochs_outside_the_file_are_left_out(tmp_path):
    more = {"goTrialEpochs": [[1, 4], [5, 8], [9, 12]], "trialCues": [[2, 0], [1, 0], [9, 0]], "cueList": cell(["ban", "choose"]).T}
    recording = blocks.counts()(write(tmp_path / "x.mat", np.ones((11, 2), np.uint8), [1] * 11, **more))
    assert recording.intervals["trials"].column("src_cue").to_pylist() == ["choose", "ban"]
    assert "1 trials were left out" in recording.notes[0]


def test_256_columns_are_four_arrays_in_two_areas(tmp_path):
    recording = blocks.counts()(write(tmp_path / "x.mat", np.ones((3, 256), np.uint8), [1] * 3))
    probe, region = (recording.units.column(c).to_pylist() for c in ("probe", "region"))
    names = ("6v inferior", "6v superior", "44 inferior", "44 superior")
    assert {(p, r): probe.count(p) for p, r in zip(probe, region, strict=True)} == {(n, n.split()[0]): 64 for n in names}
    # of the deposit's map of electrodes: a corner of each array, counted from 0
    assert [probe[c] for c in (125, 1, 62, 64, 129, 254, 192, 190)] == [
        a for a in ("6v inferior", "6v superior", "44 inferior", "44 superior") for _ in range(2)
    ]


@pytest.mark.parametrize(
    ("counts", "block", "said"),
    [
        (np.full((3, 2), 0.5), [1] * 3, "not whole"),
        (np.full((3, 2), -1), [1] * 3, "from -1 to -1: they are no counts"),
        (np.full((3, 2), 2**31), [1] * 3, "they are no counts"),
        (np.ones((3, 2)), [1] * 2, "tx1 has 3 bins, blockNum 2"),
        (np.ones((3, 2, 2)), [1] * 3, "not a table of numbers"),
        (cell(["a"]), [1], "not a table of numbers"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(tmp_path, counts, block, said):
    with pytest.raises(UnreadableFile, match=said):
        blocks.counts()(write(tmp_path / "x.mat", counts, block))


def test_a_file_without_the_variable_names_those_it_has(tmp_path):
    path = write(tmp_path / "x.mat", np.ones((3, 2)), [1] * 3)
    with pytest.raises(UnreadableFile, match="no variable 'tx2'; the file has tx1, blockNum"):
        blocks.counts("tx2")(path)


def test_a_truncated_file_is_told_in_one_line(tmp_path):
    path = write(tmp_path / "x.mat", np.random.default_rng(0).poisson(1, (300, 9)), [1] * 300)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UnreadableFile, match="damaged"):
        blocks.counts()(path)
