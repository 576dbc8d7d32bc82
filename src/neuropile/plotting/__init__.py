"""Figures of counts and spikes in which no spike and no unobserved time is lost to the size of the page."""

from neuropile.plotting.cells import bin_spikes, fold, gaps, merged, mostly_unobserved, observed_seconds, population_rate
from neuropile.plotting.overview import SessionOverview, session_overview
from neuropile.plotting.pages import SUFFIXES, save
from neuropile.plotting.panels import SegmentPanel, segments
from neuropile.plotting.regions import depth_order, region_colour, spread

__all__ = [
    "SUFFIXES",
    "SegmentPanel",
    "SessionOverview",
    "bin_spikes",
    "depth_order",
    "fold",
    "gaps",
    "merged",
    "mostly_unobserved",
    "observed_seconds",
    "population_rate",
    "region_colour",
    "save",
    "segments",
    "session_overview",
    "spread",
]
