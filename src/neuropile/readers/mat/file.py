"""One MATLAB 7.3 file into a Recording: the spike cells, and every variable that has one value a unit."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa

from neuropile.errors import NoEvents, UnreadableFile
from neuropile.paths import safe_name
from neuropile.readers import h5, source_name
from neuropile.readers.mat import mcos
from neuropile.types import Recording, Signal, Subject, Trains

#: Where each canonical unit column may lie, best first. Places are stored in millimetres there.
REGION_VARIABLES = ("cell_area", "region", "brain_area", "area")
DEPTH_VARIABLES = ("dist_from_tip_um", "depth_um")
MM_VARIABLES = {"x_um": "anatom_loc_mm/AP", "y_um": "anatom_loc_mm/DV", "z_um": "anatom_loc_mm/ML"}
SINGLE_UNIT_VARIABLES = ("is_single",)
SUBJECT_VARIABLES = ("rat", "mouse", "animal", "subject", "monkey")
SAMPLE_RATE_VARIABLES = ("meta/ap_meta/imSampRate",)
SAMPLE_RATES_HZ = (1e3, 1e6)
PROBE_VARIABLES = ("meta/ap_meta/imDatPrb_sn", "meta/ap_meta/imProbeSN")
WAVEFORM_VARIABLES = ("waveform/mean_uV",)
SPECIES_OF_SUBJECT = {"rat": "Rattus norvegicus", "mouse": "Mus musculus"}
_MAX_DEPTH = 3
_NUMBERS = frozenset({"double", "single", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"})


def read(path: Path, spikes: str | None) -> Recording:
    """See MatCells.__call__."""
    with h5.opened(path) as file:
        return _read(file, path, spikes)


def _read(file: h5py.File, path: Path, spikes: str | None) -> Recording:
    variables = dict(_variables(file, h5.Met(file["/"])))
    cells = variables[_spike_variable(path, variables, spikes)]
    h5.check_rows(cells)
    refs = h5.values(cells)
    notes: list[str] = []
    columns = _unit_columns(variables, len(refs), cells.name, notes)
    rate = _sample_rate(variables, notes)
    waveforms = _waveforms(variables, len(refs), notes)
    return Recording(
        session_id=safe_name(source_name.plain(path).stem),
        units=_units(columns, variables, len(refs)),
        trains=Trains(len(refs), _Cells(file, cells.name, refs), sample_rate=rate),
        subject=_subject(columns, variables),
        signals={safe_name(n.replace("/", "_")): s for n, s in waveforms.items()},
        source=_texts(variables),
        notes=tuple(notes),
        holds=", ".join(variables),
        close=file.close,
    )


def _variables(group: h5py.Group, met: h5.Met, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, h5py.Dataset]]:
    """Every variable of the file and every field of its structs, as `struct/field`; each object once, by its first name."""
    for name, child in h5.members(group):
        if name.startswith("#") or not met.is_new(child):
            continue
        if isinstance(child, h5py.Dataset) and child.shape is not None:
            yield prefix + name, child
        elif isinstance(child, h5py.Group) and depth < _MAX_DEPTH:
            yield from _variables(child, met, f"{prefix}{name}/", depth + 1)


def _class(obj: Any) -> str:
    return h5.text(obj.attrs.get("MATLAB_class", "")) if obj is not None else ""


def _is_empty(obj: Any) -> bool:
    """Whether MATLAB marks an array as empty: its dataset then holds the sizes of its axes, not values."""
    return bool(obj.attrs.get("MATLAB_empty", 0))


def _spike_variable(path: Path, variables: dict[str, h5py.Dataset], spikes: str | None) -> str:
    cells = [n for n, d in variables.items() if _class(d) == "cell" and not _is_empty(d)]
    wanted = [spikes] if spikes else [n for n in cells if "spike" in n.lower() and _holds_numbers(variables[n])]
    found = [n for n in wanted if n in cells]
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        raise UnreadableFile(f"{path}: several cell arrays may hold spike times ({', '.join(found)}); name one: mat.cells(spikes=...)")
    sought = f"the cell array {spikes!r}" if spikes else "a cell array of spike times (numbers, under a name with 'spike' in it)"
    raise NoEvents(f"{path}: sought {sought}; cell arrays found: {', '.join(cells) or 'none'}; variables: {', '.join(variables) or 'none'}")


def _holds_numbers(cells: h5py.Dataset) -> bool:
    """Whether no cell is of another class than numbers."""
    h5.check_rows(cells)
    return all(_class(h5.target(cells.file, r)) in _NUMBERS for r in h5.values(cells))


class _Cells:
    """A unit's spike times in seconds, read from its cell."""

    def __init__(self, file: h5py.File, name: str, refs: np.ndarray) -> None:
        self._file, self._name, self._refs = file, name, refs

    def __call__(self, unit: int) -> np.ndarray:
        with h5.clear_errors(self._file.filename):
            cell = h5.target(self._file, self._refs[unit])
            if _class(cell) not in _NUMBERS or not isinstance(cell, h5py.Dataset) or cell.dtype.kind not in "iuf":
                raise UnreadableFile(f"{self._file.filename}: {self._name} of unit {unit} holds {_class(cell) or 'nothing'}, not numbers")
            return np.empty(0) if _is_empty(cell) else h5.values(cell)


def _unit_columns(variables: dict[str, h5py.Dataset], n_units: int, skip: str, notes: list[str]) -> dict[str, pa.Array]:
    """Every variable with one value a unit; those with more than one, or without their text, are noted."""
    columns: dict[str, pa.Array] = {}
    left_out: list[str] = []
    for name, dataset in variables.items():
        if dataset.name == skip:
            continue
        try:
            values = _column(dataset, n_units)
        except UnreadableFile as e:  # a string of a kind not known here: the spikes stand without it
            notes.append(f"left out of the units: {e}")
            continue
        if values is not None:
            columns[name] = values
        elif dataset.ndim > 1 and n_units > 1 and n_units in dataset.shape and name not in WAVEFORM_VARIABLES:
            left_out.append(f"{name} {dataset.shape}")
    if left_out:
        notes.append(f"left out of the units, not one value each: {', '.join(left_out)}")
    return columns


def _column(dataset: h5py.Dataset, n_units: int) -> pa.Array | None:
    """A variable as a column of the units, or None. MATLAB's axes come reversed: units are the last of `dataset`."""
    kind = _class(dataset)
    if kind == "string":
        texts = mcos.read_strings(dataset)
        return pa.array(texts, pa.string()) if len(texts) == n_units else None
    if _is_empty(dataset) or dataset.ndim != 2:
        return None
    if kind == "char" and dataset.shape[1] == n_units and n_units > 1:
        return pa.array([_characters(codes).strip() for codes in h5.values(dataset).reshape(dataset.shape).T], pa.string())
    if kind == "cell" and dataset.size == n_units:
        texts = [_cell_text(h5.target(dataset.file, r)) for r in h5.values(dataset)]
        return None if any(t is None for t in texts) else pa.array(texts, pa.string())
    if dataset.size == n_units and 1 in dataset.shape and kind in _NUMBERS | {"logical"} and dataset.dtype.kind in "iuf":
        values = h5.values(dataset)
        return pa.array(values.astype(bool) if kind == "logical" else values)
    return None


def _characters(codes: np.ndarray) -> str:
    """MATLAB's characters, UTF-16 code units, as text."""
    return codes.astype("<u2").tobytes().decode("utf-16-le", "replace")


def _cell_text(cell: Any) -> str | None:
    if isinstance(cell, h5py.Dataset) and _is_empty(cell):
        return ""
    return _characters(h5.values(cell).reshape(cell.shape).T) if _class(cell) == "char" else None


def _units(columns: dict[str, pa.Array], variables: dict[str, h5py.Dataset], n_units: int) -> pa.Table:
    found: dict[str, pa.Array] = {"unit_id": pa.array([str(i) for i in range(n_units)], pa.string())}
    regions = next((columns[n] for n in REGION_VARIABLES if n in columns and pa.types.is_string(columns[n].type)), None)
    if regions is not None:
        found["region"] = pa.array([r or None for r in regions.to_pylist()], pa.string())
    depth = next((columns[n] for n in DEPTH_VARIABLES if _is_number(columns, n)), None)
    if depth is not None:
        found["depth_um"] = pa.array(depth.to_numpy(), pa.float64(), from_pandas=True)
    for name, variable in MM_VARIABLES.items():
        if _is_number(columns, variable):
            found[name] = pa.array(columns[variable].to_numpy() * 1000.0, pa.float64(), from_pandas=True)
    probe = _first_number(variables, PROBE_VARIABLES)
    if probe is not None:
        found["probe"] = pa.array([f"{probe:.0f}"] * n_units)
    single = next((columns[n] for n in SINGLE_UNIT_VARIABLES if n in columns and pa.types.is_boolean(columns[n].type)), None)
    if single is not None:
        found["quality"] = pa.array(["good" if s else "mua" for s in single.to_pylist()])
        found["quality_rule"] = pa.array(["the file's is_single: true is good, false is mua"] * n_units)
    return pa.table(found | {f"src_{n.replace('/', '_')}": v for n, v in columns.items()})


def _is_number(columns: dict[str, pa.Array], name: str) -> bool:
    return name in columns and (pa.types.is_integer(columns[name].type) or pa.types.is_floating(columns[name].type))


def _subject(columns: dict[str, pa.Array], variables: dict[str, h5py.Dataset]) -> Subject:
    """The animal every unit names, or the one the file names; its species where the variable's name says it."""
    for name in SUBJECT_VARIABLES:
        named = set(columns[name].to_pylist()) if name in columns else {_line(variables[name])} if name in variables else set()
        if named - {None}:
            return Subject(str(named.pop()) if len(named) == 1 else None, SPECIES_OF_SUBJECT.get(name))
    return Subject()


def _first_number(variables: dict[str, h5py.Dataset], names: tuple[str, ...]) -> float | None:
    for name in names:
        if name in variables and variables[name].size == 1 and variables[name].dtype.kind in "iuf":
            value = float(h5.values(variables[name])[0])
            if np.isfinite(value) and value > 0:
                return value
    return None


def _sample_rate(variables: dict[str, h5py.Dataset], notes: list[str]) -> Fraction | None:
    """The rate the spikes were sampled at, where it is one that spikes can be sampled at."""
    rate = _first_number(variables, SAMPLE_RATE_VARIABLES)
    if rate is None or SAMPLE_RATES_HZ[0] <= rate <= SAMPLE_RATES_HZ[1]:
        return None if rate is None else Fraction(str(rate))
    notes.append(f"the file's sample rate, {rate:g} Hz, is not one spikes are sampled at and was left out")
    return None


def _waveforms(variables: dict[str, h5py.Dataset], n_units: int, notes: list[str]) -> dict[str, Signal]:
    """The units' waveforms; those whose size is not believed are noted."""
    found = {}
    for name in WAVEFORM_VARIABLES:
        data = variables.get(name)
        if data is None or data.ndim != 2 or data.shape[1] != n_units or data.dtype.kind != "f":
            continue
        try:
            found[name] = Signal(h5.values(data).reshape(data.shape).T, ("unit", "sample"), unit="uV")
        except UnreadableFile as e:  # the spikes stand without them
            notes.append(f"left out of the signals: {e}")
    return found


def _line(dataset: h5py.Dataset) -> str | None:
    """A char variable of one short line as text, or None."""
    one_line = _class(dataset) == "char" and not _is_empty(dataset) and dataset.ndim == 2 and dataset.shape[1] == 1 and dataset.size <= 200
    return _characters(h5.values(dataset)) if one_line else None


def _texts(variables: dict[str, h5py.Dataset]) -> dict[str, str]:
    """The short texts of the file: what it says of itself. Paths on the machine it was made on are left out."""
    lines = {f"src_{name.replace('/', '_')}": _line(dataset) for name, dataset in variables.items()}
    return {name: line for name, line in lines.items() if line is not None and "/" not in line and "\\" not in line}
