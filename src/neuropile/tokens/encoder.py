"""Events to token ids: kept motifs by their key, all others by the nearest kept one, looked for once each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuropile.errors import PileError
from neuropile.tokens import kernels
from neuropile.tokens.nearest import Nearest

#: The ids before the first motif's; the first motif is the silent one.
RESERVED = ("pad", "bos", "eos", "sep", "mask")
SILENT = len(RESERVED)
#: A patch has at most this many cells: a key holds at least a bit of each.
MAX_CELLS = 64
#: So many motifs that are not kept are remembered with their nearest, 150 MB of them; then they are forgotten and looked for anew.
MAX_NOTED = 1 << 21


@dataclass(frozen=True)
class Encoded:
    """A segment's ids, and what became of its events.

    ids : (row, column) unsigned; n_patches that are not unobserved, and of them those coded exactly; events in them, in the exact
    ones, and once decoded; difference : sum over cells of |decoded - counted|
    """

    ids: np.ndarray
    n_coded: int
    n_exact: int
    n_silent: int
    events: int
    events_exact: int
    events_decoded: int
    difference: int


class Encoder:
    """A vocabulary's motifs as a table of keys, and what was found for others so far. What is found depends on nothing that came before.

    motifs : (motif, cell) uint8, all different, the silent one first; shape : (units, bins) of a patch
    """

    def __init__(self, motifs: np.ndarray, shape: tuple[int, int], distance: str, pad: bool) -> None:
        self.motifs, self.shape, self.pad = motifs, shape, pad
        self.nearest = Nearest(motifs, shape, distance)
        self.dtype = id_type(SILENT + len(motifs))
        cells = shape[0] * shape[1]
        self.bits = min(8, 64 // cells)
        #: Of each id what it decodes to in events; nothing for the reserved ones.
        self.events_of = np.concatenate([np.zeros(SILENT, np.int64), motifs.sum(axis=1, dtype=np.int64)])
        self._forget()

    def _forget(self) -> None:
        """Know the kept motifs only."""
        kept = len(self.events_of)
        fits = self.motifs.max(axis=1) < 1 << self.bits
        self._keys, self._entries = np.zeros(0, np.uint64), np.zeros(0, np.int32)
        self._n_notes = 0
        self._notes = np.zeros((4, 1 << 10), np.int64)
        self._notes[:2, 0] = kept, SILENT
        self._make_room(len(self.motifs))
        for i in np.flatnonzero(np.diff(np.r_[False, fits[1:], False])).reshape(-1, 2).tolist():  # runs of ids whose motifs have keys
            kernels.insert(self._keys, self._entries, self._packed(self.motifs[i[0] + 1 : i[1] + 1]), SILENT + 1 + i[0])
        #: Of patches that no key holds: id, events, events once decoded, difference.
        self._wide = {_name(m): (SILENT + int(i), int(m.sum()), int(m.sum()), 0) for i, m in zip(np.flatnonzero(~fits), self.motifs[~fits], strict=True)}

    def grid(self, n_units: int, n_bins: int) -> tuple[int, int]:
        """How many rows and columns of patches a segment has: whole ones, or with those that the edge cuts where they are padded."""
        p_n, p_t = self.shape
        return (-(-n_units // p_n), -(-n_bins // p_t)) if self.pad else (n_units // p_n, n_bins // p_t)

    def encode(self, offsets: np.ndarray, bins: np.ndarray, n_bins: int, observed: np.ndarray | None = None) -> Encoded:
        """The ids of one segment's patches.

        Parameters
        ----------
        offsets, bins : as of `Segment.events`
        observed : (row, column) bool, the patches that are wholly observed, the others become pad; None where all are
        """
        if len(offsets) < 1 or offsets[0] < 0 or np.any(np.diff(offsets) < 0) or offsets[-1] > len(bins):  # the kernels trust these
            raise PileError("the events of a segment are not listed unit by unit; its file is damaged: make or fetch it again")
        ids: np.ndarray = np.empty(self.grid(len(offsets) - 1, n_bins), self.dtype)
        totals = np.zeros(4, np.int64)
        looked_at = np.empty((0, 0), np.uint8) if observed is None else observed.astype(np.uint8)
        place = (*self.shape, self.bits)
        missed, keys, wide = kernels.encode_rows(offsets, bins, place, looked_at, self._table, ids, totals)
        if len(missed):
            self._learn(np.unique(keys))
            kernels.fill_known(missed, keys, self._table, ids.reshape(-1), totals)
        if len(wide):
            self._encode_wide(kernels.gather(offsets, bins, place, ids.shape[1], wide), wide, ids.reshape(-1), totals)
        n_coded = ids.size
        if observed is not None:
            ids[~observed] = 0
            n_coded = int(observed.sum())
        used = np.bincount(ids.reshape(-1), minlength=len(self.events_of))
        decoded = int((used * self.events_of).sum())
        n_other, others, others_decoded, difference = totals.tolist()
        exact = decoded - others_decoded
        return Encoded(ids, n_coded, n_coded - n_other, int(used[SILENT]), exact + others, exact, decoded, difference)

    @property
    def _table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._keys, self._entries, self._notes

    def _packed(self, patches: np.ndarray) -> np.ndarray:
        shifts = np.arange(patches.shape[1], dtype=np.uint64) * np.uint64(self.bits)
        return (patches.astype(np.uint64) << shifts).sum(axis=1, dtype=np.uint64)

    def _unpacked(self, keys: np.ndarray) -> np.ndarray:
        shifts = np.arange(self.motifs.shape[1], dtype=np.uint64) * np.uint64(self.bits)
        return (keys[:, None] >> shifts & np.uint64((1 << self.bits) - 1)).astype(np.uint8)

    def _learn(self, keys: np.ndarray) -> None:
        """Find what is nearest to motifs that are met for the first time. keys : (motif,) all different"""
        keys = keys[kernels.absent(self._keys, keys)]
        if self._n_notes + len(keys) > MAX_NOTED and self._n_notes:
            self._forget()
        self._make_room(len(self.motifs) + self._n_notes + len(keys))
        for start in range(0, len(keys), 1 << 16):
            part = keys[start : start + (1 << 16)]
            notes = self._noted(self._unpacked(part))
            first = self._n_notes + 1
            while first + len(part) > self._notes.shape[1]:
                self._notes = np.concatenate([self._notes, np.zeros_like(self._notes)], axis=1)
            self._notes[:, first : first + len(part)] = notes
            kernels.insert(self._keys, self._entries, part, len(self.events_of) + self._n_notes)
            self._n_notes += len(part)

    def _noted(self, patches: np.ndarray) -> np.ndarray:
        """Of patches that are not kept: id, events, events once decoded and difference, (4, patch) int64."""
        numbers = self.nearest.find(patches)
        nearest = self.motifs[numbers].astype(np.int64)
        difference = np.abs(nearest - patches).sum(axis=1)
        return np.stack([numbers + SILENT, patches.sum(axis=1, dtype=np.int64), nearest.sum(axis=1), difference])

    def _make_room(self, n: int) -> None:
        """A table with places for n keys that is less than half full."""
        if 2 * n < len(self._keys):
            return
        old, entries = self._keys, self._entries
        size = 1 << max(2 * n, 16).bit_length()
        self._keys, self._entries = np.zeros(size, np.uint64), np.zeros(size, np.int32)
        taken = np.flatnonzero(old)
        order = taken[np.argsort(entries[taken], kind="stable")]
        for part in np.split(order, np.flatnonzero(np.diff(entries[order]) != 1) + 1):
            if len(part):
                kernels.insert(self._keys, self._entries, old[part], entries[part[0]])

    def _encode_wide(self, patches: np.ndarray, where: np.ndarray, flat_ids: np.ndarray, totals: np.ndarray) -> None:
        """The ids of patches that no key holds. patches : (patch, cell) int32"""
        unique, which = np.unique(patches, axis=0, return_inverse=True)
        which = which.reshape(-1)
        names = [_name(p) for p in unique]
        if len(self._wide) > MAX_NOTED // 8:
            self._forget()
        new = [i for i, name in enumerate(names) if name not in self._wide]
        if new:
            for i, note in zip(new, self._noted(unique[new]).T.tolist(), strict=True):
                self._wide[names[i]] = tuple(note)
        notes = np.array([self._wide[name] for name in names], np.int64)
        flat_ids[where] = notes[which, 0]
        others = which[notes[which, 3] > 0]
        totals += [len(others), *notes[others, 1:].sum(axis=0).tolist()]


def id_type(n: int) -> type:
    """The smallest of uint16 and uint32 that holds the ids of a vocabulary of n."""
    return np.uint16 if n <= 1 << 16 else np.uint32


def _name(patch: np.ndarray) -> bytes:
    return patch.astype("<i4").tobytes()
