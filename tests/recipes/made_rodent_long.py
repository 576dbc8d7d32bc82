"""Long recordings of rest, sleep and mazes: most of them of the Buzsaki lab, whose converters share one layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from made_rodent_parts import add_electrodes, add_trials, add_units, intervals, made, module, new, published, series, silence_is_data, ticks_of, voltage, write
from making import Made, MadeSession, making
from pynwb import NWBFile
from pynwb.behavior import CompassDirection, Position, SpatialSeries

RAT, MOUSE = "Rattus norvegicus", "Mus musculus"
#: A file of the two-file form beside the units' file: raw voltage, no units.
_N_RAW, _RAW_HZ = 600, 20.0


def one(folder: Path, path: str, nwb: NWBFile, trains: list[np.ndarray], columns: dict[str, list[Any]] | None = None, **known: Any) -> Made:
    """Add the units, write the file, and say what must be read of it."""
    times = add_units(nwb, trains, columns or {})
    write(nwb, folder, path)
    stem = Path(path).stem
    known = {"observed": silence_is_data(trains), "subject_id": nwb.subject.subject_id} | known
    return Made({stem: made(trains, **known)}, {(Path(path).parent.name, stem): published(times)})


def both(*parts: Made) -> Made:
    """Several sessions of one dataset."""
    sessions: dict[str, MadeSession] = {}
    rows: dict[tuple[str, str], np.ndarray] = {}
    for part in parts:
        sessions |= part.sessions
        rows |= part.upstream
    return Made(sessions, rows)


def without_units(folder: Path, path: str, subject: str, species: str = MOUSE) -> None:
    """A file of raw voltage only."""
    nwb = new(subject, species)
    nwb.add_acquisition(voltage(nwb, "ElectricalSeries", _N_RAW, _RAW_HZ))
    write(nwb, folder, path)


def position(name: str, n: int, width: int = 2) -> SpatialSeries:
    """Where the animal was."""
    return SpatialSeries(name=name, data=np.arange(n * width, dtype=float).reshape(n, width), reference_frame="maze", unit="m", starting_time=0.0, rate=30.0)


def states(name: str, *labels: str) -> Any:
    """Sleep states, one after another."""
    return intervals(name, 5.0 * np.arange(len(labels)), 5.0, label=list(labels))


@making("petersen")
def petersen(folder: Path) -> Made:
    stem = "sub-MS22/sub-MS22_ses-Peter-MS22-180629-110319-concat"
    nwb = new("MS22", RAT)
    add_electrodes(nwb, ["shank0", "shank1"], ["CA1", "CA1", "CA3", "unknown"], theta_reference=[False, True, False, False])
    add_trials(
        nwb,
        [3.0, 9.0, 15.0],
        4.0,
        condition=["left", "right", "left"],
        error=[False, True, False],
        cooling_state=["Cooling off", "Cooling on", "Cooling on"],
        temperature=[36.5, 31.0, 30.5],
    )
    module(nwb, "behavior", series("SubjectSpeed", 300), series("Temperature", 300, "C"))
    columns = {
        "quality": ["good", "mua", "noise", "good", "noise"],
        "amplitudes": [[1.0, 2.0]] * 5,
        "electrodes": [[0], [1], [2], [3], [2, 3]],
    }
    without_units(folder, f"{stem}_desc-raw_ecephys.nwb", "MS22", RAT)
    return one(folder, f"{stem}_desc-processed_behavior+ecephys.nwb", nwb, ticks_of(59, 5, 1.5, 31.0), columns, regions=["CA1", "CA1", "CA3", None, "CA3"])


@making("huszar")
def huszar(folder: Path) -> Made:
    nwb = new("e15-13f1")
    nwb.add_epoch(0.0, 12.0, tags=["homecage"])
    nwb.add_epoch(12.0, 33.0, tags=["maze"])
    add_trials(
        nwb,
        [12.5, 18.0],
        4.0,
        visited_arm=["left", "right"],
        expected_arm=["left", "left"],
        visited_matched_expected=[True, False],
        is_familiar_maze=[True, True],
    )
    module(nwb, "behavior", states("SleepStates", "WAKE", "NREM", "REM"), Position(spatial_series=position("SpatialSeries", 90), name="SubjectPosition"))
    module(nwb, "ecephys", intervals("Ripples", [2.0, 7.5], 0.05, peak_time=[2.02, 7.52]))
    awake = new("e15-13f1")
    module(awake, "behavior", states("SleepStates", "WAKE"))
    write(awake, folder, "sub-e15-13f1/sub-e15-13f1_ses-e15-13f1-220120_behavior.nwb")
    columns = {"clu_id": [2, 3, 9], "group_id": [1, 1, 4], "unit_name": ["2_1", "3_1", "9_4"]}
    return one(folder, "sub-e15-13f1/sub-e15-13f1_ses-e15-13f1-220117_behavior+ecephys.nwb", nwb, ticks_of(552, 3, 0.75, 33.0), columns)


@making("peyrache")
def peyrache(folder: Path) -> Made:
    nwb = new("Mouse12")
    add_electrodes(nwb, ["shank1", "shank2"], ["thalamus, antero-dorsal", "post-subiculum"], shank_electrode_number=[0, 1])
    eyes = Position(spatial_series=[position("BlueLED", 60), position("RedLED", 60)], name="SubjectPosition")
    module(nwb, "behavior", states("states", "Wake", "SWS", "REM", "Wake"), eyes)
    return one(folder, "sub-Mouse12/sub-Mouse12_ses-Mouse12-120806_behavior+ecephys.nwb", nwb, ticks_of(56, 4, 2.0, 41.0, silent=(3,)))


@making("prince")
def prince(folder: Path) -> Made:
    nwb = new("S25")
    groups = add_electrodes(nwb, ["shank0", "shank1"], ["CA1", "CA1", "CA1", "PFC"])
    nwb.add_acquisition(voltage(nwb, "ElectricalSeries", 1000, 25.0))
    add_trials(
        nwb,
        [1.0, 8.0, 15.0],
        6.0,
        maze_id=[3, 3, 4],
        turn_type=[1, 2, 1],
        update_type=[1, 2, 3],
        choice=[1, 2, 2],
        correct=[1, 1, 0],
        t_update=[2.5, 9.0, np.nan],
    )
    nwb.add_time_intervals(intervals("behavior_epochs", [0.0, 20.0], 20.0, tag=["VR", "open"]))
    module(nwb, "behavior", Position(spatial_series=position("position", 120), name="position"), series("view_angle", 120, "rad"))
    module(nwb, "ecephys", intervals("ripples", [3.0], 0.1))
    columns = {
        "region": ["CA1", "CA1", "PFC"],
        "cell_type": ["Pyramidal Cell", "Narrow Interneuron", "Pyramidal Cell"],
        "cell_explorer_label": ["good", "bad", "good"],
        "quality": ["good", "mua", "noise"],
        "KSLabel": ["good", "good", "mua"],
        "main_channel": [0, 1, 3],
        "electrode_group": [groups["shank0"], groups["shank0"], groups["shank1"]],
    }
    known = {"regions": ["CA1", "CA1", "PFC"], "observed": np.array([[0.0, 40.0]])}
    return one(folder, "sub-S25/sub-S25_ses-210913_behavior+ecephys.nwb", nwb, ticks_of(1371, 3, 0.5, 39.5), columns, **known)


@making("senzai")
def senzai(folder: Path) -> Made:
    nwb = new("YMV01")
    add_electrodes(nwb, ["shank0"], ["primary visual cortex"] * 3, rel_x=[0.0, 10.0, 0.0], rel_y=[0.0, 20.0, 40.0])
    nwb.add_acquisition(voltage(nwb, "ElectricalSeries", 1200, 40.0, start=0.5))
    module(nwb, "behavior", states("sleep_states", "WAKE", "NREM"), intervals("up_down_states", [6.0, 7.0], 0.5, label=["U", "D"]))
    columns = {
        "cell_type": ["excitatory", "inhibitory", "excitatory"],
        "brain_region": ["V1 L4", "V1 L5", "V1 L6"],
        "quality": ["good", "good", "good"],
        "max_channel": [0, 1, 2],
        "polarity": [1.0, 0.9, np.nan],
    }
    known = {"regions": columns["brain_region"], "observed": np.array([[0.5, 30.5]])}
    return one(folder, "sub-YMV01/sub-YMV01_ses-YMV01-170818_behavior+ecephys.nwb", nwb, ticks_of(166, 3, 1.0, 30.0), columns, **known)


@making("grosmark")
def grosmark(folder: Path) -> Made:
    nwb = new("Achilles", RAT)
    add_electrodes(nwb, ["shank1"], ["CA1", "CA1"], bad_electrode=[False, True])
    nwb.add_epoch_column("label", "which part of the day")
    for i, label in enumerate(("PREEpoch", "MazeEpoch", "POSTEpoch")):
        nwb.add_epoch(start_time=12.0 * i, stop_time=12.0 * (i + 1), label=label)
    module(nwb, "behavior", states("states", "Wake", "NREM", "REM"), Position(spatial_series=position("SpatialSeries", 60), name="SubjectPosition"))
    columns = {"cell_type": ["excitatory", "inhibitory", "excitatory"], "location": ["CA1", "CA1", "CA1"], "shank_id": [1, 1, 2]}
    path = "sub-Achilles/sub-Achilles_ses-Achilles-10252013_behavior+ecephys.nwb"
    return one(folder, path, nwb, ticks_of(44, 3, 0.0, 36.0, silent=(1,)), columns, regions=["CA1"] * 3)


@making("mehrotra")
def mehrotra(folder: Path) -> Made:
    nwb = new("B2900")
    groups = add_electrodes(nwb, ["shank0", "shank1"], ["rsc", "rsc"])
    for name, starts in (("UP", [1.0, 2.0, 3.0]), ("DOWN", [1.5, 2.5]), ("SWS", [0.5]), ("position_time_support", [20.0])):
        nwb.add_time_intervals(intervals(name, starts, 0.4))
    nwb.add_epoch(0.0, 20.0, tags=["sleep"])
    nwb.add_epoch(20.0, 28.0, tags=["wake"])
    nwb.add_acquisition(Position(spatial_series=position("position", 80), name="Position"))
    nwb.add_acquisition(
        CompassDirection(
            spatial_series=SpatialSeries(name="head-direction", data=np.arange(80.0), reference_frame="arena", unit="rad", starting_time=0.0, rate=30.0)
        )
    )
    columns = {"location": ["rsc"] * 4, "group": [0, 0, 1, 1], "electrode_group": [groups["shank0"], groups["shank0"], groups["shank1"], groups["shank1"]]}
    return one(folder, "sub-B2900/sub-B2900_ses-210604_behavior+ecephys.nwb", nwb, ticks_of(987, 4, 0.2, 28.0), columns, regions=["rsc"] * 4)


@making("fujisawa")
def fujisawa(folder: Path) -> Made:
    parts = []
    for i, day in enumerate(("042", "049")):
        nwb = new("EE", RAT)
        add_trials(nwb, [2.0, 9.0], 5.0, left_or_right=["left", "right"], reward_time=[6.0, 13.0])
        module(nwb, "behavior", Position(spatial_series=[position("LED0", 60), position("LED1", 60)], name="Position"))
        stem = f"sub-EE/sub-EE_ses-EE-{day}"
        without_units(folder, f"{stem}_ecephys.nwb", "EE", RAT)
        recording = f"fujisawa/sub-EE_ses-EE-{day}"
        parts.append(one(folder, f"{stem}_behavior+ecephys.nwb", nwb, ticks_of(67 + i, 3, 1.0 + i, 25.0, silent=(2,) if i else ()), recording_id=recording))
    return both(*parts)
