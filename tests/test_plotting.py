import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from neuropile import plotting, testing
from neuropile.cli import figures
from neuropile.errors import NeuropileError
from neuropile.plotting import SegmentPanel, SessionOverview
from neuropile.plotting.overview import unobserved_cells
from neuropile.progress import QUIET

pytestmark = pytest.mark.filterwarnings("error")

GREY = np.array([221, 216, 209])


def pixels(figure: Figure) -> np.ndarray:
    """What a figure shows: (row, column, 3) uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def inside(figure: Figure, axes: int = 0) -> np.ndarray:
    """What one axes of a figure shows, less the pixels its lines touch."""
    image, box = pixels(figure), figure.axes[axes].get_window_extent()
    return image[int(len(image) - box.y1) + 1 : int(len(image) - box.y0) - 2, int(box.x0) + 3 : int(box.x1) - 1]


def share_grey(image: np.ndarray) -> float:
    return float((image == GREY).all(axis=-1).mean())


def ink_of_a_spike(silent: SegmentPanel, loud: SegmentPanel, n_panels: int) -> np.ndarray:
    """Which pixels a spike darkens clearly, the colour bar at the bottom aside."""
    before, after = (pixels(plotting.segments([first, *[panel()] * (n_panels - 1)]))[:-250] for first in (silent, loud))
    return (before == 255).all(axis=-1) & (after[..., 0] < 160)


def panel(n_units: int = 3, n_bins: int = 100, spikes: tuple = (), observed: np.ndarray | None = None, session: str = "one") -> SegmentPanel:
    counts = np.zeros((n_units, n_bins), np.uint8)
    for unit, column in spikes:
        counts[unit, column] += 1
    return SegmentPanel(counts, 0.0, 0.02, "demo", session, "segment_0", np.ones(n_bins, bool) if observed is None else observed)


def overview(n_units: int = 12, start: float = 0.0, stop: float = 60.0, **changes: object) -> SessionOverview:
    rng = np.random.default_rng(0)
    spike_s = np.sort(rng.uniform(start, stop, 40 * n_units))
    spike_unit = rng.integers(0, n_units, len(spike_s))
    rate = np.bincount(spike_unit, minlength=n_units) / (stop - start)
    region = ["CA1" if i % 3 else "DG" for i in range(n_units)]
    made = SessionOverview("demo/one", "a rat", spike_unit, spike_s, np.linspace(0, 3840, n_units), region, rate, np.array([[start, stop]]), np.array([-1]))
    return replace(made, **changes)


@pytest.mark.parametrize("sizes", [(1, 1), (2, 3), (4, 7), (100, 100)])
def test_no_spike_is_lost_when_counts_are_folded(sizes: tuple[int, int]) -> None:
    counts = np.random.default_rng(0).poisson(0.3, (9, 50)).astype(np.uint8)
    cells = plotting.fold(counts, sizes)
    assert cells.shape == (-(-9 // sizes[0]), -(-50 // sizes[1]))
    assert cells.sum() == counts.sum()


def test_the_last_cells_take_what_remains() -> None:
    counts = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)
    assert plotting.fold(counts, (2, 2)).tolist() == [[12, 9], [15, 9]]


def test_cells_hold_more_than_the_counts_own_type_does() -> None:
    assert plotting.fold(np.full((2, 2), 255, np.uint8), (2, 2)).tolist() == [[1020]]


def test_a_cell_is_unobserved_when_more_than_half_of_it_is() -> None:
    by_time = np.array([True, False, False, False, True, True, False])
    assert plotting.mostly_unobserved(by_time, (1, 2)).tolist() == [[False, True, False, True]]
    by_unit = np.array([[True, True], [False, False]])
    assert plotting.mostly_unobserved(by_unit, (1, 2)).tolist() == [[False], [True]]


def test_every_spike_falls_in_one_cell_and_the_last_moment_in_the_last() -> None:
    cells = plotting.bin_spikes(np.array([0, 1, 1, 1]), np.array([10.0, 10.0, 12.5, 20.0]), (2, 4), 10.0, 20.0)
    assert cells.tolist() == [[1, 0, 0, 0], [1, 1, 0, 1]]


def test_observed_seconds_are_summed_by_row_and_bin() -> None:
    row, spans = np.array([1, 0, 0, 1]), np.array([[0.25, 2.5], [-5.0, 0.5], [3.0, 9.0], [2.5, 2.75]])
    assert plotting.observed_seconds(row, spans, 3, np.arange(5.0)).tolist() == [[0.5, 0, 0, 1], [0.75, 1, 0.75, 0], [0, 0, 0, 0]]
    assert plotting.observed_seconds(row[:1], spans[:1], 2, np.array([0.0, 2.0, 6.0])).tolist() == [[0, 0], [1.75, 0.5]]


def test_the_population_rate_is_a_units_rate_in_observed_time() -> None:
    spikes = np.array([0.1, 0.2, 1.1, 1.2, 1.3, 1.9, 3.5])  # the one at 1.9 s lies in a gap
    spans = {"spans_s": np.array([[0.0, 1.0], [1.0, 1.6], [3.0, 4.0]]), "span_unit": np.full(3, -1)}
    rate = plotting.population_rate(spikes, np.array([0, 1, 0, 1, 0, 0, 1]), **spans, n_units=2, edges_s=np.arange(5.0))
    np.testing.assert_allclose(rate, [1.0, 2.5, np.nan, 0.5])


def test_the_population_rate_counts_only_units_that_were_observed() -> None:
    spans = {"spans_s": np.array([[0.0, 2.0], [3.0, 3.3], [1.0, 3.0], [3.2, 3.4]]), "span_unit": np.array([0, 0, 2, 2])}  # unit 1 never was
    spikes, unit = np.array([0.0, 0.5, 1.5, 1.6, 2.0, 2.5, 2.6, 2.7]), np.array([0, 2, 0, 2, 0, 2, 2, 1])
    rate = plotting.population_rate(spikes, unit, **spans, n_units=3, edges_s=np.arange(5.0))
    # one of unit 0 alone; one of each of two; two of unit 2 alone; 0.5 unit-seconds, but no unit for half of the bin
    np.testing.assert_allclose(rate, [1.0, 1.0, 2.0, np.nan])


def test_a_bin_observed_for_less_than_half_has_no_rate() -> None:
    for spans in (np.array([[0.0, 0.4]]), np.empty((0, 2))):
        known = {"spans_s": spans, "span_unit": np.full(len(spans), -1), "n_units": 1}
        assert np.isnan(plotting.population_rate(np.array([0.1]), np.array([0]), **known, edges_s=np.array([0.0, 1.0]))).all()


def test_spans_of_all_units_are_joined() -> None:
    assert plotting.merged(np.array([[4.0, 6.0], [0.0, 9.0], [9.0, 10.0], [12.0, 13.0]])).tolist() == [[0, 10], [12, 13]]
    assert plotting.merged(np.empty((0, 2))).shape == (0, 2)


def test_gaps_and_spans_make_up_the_clock() -> None:
    assert plotting.gaps(np.array([[1.0, 2.0], [4.0, 9.0]]), 0.0, 10.0).tolist() == [[0, 1], [2, 4], [9, 10]]
    assert plotting.gaps(np.array([[0.0, 10.0]]), 0.0, 10.0).tolist() == []
    assert plotting.gaps(np.empty((0, 2)), 0.0, 10.0).tolist() == [[0, 10]]


def test_units_run_from_the_top_of_the_probe_down_and_by_region_where_depth_is_unknown() -> None:
    depth = np.array([np.nan, 100, 900, np.nan, np.nan])
    assert plotting.depth_order(depth, [None, "A", "B", "Z", "M"]).tolist() == [2, 1, 4, 3, 0]


def test_places_are_spread_in_order_and_apart_within_bounds() -> None:
    at = plotting.spread(np.array([0.0, 5.0, 5.0, 5.1, 10.0]), gap=2.0, low=0.0, high=10.0)
    assert np.diff(at).min() >= 2.0 - 1e-9
    assert at.min() >= 0.0
    assert at.max() <= 10.0
    assert plotting.spread(np.array([1.0, 5.0]), gap=2.0, low=0.0, high=10.0).tolist() == [1.0, 5.0]


def test_a_region_has_the_same_colour_in_every_figure() -> None:
    assert plotting.region_colour("CA1") == pytest.approx((0.476, 0.68, 0.5746), abs=1e-3)
    assert plotting.region_colour(None) != plotting.region_colour("CA1")


@pytest.mark.parametrize(("unit", "column"), [(0, 0), (150, 15_001), (299, 30_000)])
@pytest.mark.parametrize("n_panels", [1, 10])
def test_a_single_spike_stays_visible_in_a_long_segment(unit: int, column: int, n_panels: int) -> None:
    silent, loud = panel(300, 30_001), panel(300, 30_001, [(unit, column)])
    assert ink_of_a_spike(silent, loud, n_panels).sum() >= 2


def test_a_spike_stays_visible_among_more_units_than_pixels() -> None:
    assert ink_of_a_spike(panel(3001, 20), panel(3001, 20, [(3000, 19)]), 1).sum() >= 2


def test_unobserved_time_is_drawn_apart_from_silence() -> None:
    observed = np.arange(1000) < 750
    assert share_grey(inside(plotting.segments([panel(3, 1000)]))) == 0
    assert share_grey(inside(plotting.segments([panel(3, 1000, observed=observed)]))) == pytest.approx(0.25, abs=0.02)


def test_each_unit_shows_when_it_was_observed() -> None:
    observed = np.ones((4, 100), bool)
    observed[0, :50] = observed[3, 50:] = False
    image = inside(plotting.segments([panel(4, 100, observed=observed)]))
    rows, columns = len(image) // 4, image.shape[1] // 2
    assert share_grey(image[: rows - 3, : columns - 3]) == 1
    assert share_grey(image[3 * rows + 5 :, columns + 3 :]) == 1
    assert share_grey(image[rows + 3 : 3 * rows - 3]) == 0


def test_a_spike_counted_at_the_edge_of_observed_time_is_drawn_over_it() -> None:
    assert (inside(plotting.segments([panel(1, 100, [(0, 50)], observed=np.zeros(100, bool))])) < 160).any()


def test_the_scale_says_what_a_cell_is() -> None:
    titles = [ax.get_title(loc="left") for ax in plotting.segments([panel(2, 100_000), panel(2, 100)]).axes]
    assert "Mean rate of a unit (Hz), in cells of 1 unit by 0.02 to 4.6 s" in titles


def test_times_are_read_on_the_sessions_clock() -> None:
    figure = plotting.segments([replace(panel(2, 5000), start_s=1500.0)])
    figure.draw_without_rendering()
    assert "1,520" in [label.get_text() for label in figure.axes[0].get_xticklabels()]


@pytest.mark.parametrize("n_panels", [1, 3, 4, 10])
@pytest.mark.parametrize("start_s", [1499.98, 1.5e9])
def test_panels_neither_overlap_nor_leave_the_page(n_panels: int, start_s: float) -> None:
    wordy = replace(panel(session="sub-with-a-very-long-name_" * 4), dataset="dandi_000000_" * 9, start_s=start_s)
    figure = plotting.segments([wordy] * n_panels, title="a $title \\that is not mathematics")
    figure.draw_without_rendering()
    boxes = [ax.get_tightbbox() for ax in figure.axes]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for box in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize("n_panels", [9, 16])
def test_a_sessions_name_is_never_cut_where_names_are_of_usual_length(n_panels: int) -> None:
    names = [f"T181_2018_06_{i:02}_WWMMW_idle_bank1_Cells" for i in range(n_panels)]
    figure = plotting.segments([replace(panel(session=name), dataset="rat-neuropixels") for name in names])
    assert [ax.get_title(loc="left") for ax in figure.axes[:n_panels]] == names
    assert {ax.texts[0].get_text() for ax in figure.axes[:n_panels]} == {"rat-neuropixels · segment_0"}


@pytest.mark.parametrize(
    "odd",
    [
        panel(0, 10),
        panel(3, 0),
        panel(1, 1),
        panel(3, 10, observed=np.zeros(10, bool)),
        replace(panel(2, 50), start_s=1.5e9),
        replace(panel(2, 50), counts=np.full((2, 50), 65_535, np.uint16)),
    ],
)
def test_odd_segments_are_drawn_without_warnings(odd: SegmentPanel) -> None:
    pixels(plotting.segments([odd, panel()]))
    pixels(plotting.segments([odd]))


@pytest.mark.parametrize(
    "odd",
    [
        overview(),
        overview(1, 1500.0, 1501.5),
        overview(depth_um=np.full(12, np.nan), region=[None] * 12),
        overview(depth_um=np.array([10.0] * 6 + [np.nan] * 6)),
        overview(region=[f"region {i}" for i in range(12)]),
        overview(90, region=[f"R{i}" for i in range(90)]),
        overview(2000, region=["A", None] * 1000),
        overview(spans_s=np.array([[0.0, 5.0], [50.0, 60.0]]), span_unit=np.array([-1, -1])),
        overview(spans_s=np.array([[0.0, 5.0], [50.0, 60.0], [7.0, 8.0]]), span_unit=np.array([0, 0, 7])),
        overview(spans_s=np.empty((0, 2)), span_unit=np.empty(0, int)),
        overview(spike_unit=np.empty(0, int), spike_s=np.empty(0), rate_hz=np.array([0.0, np.nan] * 6)),
        overview(0, spike_unit=np.empty(0, int), spike_s=np.empty(0), rate_hz=np.empty(0), spans_s=np.empty((0, 2)), span_unit=np.empty(0, int)),
        overview(1, 0.0, 90_000.0),
    ],
    ids=["plain", "one", "no depth", "half a depth", "regions", "90 regions", "2000 units", "gap", "each its own", "no spans", "silent", "empty", "a day"],
)
def test_odd_sessions_are_drawn_without_warnings(odd: SessionOverview) -> None:
    pixels(plotting.session_overview(odd))


def silent(n_units: int, spans: list[list[float]], unit: list[int], **changes: object) -> Figure:
    """A minute of units that never fire, observed in some spans."""
    spikes = {"spike_unit": np.empty(0, int), "spike_s": np.empty(0), **changes}
    return plotting.session_overview(overview(n_units, **spikes, spans_s=np.array(spans), span_unit=np.array(unit)))


def population_of(figure: Figure) -> int:
    return next(i for i, ax in enumerate(figure.axes) if "Hz per unit" in ax.get_ylabel())


def test_a_gap_in_a_session_is_shaded_in_the_raster_and_in_the_rate() -> None:
    figure = silent(12, [[0.0, 20.0], [40.0, 60.0]], [-1, -1])
    for axes in (0, population_of(figure)):
        assert share_grey(inside(figure, axes)) == pytest.approx(1 / 3, abs=0.03)


def test_a_units_unobserved_time_is_drawn_apart_from_its_silence() -> None:
    figure = silent(3, [[0.0, 30.0], [0.0, 60.0], [30.0, 60.0]], [0, 1, 2])  # unit 0 is the deepest, drawn at the bottom
    image = inside(figure)
    third, half = len(image) // 3, image.shape[1] // 2
    rows, columns = [slice(i * third + 5, (i + 1) * third - 5) for i in range(3)], [slice(0, half - 5), slice(half + 5, None)]
    assert [[share_grey(image[r, c]) for c in columns] for r in rows] == [[1, 0], [0, 0], [0, 1]]
    assert share_grey(inside(figure, population_of(figure))) == 0


def test_a_row_of_two_units_is_grey_where_both_were_not_observed_for_more_than_half() -> None:
    changed = overview(4, 0.0, 8.0, spans_s=np.array([[0.0, 2.0], [0.0, 4.0], [6.0, 6.6]]), span_unit=np.array([0, 1, 3]))
    cells = unobserved_cells(changed, np.array([0, 0, 1, 1]), (2, 4), (0.0, 8.0))
    assert cells.tolist() == [[False, False, True, True], [True, True, True, True]]  # half observed is not grey


def test_a_spike_outside_its_units_spans_is_drawn_over_grey_and_left_out_of_the_rate() -> None:
    figure = silent(2, [[0.0, 60.0]], [1], spike_unit=np.array([0]), spike_s=np.array([30.0]))
    assert (inside(figure)[len(inside(figure)) // 2 + 5 :] < 160).any()
    assert (inside(figure, population_of(figure)) == 255).all()


def test_2000_units_of_many_spans_are_drawn_in_seconds() -> None:
    unit, start = np.repeat(np.arange(2000), 100), np.tile(np.arange(0.0, 6000, 60), 2000)
    many = overview(2000, 0.0, 6000.0, spans_s=np.stack([start, start + 30], axis=1), span_unit=unit)
    began = time.perf_counter()
    plotting.session_overview(many)
    assert time.perf_counter() - began < 10


def test_adjacent_units_of_one_region_share_a_label() -> None:
    figure = plotting.session_overview(overview(4, region=["CA1", "CA1", "DG", "DG"]))
    assert [text.get_text() for ax in figure.axes for text in ax.texts] == ["DG", "CA1"]  # the deepest unit is the last


def test_region_names_never_overlap() -> None:
    figure = plotting.session_overview(overview(60, region=[f"R{i // 2}" for i in range(60)]))
    figure.draw_without_rendering()
    boxes = sorted((text.get_window_extent() for ax in figure.axes for text in ax.texts), key=lambda box: box.y0)
    assert len(boxes) == 30
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))


def test_silent_units_stand_apart_from_those_that_fire() -> None:
    figure = plotting.session_overview(overview(4, rate_hz=np.array([0.0, np.nan, 2.0, 3.0])))
    histogram = next(ax for ax in figure.axes if ax.get_xlabel() == "Rate of a unit (Hz)")
    assert "silent" in [label.get_text() for label in histogram.get_xticklabels()]
    assert histogram.get_title(loc="left") == "median 2.5 Hz, silent units aside"


@pytest.mark.parametrize("suffix", plotting.SUFFIXES)
def test_the_same_figure_is_saved_as_the_same_bytes_and_nothing_else(tmp_path, suffix: str) -> None:
    paths = [plotting.save(plotting.segments([panel()]), tmp_path / "deep" / f"{name}{suffix}") for name in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == [f"a{suffix}", f"b{suffix}"]


def test_an_unknown_suffix_is_refused_by_name(tmp_path) -> None:
    with pytest.raises(NeuropileError, match=r"'figure.gif' does not say what to draw; end the name in .pdf, .png or .svg"):
        plotting.save(plotting.segments([panel()]), tmp_path / "figure.gif")
    assert not list(tmp_path.iterdir())


def test_a_save_that_fails_leaves_the_old_file_and_no_temporary(tmp_path, monkeypatch) -> None:
    figure, path = plotting.segments([panel()]), tmp_path / "figure.png"
    path.write_bytes(b"old")

    def fill_the_disk(temporary, **_) -> None:
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", fill_the_disk)
    with pytest.raises(NeuropileError, match="No space left on device"):
        plotting.save(figure, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_below_a_file_is_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NeuropileError, match="cannot be written"):
        plotting.save(plotting.segments([panel()]), tmp_path / "file" / "figure.png")


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(NeuropileError, match="counts are"):
        panel(3, 10, observed=np.ones(9, bool))
    with pytest.raises(NeuropileError, match="differ in length"):
        overview(rate_hz=np.ones(3))
    with pytest.raises(NeuropileError, match="spike_unit runs from 0 to 11"):
        overview(spike_unit=np.full(480, 12))
    with pytest.raises(NeuropileError, match="merged and ascending"):
        overview(spans_s=np.array([[5.0, 6.0], [0.0, 1.0]]), span_unit=np.array([3, 3]))
    with pytest.raises(NeuropileError, match=r"span_unit \(span,\)"):
        overview(span_unit=np.array([0, 1]))
    with pytest.raises(NeuropileError, match="span_unit is -1 throughout or runs from 0 to 11; found -1 to 3"):
        overview(spans_s=np.array([[0.0, 1.0], [0.0, 1.0]]), span_unit=np.array([-1, 3]))
    with pytest.raises(NeuropileError, match="no segment to plot"):
        plotting.segments([])


def test_drawing_never_loads_pyplot() -> None:
    code = "import sys, neuropile.plotting; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_stored_session_shows_what_each_unit_was_observed_for(tmp_path) -> None:
    session = testing.store(tmp_path / "store", [testing.recording(observed="each", n_units=3)])["test/session-0"]
    drawn = figures.overview(session)
    assert drawn.span_unit.tolist() == [0, 1, 2]
    np.testing.assert_allclose(drawn.spans_s, [[0, 60], [6, 57], [12, 60]], atol=1e-4)


def test_the_folder_of_one_session_is_drawn_as_its_overview(tmp_path) -> None:
    folder, options = testing.store(tmp_path / "store")["test/session-0"].root, {"examples": 9, "every": False, "seed": 0, "progress": QUIET}
    out = tmp_path / "one.png"
    assert figures.draw(folder, out, session=None, **options) == [out]
    assert out.stat().st_size > 5000
    with pytest.raises(NeuropileError, match=r"--session picks a session of a store; .* is one session"):
        figures.draw(folder, out, session="test/session-0", **options)
