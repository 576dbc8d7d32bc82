"""The Allen Institute's datasets: session files with units on peak channels, presentations and tagged invalid times, LFP files beside them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from made_rodent_parts import add_electrodes, add_trials, add_units, intervals, made, module, new, published, series, silence_is_data, ticks_of, voltage, write
from making import Made, MadeSession, making

PROBES = ("probeA", "probeB", "probeC")
#: An area a site, three sites a probe; the empty one is out of the brain, as the owner writes it.
AREAS = ("VISp5", "VISp", "CA1", "VISl", "grey", "", "LGd", "LP", "APN")
CHANNELS = tuple(850_100_000 + 7 * i for i in range(len(AREAS)))
PEAKS = (8, 0, 4, 5, 0, 2, 6)
_NO_AREA = "to be emptied, which pynwb would not write"


@dataclass(frozen=True)
class Session:
    """One session file to be made."""

    path: str
    subject: str
    presentations: tuple[str, ...]
    recording: str
    invalid: tuple[tuple[float, float, list[str]], ...] = ()
    opto: bool = False
    behaviour: bool = False
    layers: bool = False
    silent: tuple[int, ...] = ()
    burst: bool = False


def session(folder: Path, what: Session, seed: int) -> tuple[MadeSession, np.ndarray]:
    """Write one session file; what must be read of it, and what the published scripts make of it."""
    nwb = new(what.subject, identifier=what.recording)
    trains = ticks_of(seed, len(PEAKS), 12.34, 47.5, silent=what.silent)
    if what.burst:  # more than a byte holds in one bin
        trains[1] = np.sort(np.r_[trains[1], 2_000_000 + np.arange(300)])
    ids = [950_900_000 + 11 * i for i in range(len(PEAKS))]
    _electrodes(nwb)
    times = add_units(nwb, trains, _columns(what.layers), ids)
    for i, name in enumerate(what.presentations):
        blocks = [float(i)] * 4
        words = ["natural_scenes", "null", "N/A", ""]
        nwb.add_time_intervals(
            intervals(
                name,
                15 + 5 * i + 0.25 * np.arange(4),
                0.25,
                stimulus_name=[name.removesuffix("_presentations")] * 4,
                stimulus_block=blocks,
                orientation=[0.0, 45.0, 90.0, np.nan],
                color=words,
            )
        )
    for start, stop, tags in what.invalid:
        nwb.add_invalid_time_interval(start_time=start, stop_time=stop, tags=tags)
    module(nwb, "running", series("speed" if what.behaviour else "running_speed", 400))
    if what.opto:
        module(nwb, "optotagging", intervals("optogenetic_stimulation", [40.0, 41.0], 0.01, level=[1.5, 2.0], condition=["fast", "slow"]))
    if what.behaviour:
        add_trials(nwb, [13.0, 20.0], 5.0, go=[True, False], catch=[False, True], hit=[True, False], change_time=[14.0, np.nan], auto_rewarded=[False, False])
    _as_the_owner_types_them(write(nwb, folder, what.path))
    shared = [(a, b) for a, b, tags in what.invalid if "all_probes" in tags]
    per_probe = any(set(tags) & set(PROBES) for _, _, tags in what.invalid)
    observed = None if per_probe else silence_is_data(trains, *shared)
    regions = [AREAS[p] or None for p in PEAKS]
    known: dict[str, Any] = {"subject_id": what.subject, "recording_id": f"allen/{what.recording}", "regions": regions, "observed": observed}
    return made(trains, ids, **known), published(times)


def _electrodes(nwb: Any) -> None:
    n = len(AREAS)
    heights = [20 + 40 * (i % 3) for i in range(n)]
    columns = {
        "probe_vertical_position": heights,
        "probe_horizontal_position": [43] * n,
        "probe_id": [810_755_797 + i // 3 for i in range(n)],
        "local_index": list(range(n)),
        "valid_data": [True] * n,
    }
    add_electrodes(nwb, PROBES, [a or _NO_AREA for a in AREAS], CHANNELS, x=[8000.0] * n, y=[1000.0] * n, z=[-1.0] * n, **columns)


def _columns(layers: bool) -> dict[str, list[Any]]:
    n = len(PEAKS)
    columns: dict[str, list[Any]] = {
        "peak_channel_id": [CHANNELS[p] for p in PEAKS],
        "cluster_id": list(range(n)),
        "local_index": list(range(n)),
        "quality": ["good", "good", "noise", "good", "good", "noise", "good"],
        "presence_ratio": [0.99, 0.5, 0.99, np.nan, 0.99, 0.1, 0.97],
        "isi_violations": [0.1, 3.2, 0.1, np.nan, 0.1, 0.1, 0.4],
        "amplitude_cutoff": [0.01, 0.5, 0.01, np.nan, 0.01, 0.5, 0.1],
        "spike_amplitudes": [[1e-4, 2e-4]] * n,
        "waveform_mean": [np.zeros((4, 3))] * n,
    }
    return columns | ({"structure_layer": ["APN", "VISp5", "VISl", "", "VISp5", "CA1", "LGd"], "isi_label": ["good"] * n} if layers else {})


def _as_the_owner_types_them(file: Path) -> None:
    """The owner's own type of electrode groups, which is none of NWB's core; and no area where there is none."""
    with h5py.File(file, "r+") as f:
        locations = f["general/extracellular_ephys/electrodes/location"]
        locations[:] = ["" if v == _NO_AREA else v for v in locations.asstr()[:]]
        for probe in PROBES:
            attributes = f[f"general/extracellular_ephys/{probe}"].attrs
            attributes["neurodata_type"], attributes["namespace"] = "EcephysElectrodeGroup", "ndx-aibs-ecephys"


def lfp(folder: Path, path: str, subject: str) -> None:
    """A probe's LFP file, which has no units."""
    nwb = new(subject)
    _electrodes(nwb)
    nwb.add_acquisition(voltage(nwb, "probe_810755797_lfp_data", 200, 1250.0))
    write(nwb, folder, path)


def dandiset(folder: Path, sessions: list[tuple[str, str, str, dict[str, Any]]], presentations: tuple[str, ...], suffix: str = "", **common: Any) -> Made:
    """Sessions (subject, session number, kind of what is invalid, more) in DANDI's tree, an LFP file a session beside them."""
    found: dict[str, MadeSession] = {}
    rows: dict[tuple[str, str], np.ndarray] = {}
    for seed, (subject, number, bad, more) in enumerate(sessions):
        stem = f"sub-{subject}_ses-{number}{suffix}"
        what = Session(f"sub-{subject}/{stem}.nwb", subject, presentations, number, INVALID[bad], **common, **more)
        found[stem], rows[f"sub-{subject}", stem] = session(folder, what, seed + int(number) % 1000)
        lfp(folder, f"sub-{subject}/sub-{subject}_ses-{number}_probe-81075579{seed}_ecephys.nwb", subject)
    return Made(found, rows)


#: What the owner's tags name: every probe, something shown, a probe that failed and is not in the file; or one probe.
INVALID: dict[str, tuple[tuple[float, float, list[str]], ...]] = {
    "": (),
    "all": ((20.5, 21.25, ["all_probes"]), (30.0, 31.0, ["stimulus"]), (33.0, 34.0, ["EcephysProbe", "733744653", "probeF"])),
    "one": ((22.0, 23.5, ["EcephysProbe", "729445654", "probeB"]), (30.0, 31.0, ["stimulus", "natural_movie_one_presentations"])),
}
CODING = (
    "drifting_gratings_presentations",
    "static_gratings_presentations",
    "natural_scenes_presentations",
    "flashes_presentations",
    "spontaneous_presentations",
)


@making("vcn")
def vcn(folder: Path) -> Made:
    return dandiset(folder, [("699733573", "715093703", "all", {}), ("703279284", "719161530", "one", {})], CODING)


@making("vcn-2")
def vcn_2(folder: Path) -> Made:
    tables = (
        "dot_motion_presentations",
        "drifting_gratings_75_repeats_presentations",
        "natural_movie_one_more_repeats_presentations",
        "spontaneous_presentations",
    )
    return dandiset(folder, [("718643567", "766640955", "", {"silent": (2,)})], tables)


@making("shield")
def shield(folder: Path) -> Made:
    tables = ("dynamic_routing_image_set_presentations", "flash_250ms_presentations", "gabor_20_deg_250ms_presentations", "spontaneous_presentations")
    return dandiset(folder, [("607660", "1183070926", "all", {})], tables, layers=True, behaviour=True)


@making("v2h")
def v2h(folder: Path) -> Made:
    tables = ("SAC_Wd15_Vel2_Bndry1_Cntst0_loop_presentations", "receptive_field_block_presentations", "spontaneous_presentations")
    return dandiset(folder, [("692991", "1298465622", "all", {})], tables)


@making("oddball")
def oddball(folder: Path) -> Made:
    tables = ("init_grating_presentations", "create_receptive_field_mapping_presentations", "spontaneous_presentations")
    return dandiset(folder, [("620333", "1182865981", "one", {})], tables, "_ogen", opto=True)


@making("illusion")
def illusion(folder: Path) -> Made:
    tables = ("ICkcfg0_presentations", "ICwcfg1_presentations", "RFCI_presentations", "sizeCI_presentations", "spontaneous_presentations")
    return dandiset(folder, [("619293", "1171903433", "all", {})], tables, "_ogen", opto=True)


@making("vbn")
def vbn(folder: Path) -> Made:
    base = "visual-behavior-neuropixels/behavior_ecephys_sessions"
    tables = (
        "Natural_Images_Lum_Matched_set_ophys_G_2019_presentations",
        "flash_250ms_presentations",
        "gabor_20_deg_250ms_presentations",
        "spontaneous_presentations",
    )
    found: dict[str, MadeSession] = {}
    rows: dict[tuple[str, str], np.ndarray] = {}
    for number, mouse, bad in (("1043752325", "506940", "all"), ("1044385384", "524761", "one")):
        name = f"ecephys_session_{number}"
        what = Session(f"{base}/{number}/{name}.nwb", mouse, tables, number, INVALID[bad], behaviour=True, burst=bad == "all")
        found[name], rows["data", name] = session(folder, what, int(number) % 997)
        lfp(folder, f"{base}/{number}/probe_probeA_lfp.nwb", mouse)
    _write_manifest(folder)
    return Made(found, rows)


def _write_manifest(folder: Path) -> None:
    """The owner's manifest: where each file is, and its BLAKE2b."""
    host = "https://visual-behavior-neuropixels-data.s3.us-west-2.amazonaws.com"
    files = sorted(folder.rglob("*.nwb"))
    named = {
        str(i): {"url": f"{host}/{p.relative_to(folder).as_posix()}", "file_hash": hashlib.blake2b(p.read_bytes()).hexdigest()} for i, p in enumerate(files)
    }
    path = folder / "visual-behavior-neuropixels/manifests/visual-behavior-neuropixels_project_manifest_v0.5.0.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"project_name": "visual-behavior-neuropixels", "manifest_version": "0.5.0", "metadata_files": {}, "data_files": named}))
