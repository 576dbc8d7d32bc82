"""Commands on files that lie beside sessions: frame, voltage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuropile.cli.output import Json, emit, here, say, table

if TYPE_CHECKING:
    import xarray as xr

    from neuropile.voltage import Voltage

_SHOWN = ("channel_id", "probe", "depth_um", "lateral_um", "region")


def frame(
    video: Annotated[str, typer.Argument(help="A video: MP4, AVI or Matroska; a file or a URL.")],
    at: Annotated[float, typer.Option(help="Seconds: of the camera's times where they are given, else of the file.")],
    out: Annotated[Path, typer.Option(parser=here, help="The picture: a .png, or an .npy of its values.")],
    times: Annotated[str | None, typer.Option(help="The camera's times, an .npy file with a row a frame; of more times than frames the last count.")] = None,
    as_json: Json = False,
) -> None:
    """Write the frame of a video that is shown at a time: the last whose time is not after it.

    Example: neuropile frame _iblrig_leftCamera.raw.mp4 --times _ibl_leftCamera.times.npy --at 12.5 --out frame.png
    """
    from neuropile.video import open_video

    _check_suffix(out, (".png", ".npy"))
    with open_video(video, times) as opened:
        number = opened.number_at(at)
        _save_picture(opened.frame_number(number), out)
        facts = {"frame": number, "time_s": float(opened.times_s[number]), "n_frames": opened.n_frames, "width": opened.size[0], "height": opened.size[1]}
    if not as_json:
        print(f"{out}: frame {number:,} of {facts['n_frames']:,}, shown at {facts['time_s']:.6f} s")
    emit({"video": video, "out": str(out), **facts}, as_json)


def voltage(
    path: Annotated[str, typer.Argument(help="A .bin or .cbin of SpikeGLX beside its .meta, or an NWB file; a file or a URL.")],
    series: Annotated[str | None, typer.Option(help="Of an NWB file with several voltage series, this one.")] = None,
    start: Annotated[float | None, typer.Option(help="Seconds; by default where the recording starts.")] = None,
    stop: Annotated[float | None, typer.Option(help="Seconds; by default one second after the start.")] = None,
    channels: Annotated[str | None, typer.Option(help="Places, such as 0:10 or 0:384:4 or 3,5,8, or channel ids between commas; by default all.")] = None,
    out: Annotated[Path | None, typer.Option(parser=here, help="Read, and write: .npy (time x channel, volts), .parquet (with times) or .png (drawn).")] = None,
    as_json: Json = False,
) -> None:
    """Show what recorded voltage a file holds, or read a stretch of some channels of it; of the rest nothing is read.

    Example: neuropile voltage _spikeglx_ephysData_g0_t0.imec0.ap.cbin --start 100 --stop 100.5 --channels 0:384:8 --out traces.png
    """
    from neuropile.voltage import open_voltage

    if out is not None:
        _check_suffix(out, (".npy", ".parquet", ".png"))
    with open_voltage(path, series) as opened:
        chosen = _chosen(opened, channels)
        first = opened.start_s if start is None else start
        last = first + 1 if stop is None else stop
        facts: dict[str, Any] = {"path": path, "n_channels": opened.n_channels, "n_samples": opened.n_samples, "rate_hz": opened.rate_hz}
        facts |= {"start_s": opened.start_s, "stop_s": opened.stop_s, "notes": [*opened.notes, *_clipped(opened, start, stop, channels)]}
        if out is None:
            own = opened.channels.iloc[chosen]
            rows = own[[c for c in _SHOWN if c in own]].to_dict("records")
            if start is not None or stop is not None:
                read = opened.read(first, last, chosen)
                rows = [row | told for row, told in zip(rows, _summary(read), strict=True)]
                facts["window"] = {"start_s": first, "stop_s": last, "n_samples": read.sizes["time"], "n_invalid": int((~read.valid).sum())}
            if not as_json:
                print(repr(opened).strip("<>"))
                if "window" in facts:
                    print(f"{first:g} to {last:g} s: {_samples_told(read)}; their mean and sd in microvolts")
                table(rows, list(rows[0]) if rows else [])
            return _tell({**facts, "channels": rows}, as_json)
        read = opened.read(first, last, chosen)
    _save(read, out, facts)
    if not as_json:
        print(f"{out}: {_samples_told(read)} of {read.sizes['channel']} channels")
    return _tell({**facts, "out": str(out), "shape": list(read.shape), "n_invalid": int((~read.valid).sum()), "n_gaps": read.attrs["n_gaps"]}, as_json)


def _samples_told(read: xr.DataArray) -> str:
    told = f"{int((~read.valid).sum()):,} of them not valid" if not read.valid.all() else "all valid"
    return f"{read.sizes['time']:,} samples ({told})"


def _summary(read: xr.DataArray) -> list[dict[str, float | None]]:
    """The mean and sd of each channel, over valid samples, in microvolts; None where there are none."""
    values = read.values[read.valid.values].astype("f8") * 1e6
    if not len(values):
        return [{"mean_uv": None, "sd_uv": None}] * read.sizes["channel"]
    return [{"mean_uv": mean, "sd_uv": sd} for mean, sd in zip(values.mean(axis=0).tolist(), values.std(axis=0).tolist(), strict=True)]


def _clipped(opened: Voltage, start: float | None, stop: float | None, channels: str | None) -> list[str]:
    """What was asked for and is not there, a sentence each; a sample interval more or less is rounding."""
    near, said = 1 / opened.rate_hz if opened.rate_hz > 0 else 0.0, []
    if (start is not None and start < opened.start_s - near) or (stop is not None and stop > opened.stop_s + near):
        asked = f"{'the start' if start is None else f'{start:g} s'} to {'its default' if stop is None else f'{stop:g} s'}"
        said.append(f"the window from {asked} is cut: recorded from {opened.start_s:.6g} s to {opened.stop_s:.6g} s")
    ends = [int(p) for p in (channels or "").split(":")[:2] if p.strip().lstrip("-").isdigit()] if ":" in (channels or "") else []
    if any(end > opened.n_channels for end in ends):
        said.append(f"--channels {channels} is cut: there are {opened.n_channels} channels, 0 to {opened.n_channels - 1}")
    return said


def _tell(facts: dict[str, Any], as_json: bool) -> None:
    for note in facts["notes"]:
        say(f"note: {note}")
    emit(facts, as_json)


def _check_suffix(out: Path, suffixes: tuple[str, ...]) -> None:
    if out.suffix.lower() not in suffixes:
        raise typer.BadParameter(f"{out.name!r} does not say what to write; end the name in {', '.join(suffixes[:-1])} or {suffixes[-1]}")


def _chosen(opened: Voltage, channels: str | None) -> Any:
    """Places of the channels that an option names."""
    if channels is None:
        return opened.columns_of(None)
    parts = channels.split(":")
    try:
        if len(parts) in (2, 3):
            return opened.columns_of(slice(*(int(p) if p else None for p in parts)))
        if all(p.strip().isdigit() for p in channels.split(",")) and not set(channels.split(",")) & set(opened.channels["channel_id"]):
            return opened.columns_of([int(p) for p in channels.split(",")])
    except ValueError:
        raise typer.BadParameter(f"--channels {channels}: sought 0:10, 0:384:4, 3,5,8 or channel ids") from None
    return opened.columns_of([p.strip() for p in channels.split(",")])


def _save_picture(values: Any, out: Path) -> None:
    import numpy as np

    from neuropile.paths import replacing

    with replacing(out) as temporary:
        if out.suffix.lower() == ".npy":
            with open(temporary, "wb") as f:
                np.save(f, values, allow_pickle=False)
        else:
            from matplotlib import image

            plain: Any = {"Software": None}  # or the picture says by which version it was written
            image.imsave(temporary, values, format="png", cmap="gray", vmin=0, vmax=255, metadata=plain)


def _save(read: xr.DataArray, out: Path, facts: dict[str, Any]) -> None:
    import numpy as np

    from neuropile.paths import replacing

    suffix = out.suffix.lower()
    if suffix == ".png":
        from neuropile import plotting
        from neuropile.plotting.traces import Traces, voltage_traces

        regions = [r if isinstance(r, str) else None for r in read.region.values] if "region" in read.coords else [None] * read.sizes["channel"]
        told = f"{read.sizes['channel']} channels at {facts['rate_hz']:.7g} Hz; grey: no valid sample"
        drawn = Traces(Path(facts["path"]).name, told, read.time.values, read.values, read.valid.values, list(read.channel.values), regions)
        plotting.save(voltage_traces(drawn), out)
        return
    with replacing(out) as temporary:
        if suffix == ".npy":
            with open(temporary, "wb") as f:
                np.save(f, read.values, allow_pickle=False)
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            columns = {"time_s": read.time.values, "valid": read.valid.values}
            pq.write_table(pa.table(columns | {str(c): read.values[:, i] for i, c in enumerate(read.channel.values)}), temporary)
