"""Made sessions in the layouts of the Allen Institute's two Neuropixels datasets, with the files of their probes' LFP: its columns, types and odd spellings."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from allen_stimuli import behaved, watched
from allen_types import extension
from hdmf.common import DynamicTable, VectorData
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.ecephys import LFP
from pynwb.epoch import TimeIntervals
from pynwb.image import ImageSeries

SESSION = 715093703
PROBES = {"probeA": 810755797, "probeB": 810755799}
#: Areas from the tip upwards, the same on both probes; the last two lie out of the brain.
AREAS = ("APN", "APN", "LP", "LP", "CA1", "CA1", "grey", "VISp5", "VISp5", "VISp", "", "")
CHANNELS_A_PROBE = len(AREAS)
SAMPLES = 82
DURATION_S = 130.0
#: Each probe's own rate, which is not the nominal one.
LFP_HZ = {"probeA": 1249.998617, "probeB": 1250.001213}
INVALID = [
    (30.0, 31.5, ["EcephysSession", str(SESSION), "all_probes"]),
    (60.0, 62.0, ["EcephysProbe", "810755799", "probeB"]),
    (12.1, 12.3, ["EcephysSession", str(SESSION), "stimulus"]),
]


def channel_id(probe: str, place: int) -> int:
    """Ids are large, in no order that rows have."""
    return 850_100_000 + 1000 * list(PROBES).index(probe) + 7 * ((place * 5) % CHANNELS_A_PROBE)


def coding(path: Path, *, stimuli: str = "brain_observatory_1.1", eye: bool = True, opto: bool = True, seed: int = 0) -> Path:
    """A session of mice that watch: `stimuli` is one of the two sets, "brain_observatory_1.1" or "functional_connectivity"."""
    rng = np.random.default_rng(seed)
    nwb = _new(str(SESSION), stimuli)
    _probes(nwb, "local_index")
    _units(nwb, rng, "L_ratio")
    _stimuli(nwb, watched(stimuli, rng))
    running = nwb.create_processing_module("running", "running speed data")
    start = 0.5 + np.cumsum(rng.uniform(0.015, 0.02, 6000))
    speed = TimeSeries(name="running_speed", data=rng.normal(5, 3, 6000), timestamps=start, unit="cm/s")
    running.add(speed)
    running.add(TimeSeries(name="running_speed_end_times", data=np.full(6000, np.nan), timestamps=start + 0.014, unit="cm/s"))
    running.add(TimeSeries(name="running_wheel_rotation", data=rng.normal(size=6000), timestamps=speed, unit="radians"))
    raw = TimeSeries(name="raw_running_wheel_rotation", data=rng.normal(size=50), timestamps=np.linspace(0, 1, 50), unit="radians")
    nwb.add_acquisition(raw)
    nwb.add_acquisition(TimeSeries(name="running_wheel_signal_voltage", data=rng.uniform(0, 5, 50), timestamps=raw, unit="V"))
    if eye:
        _eye_tables(nwb, rng)
    if opto:
        _optotagging(nwb)
    return _written(nwb, path)


def behaving(path: Path, *, eye: bool = True, seed: int = 1) -> Path:
    """A session of mice that lick when an image changes."""
    rng = np.random.default_rng(seed)
    nwb = _new("1043752325", "EPHYS_1_images_G_5uL_reward")
    _probes(nwb, "probe_channel_number")
    _units(nwb, rng, "l_ratio")
    shown = behaved(rng)
    _stimuli(nwb, shown)
    running = nwb.create_processing_module("running", "running")
    when = 0.5 + np.arange(6000) / 60.1
    running.add(TimeSeries(name="speed", data=rng.normal(5, 3, 6000), timestamps=when, unit="cm/s"))
    running.add(TimeSeries(name="speed_unfiltered", data=rng.normal(5, 3, 6000), timestamps=when, unit="cm/s"))
    running.add(TimeSeries(name="dx", data=rng.normal(size=6000), timestamps=when, unit="cm"))
    licking = nwb.create_processing_module("licking", "licking")
    licking.add(TimeSeries(name="licks", data=np.array([70, 75, 200]), timestamps=[11.2, 11.3, 33.3], unit="N/A"))
    rewards = nwb.create_processing_module("rewards", "rewards")
    volume = TimeSeries(name="volume", data=[0.005, 0.007], timestamps=[11.25, 33.35], unit="mL")
    rewards.add(volume)
    rewards.add(TimeSeries(name="autorewarded", data=[True, False], timestamps=volume, unit="mL"))
    _trials(nwb)
    images = rng.integers(0, 255, (2, 12, 19), np.uint8)
    more = {"control": np.arange(2, dtype=np.uint8), "control_description": ["im104_r", "im024_r"], "timestamps": np.full(2, np.nan)}
    nwb.add_stimulus_template(ImageSeries(name="Natural_Images_Lum_Matched_set_ophys_G_2019", data=images, unit="NA", format="raw", **more))
    if eye:
        _eye_series(nwb, rng)
    _optotagging(nwb)
    return _written(nwb, path)


def lfp(path: Path, probe: str = "probeA", *, csd: bool = True, gap: bool = True, seed: int = 2) -> Path:
    """The file of one probe's LFP: every fourth channel, in volts, on the probe's own clock, with its current source density."""
    rng = np.random.default_rng(seed)
    nwb = NWBFile("LFP data and associated info for one probe", str(PROBES[probe]), datetime(2019, 1, 19, tzinfo=UTC), session_id=str(SESSION))
    _probes(nwb, "local_index", only=probe, every=4)
    n = 50_000
    times = 5.0 + np.arange(n) / LFP_HZ[probe]
    if gap:
        times[n // 2 :] += 1.0
    container = LFP(name=f"probe_{PROBES[probe]}_lfp")
    region = nwb.create_electrode_table_region(list(range(len(nwb.electrodes))), "lfp channels")
    data = (rng.normal(size=(n, len(nwb.electrodes))) * 1e-4).astype(np.float32)
    nwb.add_acquisition(container.create_electrical_series(name=f"probe_{PROBES[probe]}_lfp_data", data=data, timestamps=times, electrodes=region))
    nwb.add_acquisition(container)
    if csd:
        module = nwb.create_processing_module("current_source_density", "Precalculated current source density")
        places = np.arange(7) * 10.0
        density = TimeSeries(name="current_source_density", data=rng.normal(size=(40, 7)), timestamps=np.linspace(-0.1, 0.3, 40), unit="V/cm^2")
        kind = extension()["EcephysCSD"]
        names = {f"virtual_electrode_{a}_positions": (np.full(7, 43.0) if a == "x" else places).astype(np.float32) for a in "xy"}
        units = {f"virtual_electrode_{a}_positions__unit": "um" for a in "xy"}
        module.add(kind(name="ecephys_csd", time_series=density, **names, **units))
    return _written(nwb, path)


def _new(identifier: str, stimuli: str) -> NWBFile:
    nwb = NWBFile(
        "Data and metadata for an Ecephys session",
        identifier,
        datetime(2019, 1, 19, tzinfo=UTC),
        session_id=identifier,
        institution="Allen Institute",
        stimulus_notes=stimuli,
    )
    kind = extension()["EcephysSpecimen"]
    subject = {"subject_id": "699733581", "species": "Mus musculus", "sex": "M", "age": "P118D", "genotype": "Sst-IRES-Cre/wt;Ai32/wt", "strain": "Transgenic"}
    nwb.subject = kind(specimen_name="Sst-IRES-Cre;Ai32-387858", age_in_days=118.0, **subject)
    for start, stop, tags in INVALID:
        nwb.add_invalid_time_interval(start_time=start, stop_time=stop, tags=tags)
    return nwb


def _probes(nwb: NWBFile, place_column: str, only: str | None = None, every: int = 1) -> None:
    types = extension()
    for name in ("probe_vertical_position", "probe_horizontal_position", "probe_id", place_column, "valid_data"):
        nwb.add_electrode_column(name, name)
    for probe, i in PROBES.items():
        if only not in (None, probe):
            continue
        device = types["EcephysProbe"](name=probe, description="Neuropixels 1.0 Probe", probe_id=i, sampling_rate=29999.967)
        nwb.add_device(device)
        more = {"probe_id": i, "has_lfp_data": probe == "probeA", "lfp_sampling_rate": LFP_HZ[probe]}
        group = types["EcephysElectrodeGroup"](name=probe, description="group", location="See electrode locations", device=device, **more)
        nwb.add_electrode_group(group)
        for place in range(0, CHANNELS_A_PROBE, every):
            known = probe == "probeA"  # the other was not found in the atlas
            nwb.add_electrode(
                id=channel_id(probe, place),
                x=8000.0 + place if known else -1.0,
                y=3000.0 - 20 * place if known else -1.0,
                z=7500.0 if known else -1.0,
                imp=np.nan,
                filtering="unknown",
                location=AREAS[place] or "to be emptied",
                group=group,
                probe_vertical_position=20 * (place // 2 + 1),
                probe_horizontal_position=(43, 11)[place % 2],
                probe_id=i,
                valid_data=place != 1,
                **{place_column: place},
            )


#: Of each unit its probe, the place of its peak channel, its verdict and its metrics.
UNITS = (
    ("probeA", 9, "good", 0.99, 0.01, 0.02),
    ("probeA", 7, "good", 0.95, 0.5, 0.1),
    ("probeB", 4, "good", 0.91, 0.1, 0.05),
    ("probeA", 10, "good", 0.99, 0.1, 0.01),
    ("probeB", 2, "noise", 0.99, 0.1, 0.01),
    ("probeB", 8, "good", np.nan, 0.1, 0.01),
    ("probeA", 1, "good", 0.99, 1.7, 0.5),
)


def _units(nwb: NWBFile, rng: np.random.Generator, l_ratio: str) -> None:
    n = len(UNITS)
    ids = [950_911_000 + 13 * i for i in range(n)]
    columns = {
        "peak_channel_id": [channel_id(p, place) for p, place, *_ in UNITS],
        "cluster_id": list(range(n)),
        "local_index": list(range(n)),
        "quality": [u[2] for u in UNITS],
        "presence_ratio": [u[3] for u in UNITS],
        "isi_violations": [u[4] for u in UNITS],
        "amplitude_cutoff": [u[5] for u in UNITS],
        **{m: rng.uniform(0, 1, n).tolist() for m in ("firing_rate", "snr", "d_prime", "isolation_distance", l_ratio, "nn_hit_rate", "PT_ratio", "spread")},
    }
    for name in columns:
        nwb.add_unit_column(name, name)
    for i in range(n):
        nwb.add_unit(id=ids[i], **{name: values[i] for name, values in columns.items()})
    trains = [np.sort(rng.uniform(1.0, DURATION_S, int(rng.integers(300, 900)))) for _ in range(n)]
    _ragged(nwb.units, "spike_times", trains)
    _ragged(nwb.units, "spike_amplitudes", [rng.uniform(1e-5, 2e-4, len(t)) for t in trains])
    _ragged(nwb.units, "waveform_mean", [rng.normal(size=(CHANNELS_A_PROBE, SAMPLES)) for _ in range(n)])


def _ragged(table: Any, name: str, values: list[np.ndarray]) -> None:
    with warnings.catch_warnings():  # the standard has other ideas of some of these columns
        warnings.simplefilter("ignore", UserWarning)
        table.add_column(name=name, description=name, data=np.concatenate(values), index=np.cumsum([len(v) for v in values]).tolist())


def _stimuli(nwb: NWBFile, shown: pd.DataFrame) -> None:
    """A table a stimulus, as the owner writes them: columns of nothing dropped, holes among texts called N/A."""
    times = shown["start_time"].to_numpy()
    series = TimeSeries(name="timestamps", data=times, timestamps=times, unit="s")
    nwb.create_processing_module("stimulus", "Stimulus Times processing").add(series)
    for name, rows in shown.groupby("stimulus_name", sort=True):
        rows = rows.dropna(axis=1, how="all")
        columns = {c: rows[c].to_numpy() for c in rows if c not in ("start_time", "stop_time")}
        mixed = {c: ["N/A" if pd.isna(v) else str(v) for v in values] for c, values in columns.items() if any(isinstance(v, str) for v in values)}
        table = TimeIntervals(name=f"{name}_presentations", description="shown")
        for c in columns:
            table.add_column(c, c)
        for i, (start, stop) in enumerate(zip(rows["start_time"], rows["stop_time"], strict=True)):
            own = {c: (mixed[c][i] if c in mixed else values[i]) for c, values in columns.items()}
            table.add_interval(start_time=start, stop_time=stop, tags=["stimulus_time_interval"], timeseries=[series], **own)
        nwb.add_time_intervals(table)


def _trials(nwb: NWBFile) -> None:
    rows = {
        "go": [True, False, True, False, False],
        "catch": [False, True, False, False, False],
        "hit": [True, False, False, False, True],
        "miss": [False, False, True, False, False],
        "false_alarm": [False, True, False, False, False],
        "correct_reject": [False, False, False, False, False],
        "aborted": [False, False, False, True, False],
        "auto_rewarded": [False, False, False, False, True],
        "initial_image_name": ["im104_r"] * 5,
        "change_image_name": ["im024_r", "im104_r", "im024_r", "", "im024_r"],
        "change_time_no_display_delay": [11.0, 15.0, 20.0, np.nan, 33.0],
        "response_time": [11.2, 15.3, np.nan, np.nan, 33.3],
        "reward_time": [11.25, np.nan, np.nan, np.nan, 33.35],
        "reward_volume": [0.005, 0.0, 0.0, 0.0, 0.007],
    }
    for name in rows:
        nwb.add_trial_column(name, name)
    nwb.add_trial_column("lick_times", "lick_times", index=True)
    licks = ([11.2, 11.3], [15.3], [], [25.0], [33.3])
    for i, start in enumerate((10.0, 14.0, 18.0, 24.0, 32.0)):
        nwb.add_trial(start_time=start, stop_time=start + 3, lick_times=list(licks[i]), **{name: values[i] for name, values in rows.items()})


def _optotagging(nwb: NWBFile) -> None:
    rows = pd.DataFrame(
        {"start_time": [126.0, 127.0, 128.0], "duration": [0.005, 0.01, 1.0], "condition": ["a single square pulse"] * 2 + ["half-period of a cosine wave"]}
    )
    module = nwb.create_processing_module("optotagging", "optogenetic stimulation data")
    series = TimeSeries(name="optotagging", data=rows["duration"].to_numpy(), timestamps=rows["start_time"].to_numpy(), unit="seconds")
    module.add(series)
    table = TimeIntervals(name="optogenetic_stimulation", description="pulses of light")
    for name in ("condition", "level", "stimulus_name", "duration"):
        table.add_column(name, name)
    for i, row in rows.iterrows():
        more = {
            "condition": row["condition"],
            "level": (1.5, 2.0, 2.5)[i],
            "stimulus_name": ("fast_pulses", "pulse", "raised_cosine")[i],
            "duration": row["duration"],
        }
        table.add_interval(
            start_time=row["start_time"], stop_time=row["start_time"] + row["duration"], tags=["optical_stimulation"], timeseries=[series], **more
        )
    module.add(table)


def _ellipses(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    found = {"center_x": rng.uniform(200, 300, n), "center_y": rng.uniform(100, 200, n), "height": rng.uniform(20, 40, n)}
    found |= {"phi": rng.uniform(-1, 1, n), "width": rng.uniform(20, 40, n)}
    found["width"][3] = np.nan  # a blink
    return found


def _eye_tables(nwb: NWBFile, rng: np.random.Generator, n: int = 900) -> None:
    times = 2.0 + np.cumsum(rng.uniform(0.03, 0.035, n))
    module = nwb.create_processing_module("eye_tracking", "Eye tracking processing module")
    for name in ("pupil_ellipse_fits", "cr_ellipse_fits", "eye_ellipse_fits"):
        columns = {**_ellipses(rng, n), "timestamps": times}
        module.add(DynamicTable(name=name, description="fits", columns=[VectorData(name=c, description=c, data=v) for c, v in columns.items()]))
    module = nwb.create_processing_module("eye_tracking_rig_metadata", "Eye tracking rig metadata module")
    stood = {
        "monitor_position": [118.6, 86.2, 31.6],
        "monitor_rotation": [0.0, 0.0, 0.0],
        "camera_position": [102.8, 74.7, 31.6],
        "camera_rotation": [0.0, 0.0, 2.8],
    }
    units = {f"{n}__unit": "deg" if n.endswith("rotation") else "mm" for n in stood}
    places = {n: np.float32(v) for n, v in stood.items()}
    module.add(extension()["EcephysEyeTrackingRigMetadata"](name="eye_tracking_rig_metadata", equipment="NP.1", **places, **units))
    for kind in ("raw", "filtered"):
        module = nwb.create_processing_module(f"{kind}_gaze_mapping", "Gaze mapping")
        module.add(TimeSeries(name="pupil_area", data=rng.uniform(1e3, 2e3, n), timestamps=times, unit="Pixels ^ 2"))
        module.add(TimeSeries(name="eye_area", data=rng.uniform(1e4, 2e4, n), timestamps=times, unit="Pixels ^ 2"))
        module.add(TimeSeries(name="screen_coordinates", data=rng.normal(size=(n, 2)), timestamps=times, unit="Centimeters"))
        module.add(TimeSeries(name="screen_coordinates_spherical", data=rng.normal(size=(n, 2)), timestamps=times, unit="Degrees"))


def _eye_series(nwb: NWBFile, rng: np.random.Generator, n: int = 900) -> None:
    types = extension()
    times = 2.0 + np.arange(n) / 60.0
    made: dict[str, Any] = {}
    for name in ("eye_tracking", "pupil_tracking", "corneal_reflection_tracking"):
        e = _ellipses(rng, n)
        area = np.pi * np.maximum(e["width"], e["height"]) ** 2
        made[name] = types["EllipseSeries"](
            name=name,
            reference_frame="nose",
            data=np.stack([e["center_x"], e["center_y"]], axis=1),
            area=np.where(np.arange(n) < 5, np.nan, area),
            area_raw=area,
            width=e["width"],
            height=e["height"],
            angle=e["phi"],
            timestamps=times if name == "eye_tracking" else made["eye_tracking"],
        )
    blink = TimeSeries(name="likely_blink", data=np.arange(n) < 5, timestamps=made["eye_tracking"], unit="N/A", description="blinks")
    nwb.add_acquisition(types["EllipseEyeTracking"](likely_blink=blink, **made))


def _written(nwb: NWBFile, path: Path) -> Path:
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), NWBHDF5IO(str(path), "w") as io:
        warnings.simplefilter("ignore", UserWarning)
        io.write(nwb, cache_spec=True)
    with h5py.File(path, "r+") as f:  # pynwb writes no empty text
        location = f["general/extracellular_ephys/electrodes/location"]
        location[:] = ["" if v == "to be emptied" else v for v in location.asstr()[:]]
    return path


@functools.cache
def made(name: str) -> Path:
    """One of the sessions, written once for all tests: "watched", "compared" (the other stimuli; no eye, no light), "behaved", "lfp"."""
    path = Path(tempfile.mkdtemp(prefix="neuropile-made-")) / f"{name}.nwb"
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    if name == "compared":
        return coding(path, stimuli="functional_connectivity", eye=False, opto=False)
    return {"watched": coding, "behaved": behaving, "lfp": lfp}[name](path)
