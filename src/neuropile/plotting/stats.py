"""A figure of what a pile holds: how often each count occurs, how fast units fire, and how much each region gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    import pandas as pd

#: Regions with a bar of their own.
MOST_REGIONS = 20


def draw_stats(histogram: pd.DataFrame, rates: pd.DataFrame, regions: pd.DataFrame) -> Figure:
    """Counts, rates and regions side by side.

    histogram : dataset, count, bins; rates : dataset, rate_hz a unit; regions : region, tokens, units
    """
    figure = Figure(figsize=(14, 4.2), layout="constrained")
    counts, rate, region = figure.subplots(1, 3)
    for dataset, own in histogram.groupby("dataset"):
        counts.plot(own["count"], own["bins"] / own["bins"].sum(), marker=".", label=dataset)
    counts.set(xlabel="events in a bin", ylabel="share of observed bins", yscale="log", title="how often each count occurs")
    edges = np.logspace(-3, 3, 61)
    for dataset, own in rates.groupby("dataset"):
        n = np.histogram(own["rate_hz"], edges)[0]
        rate.stairs(n, edges, label=f"{dataset} ({len(own):,} units)")
    rate.set(xlabel="rate (Hz)", ylabel="units", xscale="log", title="how fast units fire")
    most = regions.assign(region=regions["region"].fillna("not known")).nlargest(MOST_REGIONS, "tokens").iloc[::-1]
    region.barh(most["region"].astype(str), most["tokens"] / 1e6)
    region.set(xlabel="tokens (millions)", title=f"regions ({len(regions)})")
    for axes in (counts, rate):
        if len(axes.get_legend_handles_labels()[0]) <= 12:
            axes.legend(fontsize="small", frameon=False, loc="upper right" if axes is counts else "upper left")
    return figure
