"""The Allen Institute's Neuropixels sessions, once stored: the tables, behaviour and LFP that its own software gives, over a session or a store."""

from neuropile.allen.behaviour import gaze, invalid_times, optotagging_epochs, pupil, running_speed
from neuropile.allen.probe_files import csd_of, lfp_of, stimulus_template
from neuropile.allen.tables import channel_table, probe_table, session_table, structure_counts, structure_intervals, unit_metrics, unit_table
from neuropile.allen.waveforms import mean_waveforms
from neuropile.readers.nwb.allen_rule import allen_quality

__all__ = [
    "allen_quality",
    "channel_table",
    "csd_of",
    "gaze",
    "invalid_times",
    "lfp_of",
    "mean_waveforms",
    "optotagging_epochs",
    "probe_table",
    "pupil",
    "running_speed",
    "session_table",
    "stimulus_template",
    "structure_counts",
    "structure_intervals",
    "unit_metrics",
    "unit_table",
]
