"""Which crops make which batch: pure functions of seed, epoch and step, so that any batch can be asked for alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from neuropile.permuting import hashed, permuted

#: So many tokens of a pile are mixed at a time: their events, decoded, take 0.5 GB at 0.1 events a token.
POOL_TOKENS = 2**32
#: Of so many stretches of the pile, each read in its order: files are read once a pool, not once a crop.
RUNS = 16
#: Crops that are placed in one go, as asking for few costs as much.
_CHUNK = 1024
#: Parts of keys, so that no two uses of one seed and epoch share random numbers.
_RUNS_KEY, _POOL_KEY, _PLACE_KEY, _WINDOW_KEY, _UNITS_KEY = range(5)


class Cuts(NamedTuple):
    """Where some crops lie: arrays, a crop each.

    segment : its place in the pile; first_bin : from the segment's start
    first_unit : of consecutive units, or -1: drawn at random, with `key` (uint64)
    """

    segment: np.ndarray
    first_bin: np.ndarray
    first_unit: np.ndarray
    key: np.ndarray


@dataclass(frozen=True)
class Sizes:
    """What a plan is made of.

    n_units, n_bins : (segment,) int64; crop : units and bins of a crop at most; batch : crops of a batch
    """

    n_units: np.ndarray
    n_bins: np.ndarray
    crop: tuple[int, int]
    batch: int


class Plan(Protocol):
    """The batches of an epoch."""

    n_batches: int

    def cuts(self, epoch: int, batch: int) -> Cuts:
        """The crops of a batch of an epoch."""
        ...

    def pool(self, epoch: int, batch: int) -> tuple[int, ...]:
        """What names the pool a batch is of: equal for batches that share segments; () where segments are not shared."""
        ...

    def members(self, *pool: int) -> np.ndarray:
        """The segments of a pool, ascending."""
        ...


class InOrder:
    """Each segment's windows in time, and in each window all of its units in groups: every cell of the pile once."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self._groups = -(-sizes.n_units // sizes.crop[0])
        tiles = self._groups * -(-sizes.n_bins // sizes.crop[1])
        self._ends = np.cumsum(tiles)
        self._starts = self._ends - tiles
        self.n_crops = int(self._ends[-1])
        self.n_batches = -(-self.n_crops // sizes.batch)

    def cuts(self, epoch: int, batch: int) -> Cuts:
        """See Plan; the last batch may have fewer."""
        number = np.arange(batch * self.sizes.batch, min((batch + 1) * self.sizes.batch, self.n_crops))
        segment = np.searchsorted(self._ends, number, side="right")
        window, group = np.divmod(number - self._starts[segment], self._groups[segment])
        return Cuts(segment, window * self.sizes.crop[1], group * self.sizes.crop[0], np.zeros(len(number), np.uint64))

    def pool(self, epoch: int, batch: int) -> tuple[int, ...]:
        """See Plan: there is none, as a segment is read when its turn comes."""
        return ()

    def members(self, *pool: int) -> np.ndarray:
        """See Plan."""
        return np.empty(0, np.int64)


class Shuffled:
    """Crops at random: every token of the pile is as likely times its segment's weight, every batch a pure function of its number.

    An epoch has about as many crops as the pile has room for. Segments laid end to end, each as long as the crops it has
    room for times its weight, are cut into as many equal strata as there are crops; each stratum gives one crop, at a
    random point of it: so a segment comes as often as its weight says, up to one or two. Strata are dealt out in runs of
    neighbours: 16 runs, chosen by a permutation of all, make a pool, whose strata a second permutation mixes.

    weights : (segment,) at least 0
    """

    def __init__(self, sizes: Sizes, weights: np.ndarray, seed: int) -> None:
        self.sizes, self.seed = sizes, seed
        weights = np.ldexp(weights, -np.frexp(weights.max())[1])  # exact, and no sum of them is too large or too small for a float
        self._shape = np.minimum(sizes.n_units, sizes.crop[0]), np.minimum(sizes.n_bins, sizes.crop[1])
        room = (sizes.n_units / self._shape[0]) * (sizes.n_bins / self._shape[1])
        self._upto = np.cumsum(room * weights)
        self._weighted = weights > 0
        self._last = int(np.flatnonzero(weights)[-1])
        n = -(-int(np.ceil(room[self._weighted].sum())) // sizes.batch)
        pool = max(POOL_TOKENS // (sizes.crop[0] * sizes.crop[1] * sizes.batch), RUNS)
        run = n if n <= pool else pool // RUNS
        self._run = run * sizes.batch
        self._n_runs = -(-n // run)
        self.n_crops = self._n_runs * self._run
        self.n_batches = self._n_runs * run
        self._latest: tuple[tuple[int, int, int], Cuts] | None = None

    def cuts(self, epoch: int, batch: int) -> Cuts:
        """See Plan."""
        number = batch * self.sizes.batch
        pool, place = divmod(number, RUNS * self._run)
        step = max(_CHUNK // self.sizes.batch, 1) * self.sizes.batch
        chunk, first = divmod(place, step)
        if self._latest is None or self._latest[0] != (epoch, pool, chunk):
            self._latest = (epoch, pool, chunk), self._placed(epoch, pool, chunk * step, step)
        return Cuts(*(a[first : first + self.sizes.batch] for a in self._latest[1]))

    def _placed(self, epoch: int, pool: int, start: int, n: int) -> Cuts:
        """Some crops of a pool."""
        runs = self._runs(epoch, pool)
        size = len(runs) * self._run
        mixed = permuted(np.arange(start, min(start + n, size)), size, self.seed, epoch, _POOL_KEY, pool)
        stratum = runs[mixed // self._run] * self._run + mixed % self._run
        point = stratum + (self._drawn(stratum, epoch, _PLACE_KEY) >> np.uint64(11)) * 2.0**-53
        segment = self._segment_at(point)
        room = (self.sizes.n_bins - self._shape[1] + 1)[segment].astype(np.uint64)
        first_bin = (self._drawn(stratum, epoch, _WINDOW_KEY) % room).astype(np.int64)
        return Cuts(segment, first_bin, np.full(len(segment), -1), self._drawn(stratum, epoch, _UNITS_KEY))

    def _runs(self, epoch: int, pool: int) -> np.ndarray:
        return permuted(np.arange(pool * RUNS, min((pool + 1) * RUNS, self._n_runs)), self._n_runs, self.seed, epoch, _RUNS_KEY)

    def _drawn(self, stratum: np.ndarray, epoch: int, use: int) -> np.ndarray:
        return hashed(stratum, self.seed, epoch, use)

    def _segment_at(self, point: np.ndarray) -> np.ndarray:
        """The segment at a point of the strata, 0 to n_crops."""
        return np.minimum(np.searchsorted(self._upto, point / self.n_crops * self._upto[-1], side="right"), self._last)

    def pool(self, epoch: int, batch: int) -> tuple[int, ...]:
        """See Plan."""
        return epoch, batch * self.sizes.batch // (RUNS * self._run)

    def members(self, *pool: int) -> np.ndarray:
        """See Plan."""
        runs = self._runs(*pool)
        ends = self._segment_at(np.stack([runs, runs + 1]).astype(float) * self._run)
        found = np.unique(np.concatenate([np.arange(a, b + 1) for a, b in ends.T]))
        return found[self._weighted[found]]
