"""One segment of a pile: where it lies, who its units are, and its counts, from wherever the pile keeps them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from neuropile.binning import COUNT_TYPES
from neuropile.errors import CountOverflow, PileError

if TYPE_CHECKING:
    import pyarrow as pa
    import xarray as xr


def machine_memory() -> int:
    """How many bytes of memory this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class Source(Protocol):
    """Where a pile's counts come from: sessions of stores, or published rows."""

    def place(self, row: int) -> tuple[Source, int]:
        """Who gives the counts of a row of the pile, and its row there."""
        ...

    def unit_values(self, segment: Segment, column: str) -> list[Any]:
        """`unit_ids` or `regions` of a segment's units."""
        ...

    def species(self, segment: Segment) -> str | None:
        """The species of a segment's subject, as its source writes it."""
        ...

    def observed(self, segment: Segment) -> np.ndarray:
        """Observed runs, (run, 3): unit (-1 all), first bin, bin after the last, counted from the segment's start."""
        ...

    def counts_into(self, segment: Segment, out: np.ndarray) -> None:
        """Fill (unit, bin) counts; raises CountOverflow where one does not fit."""
        ...

    def events(self, segment: Segment) -> tuple[np.ndarray, np.ndarray]:
        """Where its events lie: (unit + 1,) offsets, (event,) int32 bins, ascending within a unit."""
        ...

    def tables(self, segments: Iterable[Segment]) -> tuple[pa.Table, pa.Table]:
        """The sessions behind some segments, a row each, and their units, in the order of the segments' rows of counts."""
        ...


@dataclass(frozen=True)
class Segment:
    """A stretch of one session in a pile: `n_units` by `n_bins` bins of `bin_width` seconds from `start_s`.

    source, row : who gives its counts, and its row there; first_bin : on the session's clock
    order : (unit,) which of its units, as stored, each row of its counts is; None leaves them as stored
    """

    source: Source
    row: int
    segment_id: str
    store: str
    dataset: str
    session_id: str
    recording_id: str
    subject_id: str | None
    quantity: str
    first_bin: int
    n_bins: int
    n_units: int
    selection_id: int
    split: str
    weight: float
    bin_width: Fraction
    session_digest: str | None
    order: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def start_s(self) -> float:
        """Where its first bin begins, in seconds on the session's clock."""
        return float(self.first_bin * self.bin_width)

    @property
    def stop_s(self) -> float:
        """Where its last bin ends, in seconds on the session's clock."""
        return float((self.first_bin + self.n_bins) * self.bin_width)

    @property
    def n_tokens(self) -> int:
        """Unit x bin."""
        return self.n_units * self.n_bins

    @property
    def key(self) -> str:
        """The session, as "dataset/session"."""
        return f"{self.dataset}/{self.session_id}"

    @property
    def unit_ids(self) -> list[str]:
        """The ids of its units, in the order of the counts' rows."""
        return self.source.unit_values(self, "unit_ids")

    @property
    def regions(self) -> list[str | None]:
        """The region label of each unit, None where the source gives none."""
        return self.source.unit_values(self, "regions")

    @property
    def species(self) -> str | None:
        """The species of its subject, as the source writes it."""
        return self.source.species(self)

    @property
    def observed(self) -> np.ndarray:
        """Observed runs of bins, (run, 3) int64: unit (-1 all units), first bin, bin after the last; bins from 0 here."""
        with self._fitting(4 * self.n_bins):  # a mask of its bins, and where that changes
            return self.source.observed(self)

    def observed_mask(self) -> np.ndarray:
        """Which bins are data: (unit, bin) bool, or (1, bin) where all units were observed alike."""
        runs = self.observed
        mask = np.zeros((self.n_units if np.any(runs[:, 0] >= 0) else 1, self.n_bins), bool)
        for unit, start, stop in runs.tolist():
            mask[slice(None) if unit < 0 else unit, start:stop] = True
        return mask

    def counts(self, out: np.ndarray | None = None, dtype: Any = None) -> Any:
        """The counts: an xarray.DataArray (unit, time) as `Session.counts` gives, or `out` filled.

        Parameters
        ----------
        out : contiguous unsigned array, (unit, bin), or flat with room for n_units * n_bins; filled and returned as (unit, bin)
        dtype : for the labelled form; by default uint8, or the smallest that holds every count

        Raises
        ------
        CountOverflow : a count does not fit `out` or `dtype`
        PileError : the labelled form is larger than the machine's memory
        """
        if out is not None:
            return self._fill(out)
        for kind in COUNT_TYPES if dtype is None else (np.dtype(dtype).type,):
            with self._fitting(np.dtype(kind).itemsize * self.n_tokens + 40 * self.n_bins):  # five labels of 64 bits a bin, two of them in the making
                try:
                    values = np.empty((self.n_units, self.n_bins), kind)
                    self.source.counts_into(self, values)
                    return self._labelled(values)
                except CountOverflow:
                    if dtype is not None or kind is COUNT_TYPES[-1]:
                        raise
        raise AssertionError("the last type raised or was returned")

    @contextmanager
    def _fitting(self, n_bytes: int) -> Iterator[None]:
        """PileError where so many bytes, or what the block asks for, are more than the machine has: a damaged pile may declare any size."""
        told = f"{self!r} does not fit into this machine's memory (about {n_bytes / 1e9:.3g} GB); make the pile with fewer tokens a segment"
        if n_bytes > machine_memory():
            raise PileError(told)
        try:
            yield
        except MemoryError:
            raise PileError(told) from None

    def events(self) -> tuple[np.ndarray, np.ndarray]:
        """Where its events lie, without a dense array.

        Returns
        -------
        offsets : (unit + 1,) int64; unit u owns bins[offsets[u]:offsets[u + 1]]
        bins : (event,) int32 from 0, ascending within a unit; a bin that holds n events comes n times
        """
        if self.n_bins >= 2**31:
            raise PileError(f"{self!r} has more bins than 32 bits can count; make the pile with fewer tokens a segment")
        return self.source.events(self)

    def _fill(self, out: np.ndarray) -> np.ndarray:
        if out.ndim == 1 and out.size >= self.n_tokens:
            out = out[: self.n_tokens].reshape(self.n_units, self.n_bins)
        if out.shape != (self.n_units, self.n_bins) or not out.flags.c_contiguous or out.dtype.kind != "u":
            raise PileError(f"out must be a contiguous unsigned array of shape {(self.n_units, self.n_bins)}, got {out.dtype} {out.shape}")
        self.source.counts_into(self, out)
        return out

    def _labelled(self, values: np.ndarray) -> xr.DataArray:
        import xarray as xr

        k = self.first_bin + np.arange(self.n_bins)
        each, differs = self.observed_mask(), bool(np.any(self.observed[:, 0] >= 0))
        coords: dict[str, Any] = {
            "unit_id": ("unit", np.array(self.unit_ids, object)),
            "region": ("unit", np.array(self.regions, object)),
            "time": ("time", (k + 0.5) * float(self.bin_width)),
            "bin": ("time", k),
        }
        coords["observed"] = ("time", each.any(axis=0))
        if differs:
            coords["unit_observed"] = (("unit", "time"), each)
        attributes = {"bin_width_s": float(self.bin_width), "session": self.key, "segment": self.segment_id, "quantity": self.quantity}
        return xr.DataArray(values, dims=("unit", "time"), coords=coords, name="counts", attrs=attributes)

    def __repr__(self) -> str:
        return f"<Segment {self.key} {self.segment_id}: {self.n_units} units x {self.n_bins} bins of {self.bin_width} s from {self.start_s:g} s, {self.split}>"
