"""What SpikeGLX's `.meta` file says of the samples beside it: which channels there are, what a bit is in volts, where the sites lie."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuropile import remote
from neuropile.errors import UnreadableFile

_MAX_BYTES = 16 << 20
#: What the `.meta` file leaves out where it is the same for every probe of the kind
#: (https://billkarsh.github.io/SpikeGLX/help/metadata/, "Volts = i * Vmax / Imax / gain").
_IMEC_MAX_INT, _NIDQ_MAX_INT, _NP2_MAX_INT = 512, 32768, 8192
_NP2_GAIN = 80.0
#: Probes without a gain of their own for each channel: 2.0, one shank or four. Their table of channels holds no gains.
_NP2_TYPES = frozenset({21, 24, 2003, 2004, 2005, 2006, 2013, 2014, 2020, 2021})
#: The one type whose gains stand in the table's head, for all channels.
_UHD2_TYPE = 1110
#: Of Neuropixels 1.0 the LF band is sampled once for so many samples of the AP band.
_LF_RATIO = 12
_ENTRY = re.compile(r"\(([^()]*)\)")
_UUID = re.compile(r"\.[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?=\.)")


@dataclass(frozen=True)
class Channel:
    """One saved channel: its name ("AP12"), its kind (ap, lf, sync, nidq analog or digital), volts a bit (0 where it is no voltage) and its site."""

    name: str
    kind: str
    volts: float
    shank: int | None = None
    lateral_um: float | None = None
    height_um: float | None = None


@dataclass(frozen=True)
class Meta:
    """A `.meta` file, read.

    n_bytes : of the samples, where it is said
    sites : what its geometry map holds of each site, in the order of the AP channels
    """

    rate_hz: float
    n_bytes: int | None
    channels: tuple[Channel, ...]
    serial: str | None

    @property
    def band(self) -> str:
        """Which band is saved: "ap", "lf", "ap+lf" or "nidq"."""
        kinds = {c.kind for c in self.channels if c.volts}
        return "+".join(k for k in ("ap", "lf", "nidq") if k in kinds)


def beside(path: Any, suffix: str) -> Any | None:
    """The file of the same name with another last suffix, or None.

    ONE puts a UUID before the suffix of what it mirrors, another into each file's name: they count for nothing.
    """
    plain = path.with_suffix(suffix)
    return plain if remote.exists(plain) else find(path.parent, _UUID.sub("", path.name).rpartition(".")[0] + suffix)


def find(folder: Any, name: str) -> Any | None:
    """The file of that name in a folder, UUIDs in names left out of account; None where there is none, or no listing."""
    if remote.exists(folder / name):
        return folder / name
    if not remote.can_list(folder) or not folder.is_dir():
        return None
    return next((p for p in sorted(folder.iterdir(), key=str) if _UUID.sub("", p.name) == name), None)


def stem_of(path: Any) -> str:
    """The name of a file of a SpikeGLX recording without band, UUID and suffix: what its clock's files begin with."""
    return re.sub(r"\.(ap|lf|nidq)$", "", _UUID.sub("", path.name).rpartition(".")[0])


def read(path: Any) -> Meta:
    """A `.meta` file.

    Raises
    ------
    UnreadableFile : it is none, or lacks what makes volts of samples
    """
    if path.stat().st_size > _MAX_BYTES:
        raise UnreadableFile(f"{path}: {path.stat().st_size} bytes are no .meta file of SpikeGLX")
    lines = remote.read_bytes(path).decode("utf-8", "replace").splitlines()
    said = {k.strip().lstrip("~"): v.strip() for k, found, v in (line.partition("=") for line in lines) if found}
    try:
        return _meta(said)
    except KeyError as e:
        raise UnreadableFile(f"{path}: not a .meta file of SpikeGLX that can be used: it lacks {e.args[0]}; fetch it again") from None
    except (ValueError, IndexError, ZeroDivisionError, OverflowError) as e:
        raise UnreadableFile(f"{path}: not a .meta file of SpikeGLX that can be used ({e}); fetch it again") from None


def _meta(said: dict[str, str]) -> Meta:
    is_nidq = said.get("typeThis", "imec") == "nidq"
    channels = _nidq(said) if is_nidq else _imec(said)
    n_saved = int(said["nSavedChans"])
    if n_saved != len(channels):
        raise ValueError(f"it lists {len(channels)} channels, nSavedChans is {n_saved}")
    rate = float(said["niSampRate" if is_nidq else "imSampRate"])
    if not 0 < rate < math.inf:
        raise ValueError(f"its rate is {rate} samples a second")
    n_bytes = int(said["fileSizeBytes"]) if said.get("fileSizeBytes", "0") != "0" else None
    return Meta(rate, n_bytes, tuple(channels), said.get("imDatPrb_sn") or said.get("imProbeSN"))


def _counts(said: dict[str, str], key: str) -> list[int]:
    found = [int(n) for n in said[key].split(",")]
    if min(found) < 0 or sum(found) > 100_000:
        raise ValueError(f"{key} is {said[key]}")
    return found


def _saved(said: dict[str, str], n_acquired: int) -> list[int]:
    """The acquired channels that were saved, by number."""
    text = said.get("snsSaveChanSubset", "all")
    if text in ("all", ""):
        return list(range(n_acquired))
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition(":")
        a, b = int(first), int(last or first)
        if not 0 <= a <= b < n_acquired:
            raise ValueError(f"snsSaveChanSubset names channel {part} of {n_acquired}")
        found += range(a, b + 1)
        if len(found) > n_acquired:
            raise ValueError(f"snsSaveChanSubset names more than the {n_acquired} channels there are")
    return found


def _imec(said: dict[str, str]) -> list[Channel]:
    n_ap, n_lf, n_sync = _counts(said, "acqApLfSy" if "acqApLfSy" in said else "snsApLfSy")
    if "acqApLfSy" not in said and said.get("snsSaveChanSubset", "all") != "all":
        n_lf = n_lf or n_ap  # without it, the subset counts on all bands having been there
    gains = _gains(said, n_ap)
    v_max, i_max = float(said["imAiRangeMax"]), int(said.get("imMaxInt", _NP2_MAX_INT if _type(said) in _NP2_TYPES else _IMEC_MAX_INT))
    saved = _saved(said, n_ap + n_lf + n_sync)
    sites = _sites(said)
    rows = sorted({i if i < n_ap else i - n_ap for i in saved if i < n_ap + n_lf})
    site_of = dict(zip(rows, sites, strict=True)) if len(sites) == len(rows) else dict(enumerate(sites)) if len(sites) == n_ap else {}
    channels = []
    for i in saved:
        if i >= n_ap + n_lf:
            channels.append(Channel(f"SY{i - n_ap - n_lf}", "sync", 0.0))
            continue
        kind, row = ("ap", i) if i < n_ap else ("lf", i - n_ap)
        channels.append(Channel(f"{kind.upper()}{row}", kind, v_max / i_max / gains[row][kind == "lf"], *site_of.get(row, ())))
    return channels


def _type(said: dict[str, str]) -> int:
    return int(said.get("imDatPrb_type", 0))


def _gains(said: dict[str, str], n_ap: int) -> list[tuple[float, float]]:
    """The gain of each electrode's two bands."""
    head, *entries = [re.split(r"[,\s]+", e.strip()) for e in _ENTRY.findall(said.get("imroTbl", ""))] or [[]]
    kind = _type(said)
    if "imChan0apGain" in said and (kind in _NP2_TYPES or not entries):
        ap = float(said["imChan0apGain"])
        return [(ap, float(said.get("imChan0lfGain", ap)))] * n_ap
    if kind in _NP2_TYPES:
        return [(_NP2_GAIN, _NP2_GAIN)] * n_ap
    if kind == _UHD2_TYPE:
        return [(float(head[3]), float(head[4]))] * n_ap
    if not entries:
        raise KeyError("imroTbl")
    if len(entries) != n_ap:
        raise ValueError(f"imroTbl lists {len(entries)} channels of {n_ap}")
    return [(float(e[3]), float(e[4])) for e in entries]


def _sites(said: dict[str, str]) -> list[tuple[int, float, float]]:
    """Shank, um across it and um above its lowest row, of each saved site."""
    found = []
    for entry in _ENTRY.findall(said.get("snsGeomMap", ""))[1:]:
        shank, x, z, _ = entry.split(":")
        found.append((int(shank), float(x), float(z)))
    return found


def _nidq(said: dict[str, str]) -> list[Channel]:
    """Multiplexed neural, multiplexed auxiliary and plain analog channels, then words of digital lines."""
    n_mn, n_ma, n_xa, n_dw = _counts(said, "snsMnMaXaDw")
    volts = float(said["niAiRangeMax"]) / int(said.get("niMaxInt", _NIDQ_MAX_INT))
    gains = {"MN": float(said.get("niMNGain", 1)), "MA": float(said.get("niMAGain", 1)), "XA": 1.0}
    names = [("MN", n_mn), ("MA", n_ma), ("XA", n_xa)]
    analog = [Channel(f"{name}{i}", "nidq", volts / gains[name]) for name, n in names for i in range(n)]
    return analog + [Channel(f"XD{i}", "digital", 0.0) for i in range(n_dw)]


def points(path: Any, meta: Meta) -> np.ndarray | None:
    """The points of a probe's clock on the session's, (n, 2) of this file's sample and seconds; None where no file tells them.

    IBL keeps them beside the samples: `X.timestamps.npy` of samples of the AP band and seconds of the session, or
    `X.sync.npy` of seconds of the probe and of the session.
    """
    from neuropile.readers import npy

    stem = stem_of(path)
    for suffix, to_samples in ((".timestamps.npy", 1 / ap_samples(path, meta)), (".sync.npy", meta.rate_hz)):
        file = find(path.parent, stem + suffix)
        if file is not None:
            found = npy.load(file)
            if found.ndim != 2 or found.shape[1:] != (2,) or found.dtype.kind not in "iuf":
                raise UnreadableFile(f"{file}: sought rows of two numbers, found {found.dtype} of shape {found.shape}")
            return np.asarray(found, np.float64) * [to_samples, 1.0]
    return None


def ap_samples(path: Any, meta: Meta) -> float:
    """How many samples of the AP band are taken for each of this file: its clock's file counts those."""
    if meta.band != "lf":
        return 1.0
    ap = find(path.parent, f"{stem_of(path)}.ap.meta")
    return float(_LF_RATIO) if ap is None else float(round(read(ap).rate_hz / meta.rate_hz))
