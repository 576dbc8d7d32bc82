"""Voltage, as it was recorded: SpikeGLX, mtscomp and NWB files opened by what is in them, and read by time and channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from neuropile import linked, remote
from neuropile.errors import NeuropileError, NotThere, UnreadableFile
from neuropile.voltage.recording import Told, Voltage

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Voltage", "of", "open_voltage"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
#: HDF5 files may begin with a user's own block of these lengths.
_HDF5_AT = (0, 512, 1024, 2048)
#: Clocks of probe and rig differ by a few samples in a million; by more than so much they are not of one recording.
_MAX_OFF = 0.01


def open_voltage(path: Any, series: str | None = None, *, sync: Any = None, invalid: Any = None) -> Voltage:
    """Open recorded voltage; nothing but what describes it is read.

    What a file is shows by its content, not its name: a SpikeGLX `.bin` with its `.meta`, IBL's compressed `.cbin` with its
    `.ch` and `.meta`, or an ElectricalSeries of an NWB file in HDF5 or Zarr (of Allen's probes one in each file). UUIDs in
    names are passed over.

    Parameters
    ----------
    path : a path or a URL
    series : of an NWB file with several voltage series, the one to open, by name or path
    sync : (n, 2) of sample and seconds that put the samples on the session's clock, for SpikeGLX files; by default what
        IBL left beside them (`X.timestamps.npy`, or `X.sync.npy`), else the probe's own clock from 0 on, which `notes` says
    invalid : (n, 2) seconds, or a table with `start_s` and `stop_s`, of times not to be used, beside those an NWB file tells

    Raises
    ------
    UnreadableFile : no such file, none of these formats, cut off or damaged, or lacking what it takes to make volts
    """
    place = remote.as_path(path)
    _check_is_file(place)
    own = _spans(invalid)
    if _is_nwb(place):
        if sync is not None:
            raise NeuropileError(f"{place}: an NWB file has times of its own; sync is for SpikeGLX files")
        return _open_nwb(place, series, own)
    if series is not None:
        raise NeuropileError(f"{place}: is no NWB file, so it has no series {series!r}; leave that out")
    return _open_raw(place, sync, own)


def _check_is_file(place: Any) -> None:
    """A local folder is a file only where it is one of Zarr."""
    if remote.is_remote(place) or not place.is_dir() or place.suffix == ".zarr":
        return
    from neuropile.readers.zarr import tree

    if not tree.looks_like(place):
        inside = sorted(p.relative_to(place).as_posix() for pattern in ("*.bin", "*.cbin", "*.nwb", "*.zarr") for p in place.glob(pattern))
        way_out = f"give one of its files: {', '.join(inside[:5])}{', ...' if len(inside) > 5 else ''}" if inside else "it holds none of these itself"
        raise UnreadableFile(f"{place}: a folder; sought a .bin or .cbin of SpikeGLX, an .nwb file or a folder of Zarr; {way_out}")


def _spans(invalid: Any) -> np.ndarray:
    if invalid is None:
        return np.empty((0, 2))
    if hasattr(invalid, "columns"):
        invalid = invalid[["start_s", "stop_s"]].to_numpy(np.float64)
    found = np.asarray(invalid, np.float64)
    if found.ndim != 2 or found.shape[1] != 2 or not (found[:, 0] <= found[:, 1]).all():
        raise NeuropileError(f"invalid times are rows of a start and a later stop, in seconds; got an array of shape {found.shape}")
    return found


def _is_nwb(place: Any) -> bool:
    if (not remote.is_remote(place) and place.is_dir()) or place.suffix == ".zarr":
        return True
    size = linked.size(place)
    at = [(a, a + len(_HDF5)) for a in _HDF5_AT if a + len(_HDF5) <= size]
    return _HDF5 in remote.read_ranges(place, at)


def _open_nwb(place: Any, series: str | None, invalid: np.ndarray) -> Voltage:
    from neuropile.readers.nwb import tree
    from neuropile.voltage import nwb

    with tree.opened(place) as file:
        found = nwb.find(file)
        name = nwb.choose(found, series, file)
        group = found[name]
        stored, clock = nwb.stored(group), nwb.clock(group)
        channels = nwb.channels(group)
        probes = channels["probe"].dropna().unique() if "probe" in channels else []
        spans = np.concatenate([invalid, nwb.invalid(file, str(probes[0]) if len(probes) == 1 else None)])
    told = Told(lambda: channels, invalid=spans, close=file.close)
    return Voltage(f"{place.name}: {name}", stored, clock, (np.arange(len(stored.scale)), stored.scale, stored.offset), told)


def _open_raw(place: Any, sync: Any, invalid: np.ndarray, ap_points: np.ndarray | None = None) -> Voltage:
    """ap_points : the points of the probe's clock in samples of its AP band, as IBL keeps them, whatever the file's own band."""
    from neuropile.voltage import clocks, spikeglx

    said, meta_file = spikeglx.beside(place, ".ch"), spikeglx.beside(place, ".meta")
    if meta_file is None or meta_file == place or said == place:
        lacks = "what describes samples, and holds none" if place in (meta_file, said) else "no NWB file, and no .meta file of SpikeGLX lies beside it"
        raise UnreadableFile(f"{place}: {lacks}; sought an NWB file, or a .bin or .cbin beside its .meta, which makes volts of its numbers")
    meta = spikeglx.read(meta_file)
    samples = _samples(place, said, meta)
    columns = np.flatnonzero([c.volts != 0 for c in meta.channels])
    if not columns.size:
        raise UnreadableFile(f"{place}: none of its {len(meta.channels)} channels is a voltage")
    points, notes = sync, []
    if sync is None:
        points = spikeglx.points(place, meta) if ap_points is None else ap_points / [spikeglx.ap_samples(place, meta), 1.0]
    if points is None:
        notes = [f"no {spikeglx.stem_of(place)}.timestamps.npy lies beside it: times are those of its own clock, from 0 s at the first sample"]
        clock: clocks.Clock = clocks.Even(samples.n_samples, meta.rate_hz, name=str(place))
    else:
        clock = clocks.Straight(samples.n_samples, points, str(place))
        if not abs(clock.rate_hz / meta.rate_hz - 1) < _MAX_OFF:
            rates = f"the points of its clock run at {clock.rate_hz:.7g} samples a second, its own rate is {meta.rate_hz:.7g}"
            raise UnreadableFile(f"{place}: {rates}: they are another recording's, or count another band's samples; pass sync=")
    scale = np.array([meta.channels[i].volts for i in columns])
    told = Told(lambda: _channel_table([meta.channels[i] for i in columns], meta.serial), notes, invalid)
    return Voltage(place.name, samples, clock, (columns, scale, 0.0), told)


def _samples(place: Any, header: Any, meta: Any) -> Any:
    """What holds the samples: compressed where the sizes say so, and flat where those do."""
    from neuropile.voltage import raw

    size, n_channels = linked.size(place), len(meta.channels)
    row = 2 * n_channels
    told_flat = size == meta.n_bytes
    packed = bool(header) and not told_flat and (place.suffix == ".cbin" or size == raw.header(header)["chunk_offsets"][-1] or _is_zlib(place))
    if packed:
        found = raw.chunked(place, raw.header(header))
        if found.n_channels != n_channels:
            raise UnreadableFile(f"{place}: its .ch file tells of {found.n_channels} channels, its .meta file of {n_channels}: they are of two recordings")
        return found
    if meta.n_bytes not in (None, size) or size % row or size < row:
        told = f"its .meta file tells of {meta.n_bytes}" if meta.n_bytes not in (None, size) else f"samples of {n_channels} channels take {row} each"
        raise UnreadableFile(f"{place}: {size} bytes, but {told}: it is cut off, or its .meta file is another's; fetch it again")
    return raw.Flat(place, size // row, n_channels, np.dtype("<i2"))


def _is_zlib(place: Any) -> bool:
    """Whether a file begins as what zlib compressed does: its two first bytes are divisible by 31, the first ends in 8."""
    (head,) = remote.read_ranges(place, [(0, 2)])
    return head[0] & 15 == 8 and int.from_bytes(head, "big") % 31 == 0


def _channel_table(channels: list[Any], serial: str | None) -> pd.DataFrame:
    """A row a channel of SpikeGLX. Heights are above the lowest row of sites, not the tip, so they are not called depth_um."""
    import pandas as pd

    found = pd.DataFrame({"channel_id": [c.name for c in channels]})
    if serial:
        found["src_probe_serial"] = serial
    if any(c.shank is not None for c in channels):
        found["lateral_um"] = [c.lateral_um for c in channels]
        found["src_height_um"], found["src_shank"] = [c.height_um for c in channels], [c.shank for c in channels]
    return found


def of(session: Any, name: str, root: Any = None, series: str | None = None) -> Voltage:
    """The voltage a session tells of: a file that belongs to it and lies where the session was read from.

    Its channels have what the session knows of them (regions, positions), its `valid` the session's invalid times. Where
    the session's channels do not fit the file's, `notes` says why, and the columns of regions are null.

    Parameters
    ----------
    session : a stored session; name : one of `session.linked`, of kind "voltage" or "lfp"
    root : the folder the session was read from (of one file the folder it lies in); without it the file's URL, where it has one
    series : see open_voltage

    Raises
    ------
    NeuropileError : the session tells of no such file, or it is not below `root`
    """
    from neuropile.voltage import joining, nwb

    told = linked.find(session, name, ("voltage", "lfp"))
    try:
        known = session.channels
    except NotThere:
        known = None
    probe = None if known is None else joining.probe_of(known, told.path)
    rows = session.intervals["invalid"].to_dict("records") if "invalid" in session.intervals else []
    place, invalid = linked.place(told, root), nwb.touching(rows, probe)
    if _is_nwb(place):
        opened = _open_nwb(place, series, invalid)
    else:
        clock = None if told.clock is None else session.signals[told.clock]
        points = None if clock is None else np.column_stack([clock.values, clock["time"].values])
        opened = _open_raw(place, None, invalid, points)
    own = opened.channels
    if known is None:
        opened.channels = joining.with_regions(own)
    else:
        opened.channels = joining.with_session(own, known, told.path)
    why = "the session has no table of channels" if known is None else joining.misfit(own, known, told.path)
    if why is not None:
        opened.note(f"its channels are without what the session may know of them, such as regions: {why}")
    return opened
