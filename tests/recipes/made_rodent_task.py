"""Recordings of mice at tasks: trials, observation intervals a trial, each lab's own columns of quality."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from made_rodent_long import both, one, position
from made_rodent_parts import add_electrodes, add_trials, add_units, intervals, made, module, new, published, series, silence_is_data, ticks_of, voltage, write
from making import Made, MadeSession, making
from pynwb.behavior import Position

EIDS = ("3e7ae7c0-fe8b-487c-9354-036236fa1010", "b182b754-3c3e-4942-8144-6ee790926b58", "56956777-dca5-468c-87cb-78150432cc57")


@making("steinmetz")
def steinmetz(folder: Path) -> Made:
    nwb = new("Cori")
    places = {name: [100.0 * (i + 1) for i in range(6)] for name in ("ccf_ap", "ccf_dv", "ccf_lr")}
    add_electrodes(nwb, ["Probe0", "Probe1"], ["ACA", "ACA", "MOs", "VISp", "VISp", "CA3"], **places)
    trial = {"visual_stimulus_left_contrast": [0.5, 0.0, 1.0], "visual_stimulus_right_contrast": [0.0, 1.0, 0.0], "visual_stimulus_time": [2.5, 8.5, 14.5]}
    add_trials(
        nwb,
        [2.0, 8.0, 14.0],
        4.0,
        **trial,
        go_cue=[3.0, 9.0, 15.0],
        response_choice=[1.0, -1.0, 0.0],
        feedback_type=[1.0, 1.0, -1.0],
        included=[True, True, False],
    )
    nwb.add_time_intervals(intervals("spontaneous", [20.0], 6.0))
    module(nwb, "behavior", series("pupil_diameter", 200, "px"), series("face_motion_energy", 200, "a.u."))
    columns = {
        "phy_annotations": [2, 1, 3, 2, 0],
        "peak_channel": [1, 3, 4, 6, 2],
        "cluster_depths": [100.0, 900.0, 40.0, 3000.0, 20.0],
        "electrodes": [[0], [2], [3], [5], [1]],
    }
    return one(folder, "sub-Cori/sub-Cori_ses-20161214T120000.nwb", nwb, ticks_of(17, 5, 1.25, 27.0), columns, regions=["ACA", "MOs", "VISp", "CA3", "ACA"])


def old_ibl(folder: Path, subject: str, eid: str, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """A session in the owners' older form: its ticks, and the published scripts' counts."""
    nwb = new(subject, identifier=eid)
    add_electrodes(nwb, ["probe00"], ["VISp5", "VISp5", "CA1"])
    trains = ticks_of(seed, 3, 0.3, 30.0)
    times = add_units(nwb, trains, {"location": ["VISp5", "VISp5", "CA1"], "ks2_label": ["good", "mua", "good"], "probe_name": ["probe00"] * 3})
    add_trials(nwb, [1.0, 5.0], 3.0, probabilityLeft=[0.5, 0.8])
    write(nwb, folder, f"sub-{subject}/sub-{subject}_ses-{eid}-processed-only_behavior.nwb")
    return trains, published(times)


def new_ibl(folder: Path, subject: str, eid: str, seed: int) -> list[np.ndarray]:
    """A session in the form the owners write now, its raw voltage in a file beside it; its ticks."""
    nwb = new(subject, identifier=eid)
    places = {"beryl_location": ["VISp", "CA1", "LP", "LP"], "cosmos_location": ["Isocortex", "HPF", "TH", "TH"]}
    add_electrodes(nwb, ["NeuropixelsProbe00", "NeuropixelsProbe01"], ["VISp5", "CA1", "LP", "LP"], **places)
    trains = ticks_of(seed, 4, 0.3, 30.0)
    columns = {
        "unit_name": ["a", "b", "c", "d"],
        "probe_name": ["Probe00", "Probe00", "Probe01", "Probe01"],
        "cluster_uuid": [f"uuid-{seed}-{i}" for i in range(4)],
        "ibl_quality_score": [1.0, 2 / 3, 0.0, 1 / 3],
        "kilosort2_label": ["mua", "good", "noise", "mua"],
        "sliding_rp_violation": [1.0, 1.0, 0.0, 0.0],
        "distance_from_probe_tip_um": [120.0, 2400.0, 300.0, 320.0],
        "max_electrode": [0, 1, 2, 3],
        "spike_amplitudes_uV": [[50.0, 60.0]] * 4,
        "electrodes": [[0, 1], [0, 1], [2, 3], [2, 3]],
    }
    add_units(nwb, trains, columns)
    trial = {
        "gabor_stimulus_onset_time": [1.2, 5.2],
        "auditory_cue_time": [1.25, 5.25],
        "wheel_movement_onset_time": [1.5, np.nan],
        "feedback_time": [2.0, 6.0],
    }
    add_trials(
        nwb,
        [1.0, 5.0],
        3.0,
        **trial,
        gabor_stimulus_contrast=[100.0, 0.0],
        gabor_stimulus_side=["left", "right"],
        probability_left=[0.5, 0.8],
        is_mouse_rewarded=[True, False],
    )
    module(nwb, "wheel", series("WheelPosition", 200, "rad"))
    stem = f"sub-{subject}_ses-{eid}"
    write(nwb, folder, f"sub-{subject}/{stem}_desc-processed_behavior+ecephys.nwb")
    raw = new(subject)
    raw.add_acquisition(voltage(raw, "ElectricalSeriesAp", 300, 100.0))
    write(raw, folder, f"sub-{subject}/{stem}_desc-raw_ecephys.nwb")
    return trains


@making("ibl")
def ibl(folder: Path) -> Made:
    """One session in the old form, one in the new, one in both: which is the new."""
    sessions: dict[str, MadeSession] = {}
    rows: dict[tuple[str, str], np.ndarray] = {}
    regions = {"old": ["VISp5", "VISp5", "CA1"], "new": ["VISp5", "CA1", "LP", "LP"]}
    for i, (subject, eid, forms) in enumerate(zip(("CSH-ZAD-001", "NYU-12", "NYU-11"), EIDS, ("old", "new", "both"), strict=True)):
        trains: list[np.ndarray] = []
        if forms != "new":
            trains, rows[f"sub-{subject}", f"sub-{subject}_ses-{eid}-processed-only_behavior"] = old_ibl(folder, subject, eid, 409 + i)
        if forms != "old":
            trains = new_ibl(folder, subject, eid, 509 + i)
        known: dict[str, Any] = {"subject_id": subject, "recording_id": f"ibl/{eid}", "regions": regions["old" if forms == "old" else "new"]}
        sessions[f"sub-{subject}_ses-{eid}"] = made(trains, observed=silence_is_data(trains), **known)
    whole = new("CSH-ZAD-001")
    whole.add_acquisition(voltage(whole, "ElectricalSeries", 300, 100.0))
    add_units(whole, ticks_of(1, 2, 0.0, 5.0))
    write(whole, folder, f"sub-CSH-ZAD-001/sub-CSH-ZAD-001_ses-{EIDS[0]}_behavior+ecephys+image.nwb")
    return Made(sessions, rows)


def trial_by_trial(seed: int, n_units: int, spans: list[list[tuple[float, float]]]) -> list[np.ndarray]:
    """Ticks of units that were each observed in their own trials, and spike in these only."""
    trains = ticks_of(seed, n_units, 0.0, 40.0, rate_hz=20.0)
    return [np.sort(np.concatenate([t[(t >= a * 1e5) & (t < b * 1e5)] for a, b in own])) for t, own in zip(trains, spans, strict=True)]


TRIALS = [(1.5, 5.0), (8.0, 12.25), (15.0, 19.5), (22.0, 26.0)]
#: Which trials each unit was observed in.
OBSERVED = [TRIALS, TRIALS[:2], TRIALS[1:], [TRIALS[3]]]


@making("finkelstein")
def finkelstein(folder: Path) -> Made:
    nwb = new("353936")
    groups = add_electrodes(nwb, ["ALM left"], ["left ALM", "left ALM"])
    add_trials(
        nwb,
        [a for a, _ in TRIALS],
        3.0,
        trial_type_name=["l", "r", "l", "r"],
        outcome=["hit", "miss", "hit", "ignore"],
        early_lick=["no early"] * 4,
        photostim_onset=["0.5", "N/A", "1.2", "N/A"],
        photostim_power=["3.4", "N/A", "1.0", "N/A"],
    )
    nwb.add_acquisition(series("PhotostimEvents", 40, "mW"))
    columns = {
        "cell_type": ["Pyr", "FS", "Pyr", "not classified"],
        "quality": ["good", "ok", "multi", "good"],
        "unit_ap_location": [2.5, 2.5, 2.4, np.nan],
        "electrodes": [[0], [1], [0], [1]],
        "electrode_group": [groups["ALM left"]] * 4,
        "obs_intervals": [np.array(own) for own in OBSERVED],
    }
    known = {"regions": ["left ALM"] * 4, "observed": None}
    return one(folder, "sub-353936/sub-353936_ses-20170915_behavior+ecephys+ogen.nwb", nwb, trial_by_trial(60, 4, OBSERVED), columns, **known)


@making("li")
def li(folder: Path) -> Made:
    nwb = new("ANM210861")
    groups = add_electrodes(nwb, ["shank1"], ["left ALM", "left ALM"])
    add_trials(
        nwb,
        [a for a, _ in TRIALS],
        3.0,
        trial_instruction=["left", "right", "left", "right"],
        outcome=["hit", "hit", "miss", "hit"],
        early_lick=["no early"] * 4,
        task_protocol=[1, 1, 1, 1],
    )
    columns = {
        "cell_type": ["pyramidal", "FS", "pyramidal"],
        "quality": ["good", "good", "ok"],
        "posx": [0.0, 200.0, 400.0],
        "electrodes": [[0], [1], [1]],
        "electrode_group": [groups["shank1"]] * 3,
        "obs_intervals": [np.array(own) for own in OBSERVED[:3]],
    }
    imaging = new("ANM210861")
    module(imaging, "ophys", series("RoiResponses", 50, "lumens"))
    write(imaging, folder, "sub-ANM210861/sub-ANM210861_ses-20130801_behavior+ophys.nwb")
    known = {"regions": ["left ALM"] * 3, "observed": None}
    return one(folder, "sub-ANM210861/sub-ANM210861_ses-20130701_behavior+ecephys.nwb", nwb, trial_by_trial(10, 3, OBSERVED[:3]), columns, **known)


@making("jaramillo")
def jaramillo(folder: Path) -> Made:
    nwb = new("LA12")
    add_trials(nwb, [5.0, 5.5, 6.0], 0.1, stim_frequency=[2000.0, 8000.0, 32000.0], stim_duration=[25.0] * 3, stim_amplitude=[60.0] * 3)
    nwb.add_time_intervals(intervals("spontaneous_blocks", [0.0, 10.0], 5.0))
    module(nwb, "behavior", series("pupil_diameter", 150, "mm"), series("running_speed", 150))
    return one(folder, "sub-LA12/sub-LA12_ses-session3_behavior.nwb", nwb, ticks_of(986, 4, 0.1, 16.0, silent=(1,)))


@making("giocomo")
def giocomo(folder: Path) -> Made:
    """A tetrode session of one unit in the open field, a Neuropixels session on the virtual track."""
    field = new("Gerrit")
    module(field, "behavior", Position(spatial_series=position("spatial_series", 100), name="Position"), series("body_speed", 100))
    path = "sub-Gerrit/sub-Gerrit_ses-190526_behavior.nwb"
    small = one(folder, path, field, ticks_of(53, 1, 0.6, 33.0), {"cell_id": ["Gerrit_190526_T1C1"]})
    track = new("npI5")
    add_trials(track, [1.0, 6.0, 11.0], 5.0, contrast=[100.0, 100.0, 20.0])
    track.add_acquisition(voltage(track, "ElectricalSeries", 800, 40.0))
    module(track, "behavior", series("lick_events", 60, "n"), series("eye_position", 60, "px", width=2))
    known = {"observed": np.array([[0.0, 20.0]])}
    large = one(folder, "sub-npI5/sub-npI5_ses-0414_behavior+ecephys.nwb", track, ticks_of(54, 6, 0.5, 19.5), **known)
    return both(small, large)


@making("iurilli")
def iurilli(folder: Path) -> Made:
    columns = {
        "quality": ["good", "mua", "noise", "good"],
        "KSLabel": ["good", "good", "mua", "mua"],
        "ContamPct": [0.0, 12.5, 100.0, 3.0],
        "depth": [100.0, 220.0, 2000.0, 3000.0],
        "ch": [3, 10, 90, 140],
        "fr": [1.0, 2.0, 3.0, 4.0],
        "n_spikes": [10, 20, 30, 40],
        "sh": [0, 0, 0, 0],
    }
    return one(folder, "sub-M4/sub-M4_ses-odour-speed_ecephys.nwb", new("M4"), ticks_of(931, 4, 0.4, 23.0), columns)
