"""Which of the kept motifs is nearest to a patch, by spikes and their place or by cosine."""

from __future__ import annotations

import numpy as np

from neuropile.errors import PileError
from neuropile.tokens.nearest_kernels import LEAF, STEP, find_nearest

DISTANCES = ("count", "cosine")
#: Queries are prepared so many at a time.
_BATCH = 8192
#: Values nearer than this are one value, but for rounding.
_STEP_BETWEEN = 1e-9
#: A cut that would set apart a smaller share than this is made in the middle: it would leave leaves nearly empty.
_LEAST_SHARE = 0.15
#: Types of scores, and below which every score is exact in them: the shortest are the fastest.
_KINDS = ((np.int16, 2.0**15), (np.float32, 2.0**24), (np.float64, np.inf))


def _count_form(shape: tuple[int, int]) -> np.ndarray:
    """The count distance as a quadratic form, (cell, cell) int64: d @ form @ d + 2 * d.sum()**2 for the difference d of two patches.

    A cell stands alone and in two pairs, two neighbours share a pair.
    """
    unit = 3 * np.eye(shape[1], dtype=np.int64) + np.eye(shape[1], k=1, dtype=np.int64) + np.eye(shape[1], k=-1, dtype=np.int64)
    return np.kron(np.eye(shape[0], dtype=np.int64), unit)


class Nearest:
    """The kept motifs, arranged for the search: LEAF of them, near each other, in a box.

    motifs : (motif, cell) uint8, the silent one first, all different; shape : (units, bins); distance : one of DISTANCES
    """

    def __init__(self, motifs: np.ndarray, shape: tuple[int, int], distance: str) -> None:
        if distance not in DISTANCES:
            raise PileError(f"distance is {distance!r}; it must be one of {', '.join(DISTANCES)}")
        self.motifs, self.cosine = motifs, distance == "cosine"
        self.form = np.eye(motifs.shape[1], dtype=np.int64) if self.cosine else _count_form(shape)
        #: As many features as cells, and the sum: the distance of two patches is that of their places.
        self.root = np.linalg.cholesky(self.form.astype(np.float64))
        number = np.arange(1, len(motifs)) if self.cosine else np.arange(len(motifs))  # silence has no direction
        cells = motifs[number].astype(np.int64)
        squares = ((cells @ self.form) * cells).sum(axis=1) + (0 if self.cosine else 2 * cells.sum(axis=1) ** 2)
        points = self._places(cells, squares)
        nothing = np.zeros(len(cells), np.int64)
        self.cells = np.hstack([motifs[number], np.zeros((len(cells), 1), np.uint8)])
        #: A score is twice the product with a point, less the point's own square; or just the product.
        self.totals: np.ndarray = nothing if self.cosine else cells.sum(axis=1)
        self.terms: np.ndarray = nothing if self.cosine else -squares
        self.norms = squares if self.cosine else nothing + 1
        self.largest = int(squares.max())
        self.rows = _leaves(np.hstack([cells > 0, points]) if self.cosine else points)
        boxed = points[self.rows]
        self.low, self.high = (np.ascontiguousarray(f(axis=1).T, np.float32) for f in (boxed.min, boxed.max))
        self.numbers = number[self.rows]
        self._arranged: dict[type, tuple[np.ndarray, ...]] = {}

    def find(self, patches: np.ndarray) -> np.ndarray:
        """The number of the kept motif nearest to each patch: (patch, cell) counts -> (patch,) int64; of equals the lowest.

        A cell of more than 255 events is taken for 255, which is all that a motif can have.
        """
        out = np.zeros(len(patches), np.int64)
        for start in range(0, len(patches), _BATCH):
            part = np.minimum(patches[start : start + _BATCH], 255).astype(np.float64)
            # patches with spikes in the same cells go the same way through the boxes: one after the other they find them in the cache
            alike = np.lexsort(np.packbits(part > 0, axis=1).T)
            out[start + alike] = self._find(part[alike])
        return out

    def _find(self, patches: np.ndarray) -> np.ndarray:
        """patches : (patch, cell) whole numbers as float64: all sums stay far below 2**53, and products of matrices are fast."""
        formed, sums = patches if self.cosine else patches @ self.form, patches.sum(axis=1)
        squares = (formed * patches).sum(axis=1) + (0 if self.cosine else 2 * sums**2)
        weights = np.pad(formed if self.cosine else 2 * formed, ((0, 0), (0, 1)))
        totals = (0 if self.cosine else 4) * sums
        points = self._places(patches, squares).astype(np.float32)
        largest = 2 * np.sqrt(squares * self.largest) + self.largest  # no score is larger
        best, least = np.zeros(len(patches), np.int64), 0.0
        for kind, most in _KINDS:
            asked = np.flatnonzero((largest >= least) & (largest < most) & (squares > 0))  # silence is nearest to silence
            least = most
            if len(asked):
                of_queries = (weights[asked].astype(kind), totals[asked].astype(kind), points[asked], squares[asked])
                best[asked] = find_nearest(*of_queries, self._leaves_as(kind), self.cosine)
        if self.cosine:  # at a right angle to every motif: silence is no farther, and comes first
            best[(self.motifs[best] * patches).sum(axis=1) == 0] = 0
        return best

    def _places(self, patches: np.ndarray, squares: np.ndarray) -> np.ndarray:
        """Where patches lie: (patch, feature) float64, padded with 0 to a multiple of STEP features."""
        if self.cosine:
            places = patches / np.sqrt(np.maximum(squares, 1))[:, None]
        else:
            places = np.hstack([patches @ self.root, np.sqrt(2) * patches.sum(axis=1, keepdims=True)])
        return np.pad(places, ((0, 0), (0, -places.shape[1] % STEP)))

    def _leaves_as(self, kind: type) -> tuple[np.ndarray, ...]:
        """The leaves as `find_nearest` has them; `kind` is the type of whole numbers."""
        if kind not in self._arranged:
            cells, norms = np.ascontiguousarray(self.cells[self.rows].transpose(0, 2, 1)), self.norms[self.rows]
            scales = (1 / np.sqrt(norms)).astype(np.float64 if kind is np.float64 else np.float32)
            of_points = (self.totals[self.rows].astype(kind), self.terms[self.rows].astype(kind), scales, norms, self.numbers)
            self._arranged[kind] = (self.low, self.high, cells, *of_points)
        return self._arranged[kind]


def _leaves(points: np.ndarray) -> np.ndarray:
    """Which points lie together: (leaf, LEAF) int64; a leaf of fewer points holds some twice.

    Cut again and again along the feature that varies most, near the middle and where its value changes: patches hold few different
    counts, and a cut among equal ones would leave a box no smaller.
    """
    done, todo = [], [np.arange(len(points))]
    while todo:
        part = todo.pop()
        if len(part) <= LEAF:
            done.append(np.resize(part, LEAF))
            continue
        values = points[part, int(points[part].var(axis=0).argmax())]
        order = np.argsort(values, kind="stable")
        middle = len(part) // 2
        steps = np.flatnonzero(np.diff(values[order]) > _STEP_BETWEEN) + 1
        cut = int(steps[np.abs(steps - middle).argmin()]) if len(steps) else middle
        if min(cut, len(part) - cut) < _LEAST_SHARE * len(part):
            cut = middle
        todo += [part[order[cut:]], part[order[:cut]]]
    return np.stack(done)
