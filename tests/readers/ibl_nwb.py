"""What the NWB core knows of a made-up IBL session, written by pynwb under the names of DANDI 000409's new files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.behavior import SpatialSeries
from pynwb.epoch import TimeIntervals
from pynwb.file import Subject

from neuropile.readers.nwb import ibl_places

if TYPE_CHECKING:
    from ibl_sessions import Made, Probe

CHOICES = {1.0: "clockwise", -1.0: "counter_clockwise", 0.0: "none"}
#: The areas of the made sessions as the files call them.
NAMES = {
    "void": "void",
    "VISp2/3": "Primary visual area, layer 2/3",
    "VISp5": "Primary visual area layer 5",
    "CA1": "Field CA1",
    "LGd": "Dorsal part of the lateral geniculate complex",
    "root": "root",
}
TIMES = {
    "gabor_stimulus_onset_time": "stimOn_times",
    "auditory_cue_time": "goCue_times",
    "wheel_movement_onset_time": "firstMovement_times",
    "choice_registration_time": "response_times",
    "feedback_time": "feedback_times",
    "gabor_stimulus_offset_time": "stimOff_times",
}


def write_core(session: Made, path: Path) -> None:
    """Units, electrodes, trials, the wheel, pupils, motion energy and the passive part."""
    from ibl_sessions import EID

    nwb = NWBFile("a made session", EID, datetime(2021, 3, 22, tzinfo=UTC), session_id=EID)
    nwb.subject = Subject(subject_id="KS099", species="Mus musculus", age="P90D", sex="F")
    _electrodes(nwb, session.probes)
    _units(nwb, session.probes)
    _trials(nwb, session)
    module = nwb.create_processing_module("wheel", "wheel")
    times, position = session.wheel
    module.add(SpatialSeries(name="WheelPosition", data=position, reference_frame="start", unit="radians", timestamps=times))
    module.add(_intervals("WheelMovementIntervals", session.moves[:, 0], session.moves[:, 1], peak_amplitude=session.moves[:, 0] / 100))
    _cameras(nwb, session)
    module = nwb.create_processing_module("passive_protocol", "passive")
    periods = {n: p for n, p in session.periods.items() if n in ("spontaneousActivity", "taskReplay")}
    begins, ends = zip(*periods.values(), strict=True)
    module.add(_intervals("passive_intervals", begins, ends, protocol_name=list(periods)))
    gabor = session.gabor
    module.add(_intervals("gabor_table", gabor.start, gabor.stop, position=gabor.position, contrast=gabor.contrast, phase=gabor.phase))
    played = sorted((a, b, n) for n in ("valve", "tone", "noise") for a, b in zip(session.stims[f"{n}On"], session.stims[f"{n}Off"], strict=True) if a == a)
    module.add(_intervals("passive_task_replay", [p[0] for p in played], [p[1] for p in played], stim_type=[p[2] for p in played]))
    with NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)


def _intervals(name: str, start: Any, stop: Any, **columns: Any) -> TimeIntervals:
    table = TimeIntervals(name=name, description=name)
    for c in columns:
        table.add_column(c, c)
    for i, (a, b) in enumerate(zip(start, stop, strict=True)):
        table.add_row(start_time=a, stop_time=b, **{c: list(v)[i] for c, v in columns.items()})
    return table


def _electrodes(nwb: NWBFile, probes: list[Probe]) -> None:
    for name in ("rel_x", "rel_y"):
        nwb.add_electrode_column(name, name)
    for p in probes:
        name = p.name.capitalize()
        group = nwb.create_electrode_group(name, "a probe", "unknown", nwb.create_device(f"Neuropixels{name}"))
        for local, (ml, ap, dv), acronym in zip(p.channels["localCoordinates"], p.channels["mlapdv"], p.areas, strict=True):
            back, down, right = ibl_places.BREGMA_UM + np.array([-ap, -dv, ml])
            nwb.add_electrode(x=back, y=down, z=right, location=NAMES[acronym], group=group, rel_x=local[0], rel_y=local[1])


def _units(nwb: NWBFile, probes: list[Probe]) -> None:
    columns = ("unit_name", "probe_name", "cluster_uuid", "spike_count", "firing_rate", "distance_from_probe_tip_um", "max_electrode")
    columns += ("ibl_quality_score", "kilosort2_label", "noise_cutoff", "median_spike_amplitude_uV", "sliding_rp_violation")
    for name in columns:
        nwb.add_unit_column(name, name)
    for name in ("spike_amplitudes_uV", "spike_distances_from_probe_tip_um"):
        nwb.add_unit_column(name, name, index=True)
    first = 0
    for p in probes:
        for i, m in p.metrics.iterrows():
            mine = p.clusters == i
            nwb.add_unit(
                spike_times=p.times[mine],
                spike_amplitudes_uV=p.amps[mine] * 1e6,
                spike_distances_from_probe_tip_um=p.depths[mine],
                unit_name=f"{p.name}_{i}",
                probe_name=p.name.capitalize(),
                cluster_uuid=p.uuids[i],
                spike_count=int(m.spike_count),
                firing_rate=m.firing_rate,
                distance_from_probe_tip_um=p.channels["localCoordinates"][p.peak[i], 1] + 1.25,
                max_electrode=first + int(p.peak[i]),
                electrodes=[first + int(p.peak[i]), first],
                ibl_quality_score=m.label,
                kilosort2_label=m.ks2_label,
                noise_cutoff=m.noise_cutoff,
                median_spike_amplitude_uV=m.amp_median * 1e6,
                sliding_rp_violation=m.slidingRP_viol,
                waveform_mean=p.waveforms[i] * np.float32(1e6),
            )
        first += len(p.areas)


def _trials(nwb: NWBFile, session: Made) -> None:
    trials = session.trials
    is_left = trials.contrastLeft.notna()
    contrast = trials.contrastLeft.fillna(trials.contrastRight)
    block = np.cumsum(np.diff(trials.probabilityLeft, prepend=trials.probabilityLeft[0]) != 0)
    columns: dict[str, Any] = {
        "quiescence_period": session.quiescence,
        **{ours: trials[theirs].to_numpy() for ours, theirs in TIMES.items()},
        "gabor_stimulus_contrast": np.round(contrast * 100, 2).to_numpy(),
        "gabor_stimulus_side": np.where(is_left, "left", "right").tolist(),
        "probability_left": trials.probabilityLeft.to_numpy(),
        "block_index": block,
        "block_type": ["unbiased" if p == 0.5 else "left_block" for p in trials.probabilityLeft],
        "mouse_wheel_choice": [CHOICES[c] for c in trials.choice],
        "is_mouse_rewarded": (trials.feedbackType == 1).to_numpy(),
        "reward_volume_uL": trials.rewardVolume.to_numpy(),
    }
    for name in columns:
        nwb.add_trial_column(name, name)
    for i, (start, stop) in enumerate(zip(trials.intervals_0, trials.intervals_1, strict=True)):
        nwb.add_trial(start_time=start, stop_time=stop, **{n: v[i] for n, v in columns.items()})


def _cameras(nwb: NWBFile, session: Made) -> None:
    pupil, energy = (nwb.create_processing_module(n, n) for n in ("pupil", "motion_energy"))
    for side, seen in session.cameras.items():
        name = side.capitalize()
        energy.add(TimeSeries(name=f"{name}CameraMotionEnergy", data=seen["energy"], unit="a.u.", timestamps=seen["times"]))
        if seen["pupil"] is not None:
            for suffix, column in (("", "pupilDiameter_raw"), ("Smoothed", "pupilDiameter_smooth")):
                pupil.add(TimeSeries(name=f"{name}PupilDiameter{suffix}", data=seen["pupil"][column].to_numpy(), unit="px", timestamps=seen["times"]))
