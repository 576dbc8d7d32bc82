"""The figure of an order: every unit is drawn, and what does not fit together is refused."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from neuropile import plotting
from neuropile.errors import NeuropileError
from neuropile.plotting.order import OrderPanel, before_and_after


def panel(n: int, **changed: object) -> OrderPanel:
    """A block of like units amid others, whose members lie apart as stored; the last unit was never observed."""
    rng = np.random.default_rng(0)
    block = np.arange(n) % 3 == 0
    alike = np.where(np.outer(block, block), 0.9, 0.01)
    np.fill_diagonal(alike, 1.0)
    observed = np.ones((n, 100), bool)
    observed[-1] = False
    facts = {"alike": alike, "permutation": np.argsort(~block, kind="stable"), "counts": rng.poisson(0.3, (n, 100)).astype(np.uint8), "observed": observed}
    return OrderPanel(**{"name": "lab/session", "before": 0.1, "after": 0.5, "start_s": 2.0, "bin_width_s": 0.02, **facts, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [1, 2, 40, 700])
def test_a_figure_of_any_number_of_units_is_drawn(n: int, tmp_path: Path) -> None:
    path = plotting.save(before_and_after(panel(n, before=float("nan") if n == 1 else 0.1)), tmp_path / "order.png")
    assert path.stat().st_size > 20_000


def test_like_units_lie_in_one_dark_block_after_and_not_before(tmp_path: Path) -> None:
    figure = before_and_after(panel(300))
    matrices = [image.get_array() for ax in figure.axes if ax.get_ylabel() == "Unit" for image in ax.get_images()]
    before, after = (np.asarray(m) for m in matrices)
    assert before.shape == after.shape == (300, 300)
    assert np.all(after[:100, :100] + np.eye(100) > 0.8)
    assert np.all(after[100:, :] < 0.1)
    assert not np.all(before[:100, :100] + np.eye(100) > 0.8)
    image = matplotlib.image.imread(plotting.save(figure, tmp_path / "order.png"))
    assert np.ptp(image[..., 0]) > 0.5


def test_more_units_than_pixels_are_averaged_not_sampled() -> None:
    n = 1200
    figure = before_and_after(panel(n))
    drawn = next(np.asarray(image.get_array()) for ax in figure.axes for image in ax.get_images())
    alike = panel(n).alike
    apart = alike - np.eye(n)
    assert drawn.shape == (400, 400)
    np.testing.assert_allclose(drawn, apart.reshape(400, 3, 400, 3).mean(axis=(1, 3)))


def test_units_and_arrays_that_do_not_fit_are_refused() -> None:
    for changed in ({"permutation": np.zeros(9, int)}, {"alike": np.eye(8)}, {"counts": np.zeros((8, 5), np.uint8)}, {"observed": np.ones(3, bool)}):
        with pytest.raises(NeuropileError, match="9 units in order need"):
            panel(9, **changed)
