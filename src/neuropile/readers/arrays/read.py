"""One file of arrays into a Recording by a mapping: events, the units' columns and the trials put together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile.errors import UnreadableFile
from neuropile.paths import safe_name
from neuropile.readers import source_name
from neuropile.readers.arrays import events, matrix, opening, times
from neuropile.readers.arrays.asked import Asked, column, floats, listed, texts, unused, used
from neuropile.readers.arrays.held import Held
from neuropile.readers.arrays.mapping import bin_width
from neuropile.readers.clock import trials
from neuropile.readers.nwb import terms as nwb_terms
from neuropile.types import DEFAULT_TICKS_PER_S, Recording, Spans, Subject, Trains

_PATH_OR_LONG = re.compile(r"^\s*(~|/|\\\\|[A-Za-z]:[\\/])|.{200}", re.DOTALL)
_PLACES = {"depth": "depth_um", "x": "x_um", "y": "y_um", "z": "z_um"}
_PER_UNIT = ("region", "quality", *_PLACES)


def read(path: Any, mapping: Mapping[str, str], sample_rate: Fraction | None) -> Recording:
    """See MappedArrays.__call__."""
    with opening.opened(path) as source:
        asked = Asked(source, mapping)
        if "matrix" in asked:
            return _by_matrix(asked)
        return _by_times(asked, sample_rate)


def _by_times(asked: Asked, sample_rate: Fraction | None) -> Recording:
    found = times.events(asked, _n_described(asked) if "units" in asked else None)
    laid = times.laid_out(asked, found, sample_rate)
    trains = times.trains(asked, found, sample_rate, laid)
    names = times.unit_names(asked, found)
    quantity = asked.mapping.get("quantity", "spikes")
    if laid is None:
        tables = events.tables(asked, times.per_second(asked, sample_rate))
        return _put_together(asked, trains, names, len(found.times), quantity=quantity, intervals=tables)
    spans = (laid.start_s, laid.stop_s, laid.offset_s)
    return _put_together(asked, trains, names, len(found.times), quantity=quantity, trials=(laid.names, spans))


def _by_matrix(asked: Asked) -> Recording:
    width = bin_width(asked.mapping["bin"])
    ticks_per_s = width.denominator
    found = matrix.matrices(asked)
    n_bins = np.array([a.shape[1] for a in found.arrays])
    names = texts(asked, "ids") if "ids" in asked else [str(i) for i in range(found.arrays[0].shape[0])]
    start_s, stop_s = np.zeros(len(n_bins)), n_bins * width.numerator / ticks_per_s
    offset_s = np.zeros(1) if found.names is None else trials.lay_out(start_s, stop_s)
    trains = matrix.trains(asked, found, width, np.rint(offset_s).astype(np.int64) * ticks_per_s)
    more: dict[str, Any] = {"quantity": asked.mapping.get("quantity", "counts"), "ticks_per_s": ticks_per_s}
    if found.names is None:
        more |= {"observed": Spans.of(start_s, stop_s), "span_source": "the bins of the source", "intervals": events.tables(asked, 1.0)}
    else:
        more["trials"] = (found.names, (start_s, stop_s, offset_s))
    return _put_together(asked, trains, names, int(n_bins[0]), **more)


def _put_together(asked: Asked, trains: Trains, names: list[str], n_long: int, *, trials: Any = None, **more: Any) -> Recording:
    """The recording; `n_long` is the length of the events or bins, which no column of the units or trials may be taken for."""
    if len(names) != trains.n_units:
        raise asked.error("ids", f"{len(names)} names for {trains.n_units} units")
    held = asked.source.contents()
    n_trials = len(trials[0]) if trials else 0
    units = _units(asked, names, unused(asked, held, len(names), {n_trials, n_long}))
    if trials:
        of_trials, spans = trials
        more |= _trial_parts(of_trials, spans, unused(asked, held, n_trials, {len(names), n_long}))
    said = _said(asked, held)
    _note_what_is_left(asked, held, {*said, *units.column_names, *(c for t in more.get("intervals", {}).values() for c in t.column_names)})
    return Recording(
        session_id=safe_name(source_name.plain(asked.source.path).stem),
        units=units,
        trains=trains,
        subject=Subject(subject_id=_text(asked, "subject"), species=_text(asked, "species")),
        source=said,
        notes=tuple(asked.notes),
        holds=listed(held),
        **{"ticks_per_s": DEFAULT_TICKS_PER_S} | more,
    )


def _note_what_is_left(asked: Asked, held: list[Held], kept: set[str]) -> None:
    """A note of the arrays that are neither named by the mapping nor kept beside it."""
    named = used(asked)
    left = [h for h in held if f"src_{h.name.replace('/', '_')}" not in kept and not any(n == h.name or h.name.startswith(f"{n}/") for n in named)]
    if left:
        asked.notes.append(f"left out, not named by the mapping: {listed(left)}")


def _text(asked: Asked, key: str) -> str | None:
    """A text that is written in the mapping, or the one text of an array it names."""
    given = asked.mapping.get(key)
    leaves = asked.source.leaves([p for p in given.split("/") if p]) if given else []
    if len(leaves) == 1 and leaves[0].values.size == 1:
        made = column(leaves[0].values.reshape(-1))
        return given if made is None else str(made[0].as_py())
    return given


def _trial_parts(names: list[str], spans: tuple[np.ndarray, np.ndarray, np.ndarray], columns: dict[str, pa.Array]) -> dict[str, Any]:
    table = trials.table(*spans, {"src_trial": pa.array(names, pa.string())} | columns)
    return {"intervals": {"trials": table}, "observed": trials.observed(*spans), "span_source": "trials", "clock": "trials"}


def _n_described(asked: Asked) -> int | None:
    """How many units the columns speak of, where there are any."""
    lengths = {key: len(asked.vector(key)) for key in (*_PER_UNIT, "ids") if key in asked}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{k} {n}" for k, n in lengths.items())
        raise UnreadableFile(f"{asked.source.path}: the units' columns are not of one length: {said}")
    return next(iter(lengths.values()), None)


def _units(asked: Asked, names: list[str], others: dict[str, pa.Array]) -> pa.Table:
    described = _n_described(asked)
    if described is not None and described != len(names):
        key = next(k for k in (*_PER_UNIT, "ids") if k in asked)
        raise asked.error(key, f"{described} values for {len(names)} units: there must be one each")
    columns: dict[str, Any] = {"unit_id": pa.array(_unique(asked, names), pa.string())}
    if "region" in asked:
        columns["region"] = pa.array([nwb_terms.region_of(r) for r in texts(asked, "region")], pa.string())
    for key in _PLACES:
        if key in asked:
            columns[_PLACES[key]] = floats(asked, key)
    if "quality" in asked:
        values = column(asked.vector("quality"))
        words = [None if values is None else nwb_terms.quality_of(v) for v in (values.to_pylist() if values is not None else names)]
        columns["quality"] = pa.array(words, pa.string())
        columns["quality_rule"] = pa.array([f"the file's {asked.mapping['quality']}"] * len(names))
        if values is not None:
            columns["src_quality"] = values
    return pa.table(columns | {k: v for k, v in others.items() if k not in columns})


def _unique(asked: Asked, names: list[str]) -> list[str]:
    """Names made unique: qualified by row where one stands twice."""
    twice = len(names) - len(set(names))
    if not twice:
        return names
    asked.notes.append(f"{twice} unit ids stood twice; all ids are qualified by row")
    return [f"{name}:{row}" for row, name in enumerate(names)]


def _said(asked: Asked, held: list[Held]) -> dict[str, Any]:
    """The single values of the file: what it says of itself. Paths on the machine it was made on are left out."""
    found: dict[str, Any] = {}
    for h in held:
        if h.leaves or len(found) >= 50 or not (set(h.shape) <= {1} or (h.dtype == "char" and set(h.shape[:1]) <= {1})):
            continue
        try:
            leaves = asked.source.leaves(h.name.split("/"))
        except UnreadableFile:
            continue
        made = column(leaves[0].values.reshape(-1)) if len(leaves) == 1 and leaves[0].values.size == 1 else None
        if made is not None and not _PATH_OR_LONG.search(str(made[0].as_py())):
            found[f"src_{h.name.replace('/', '_')}"] = made[0].as_py()
    return found
