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
#: So many motifs that are not kept are remembered with their nearest, and as many words of those with long keys, 250 MB in all; then they
#: are forgotten and looked for anew.
MAX_NOTED = 1 << 21
#: New motifs are looked for so many at a time.
_LEARNT_AT_ONCE = 1 << 16


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
        self._notes = np.zeros((1 << 10, 4), np.int64)
        self._notes[0, :2] = kept, SILENT
        self._make_room(len(self.motifs))
        for i in np.flatnonzero(np.diff(np.r_[False, fits[1:], False])).reshape(-1, 2).tolist():  # runs of ids whose motifs have keys
            kernels.insert(self._keys, self._entries, self._packed(self.motifs[i[0] + 1 : i[1] + 1]), SILENT + 1 + i[0])
        words = -(-self.motifs.shape[1] // 8)
        self._slots: np.ndarray = np.zeros((1 << 4, words + 1), np.uint64)
        self._n_wide = int((~fits).sum())
        self._make_wide_room(self._n_wide)
        kernels.insert_wide(self._slots, _as_words(self.motifs[~fits]), SILENT + np.flatnonzero(~fits))
        #: Of patches that have a cell of more than 255, which are never kept: id, events, events once decoded, difference.
        self._beyond: dict[bytes, tuple[int, ...]] = {}

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
            wide_keys, beyond = kernels.gather_keys(offsets, bins, place, ids.shape[1], wide)
            self._encode_wide(wide_keys[~beyond], wide[~beyond], ids.reshape(-1), totals)
            if beyond.any():
                self._encode_beyond(kernels.gather(offsets, bins, place, ids.shape[1], wide[beyond]), wide[beyond], ids.reshape(-1), totals)
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
        for start in range(0, len(keys), _LEARNT_AT_ONCE):
            part, first = keys[start : start + _LEARNT_AT_ONCE], len(self.events_of) + self._n_notes
            self._remember(self._unpacked(part))
            kernels.insert(self._keys, self._entries, part, first)

    def _learn_wide(self, keys: np.ndarray) -> None:
        """The same for keys of several words, that may come more than once."""
        try:
            new = self._insert_wide(keys)
            if self._n_notes and (self._n_notes + len(new) > MAX_NOTED or self._n_wide + len(new) > MAX_NOTED // keys.shape[1]):
                self._forget()
                new = self._insert_wide(keys)
            self._n_wide += len(new)
            self._remember(keys[new].astype("<u8").view(np.uint8)[:, : self.motifs.shape[1]])
        except BaseException:  # stopped halfway, there are keys whose notes were never made
            self._forget()
            raise

    def _insert_wide(self, keys: np.ndarray) -> np.ndarray:
        self._make_wide_room(self._n_wide + len(keys))
        first = len(self.events_of) + self._n_notes
        return kernels.insert_wide(self._slots, keys, np.arange(first, first + len(keys)))

    def _remember(self, patches: np.ndarray) -> None:
        """Note what is nearest to motifs whose entries come next. patches : (patch, cell) uint8"""
        first = self._n_notes + 1
        while first + len(patches) > len(self._notes):
            self._notes = np.concatenate([self._notes, np.zeros_like(self._notes)])
        self._notes[first : first + len(patches)] = self._noted(patches)
        self._n_notes += len(patches)

    def _noted(self, patches: np.ndarray) -> np.ndarray:
        """Of patches that are not kept: id, events, events once decoded and difference, (patch, 4) int64."""
        numbers = self.nearest.find(patches)
        nearest = self.motifs[numbers].astype(np.int64)
        difference = np.abs(nearest - patches).sum(axis=1)
        return np.stack([numbers + SILENT, patches.sum(axis=1, dtype=np.int64), nearest.sum(axis=1), difference], axis=1)

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

    def _make_wide_room(self, n: int) -> None:
        """The same for keys of several words."""
        if 2 * n < len(self._slots):
            return
        taken = self._slots[self._slots[:, -1] > 0]
        self._slots = np.zeros((1 << (2 * n).bit_length(), self._slots.shape[1]), np.uint64)
        kernels.insert_wide(self._slots, np.ascontiguousarray(taken[:, :-1]), taken[:, -1].astype(np.int64) - 1)

    def _encode_wide(self, keys: np.ndarray, where: np.ndarray, flat_ids: np.ndarray, totals: np.ndarray) -> None:
        """The ids of patches that a key of one word does not hold. keys : (patch, word) uint64"""
        missed = kernels.fill_wide(where, keys, self._slots, self._notes, flat_ids, totals)
        for start in range(0, len(missed), _LEARNT_AT_ONCE):
            part = missed[start : start + _LEARNT_AT_ONCE]
            self._learn_wide(keys[part])
            kernels.fill_wide(where[part], keys[part], self._slots, self._notes, flat_ids, totals)

    def _encode_beyond(self, patches: np.ndarray, where: np.ndarray, flat_ids: np.ndarray, totals: np.ndarray) -> None:
        """The ids of patches that no key holds. patches : (patch, cell) int32"""
        unique, which = np.unique(patches, axis=0, return_inverse=True)
        which = which.reshape(-1)
        names = [p.tobytes() for p in unique]
        if len(self._beyond) > MAX_NOTED // 64:
            self._beyond.clear()
        new = [i for i, name in enumerate(names) if name not in self._beyond]
        if new:
            for i, note in zip(new, self._noted(unique[new]).tolist(), strict=True):
                self._beyond[names[i]] = tuple(note)
        notes = np.array([self._beyond[name] for name in names], np.int64)
        flat_ids[where] = notes[which, 0]
        totals += [len(which), *notes[which, 1:].sum(axis=0).tolist()]


def id_type(n: int) -> type:
    """The smallest of uint16 and uint32 that holds the ids of a vocabulary of n."""
    return np.uint16 if n <= 1 << 16 else np.uint32


def _as_words(patches: np.ndarray) -> np.ndarray:
    """Keys of a byte a cell: (patch, cell) uint8 -> (patch, word) uint64, as `kernels.gather_keys` gives them."""
    return np.pad(patches, ((0, 0), (0, -patches.shape[1] % 8))).view("<u8").astype(np.uint64)
