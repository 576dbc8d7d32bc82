"""Crops of a pile as PyTorch batches: sharded over ranks and workers, and resumed anywhere, with one order for all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuropile.errors import MissingExtra, PileError
from neuropile.pile import Pile
from neuropile.training import cropping
from neuropile.training.sampling import InOrder, Plan, Shuffled, Sizes

try:
    import torch
    from torch.utils.data import DataLoader, IterableDataset, get_worker_info
except ImportError:
    raise MissingExtra("training", "torch") from None

Batch = dict[str, Any]
#: A batch of more is not meant: its arrays would not fit the memory of most machines.
MAX_BATCH_BYTES = 16 * 2**30


@dataclass(frozen=True)
class Options:
    """How a pile is cropped.

    crop : units and bins of a crop at most
    batch_size : crops of a batch
    shuffle : crops at random, about as many an epoch as the pile has room for; else every cell of the pile once, in order
    mask : whether batches hold which counts are data
    seed : another seed, another order and other crops
    weights : by dataset, how many times as often as others its tokens are drawn (1 where it is not named); segments'
        own weights count too
    rank, world : this process and how many there are; by default what torch.distributed says, else one alone
    cache_bytes : decoded segments kept in memory, in each worker
    """

    crop: tuple[int, int] = (256, 512)
    batch_size: int = 32
    shuffle: bool = True
    mask: bool = True
    seed: int = 0
    weights: Mapping[str, float] | None = None
    rank: int | None = None
    world: int | None = None
    cache_bytes: int = 2**30


def dataset(pile: Pile, crop: tuple[int, int] = (256, 512), **options: Any) -> Crops:
    """Batches of crops of a pile, windows of bins and subsets of units, for training with PyTorch.

    crop, options : see `Options`

    Raises
    ------
    MissingExtra : torch is not installed
    PileError : the pile is empty, or an option cannot be
    """
    try:
        n_units, n_bins = crop
        chosen = Options((n_units, n_bins), **options)
    except (TypeError, ValueError) as e:
        known = ", ".join(Options.__dataclass_fields__)
        raise PileError(f"crops cannot be made of crop={crop!r} and {sorted(options)} ({e}); crop is (units, bins), options are {known}") from None
    return Crops(pile, chosen)


class Crops(IterableDataset):
    """Batches of crops, from where it is to the end of the epoch; iterated again, it goes on with the next.

    A batch is a dict; `counts` and `mask` have room for the crop asked for, whatever the segment has:
    counts : (crop, unit, bin) uint8, 0 where there is nothing; mask : the same shape, bool, True where a count is data
    position : (crop,) int64, which segment of the pile; first_bin : (crop,) int64, from the segment's start
    units : (crop, unit) int64, which rows of the segment's counts, ascending, -1 where there is none
    dataset, session_id, segment_id, split : lists, an entry a crop; epoch, step : which batch it is

    Batch n of an epoch is the same whatever the workers and ranks. Ranks take turns, and so do workers.
    """

    def __init__(self, pile: Pile, options: Options) -> None:
        weights = _weights(pile, options)
        self.pile, self.options = pile, options
        self.rank, self.world = _ranks(options)
        self.epoch, self.step = 0, 0
        n_units, n_bins = (pile.table[name].to_numpy().astype(np.int64) for name in ("n_units", "n_bins"))
        sizes = Sizes(n_units, n_bins, options.crop, options.batch_size)
        self.plan: Plan = Shuffled(sizes, weights, options.seed) if options.shuffle else InOrder(sizes)
        if options.shuffle and self.plan.n_batches < self.world:
            raise PileError(f"an epoch has {self.plan.n_batches} batches, too few for {self.world} ranks; take smaller batches or crops")
        order = (options.crop, options.batch_size, options.shuffle, options.seed, weights.tolist(), pile.digest)
        self._order = hashlib.sha256(repr(order).encode()).hexdigest()[:16]
        self._held = cropping.Held(pile, options.cache_bytes)
        self._room = cropping.Room()
        self._start = torch.zeros(2, dtype=torch.int64).share_memory_()  # where workers begin, however long they live

    def batch(self, epoch: int, step: int) -> Batch:
        """Batch `step` of an epoch, of all ranks' batches; asking for it changes nothing.

        Raises
        ------
        PileError : there is no such batch
        """
        if not all(isinstance(n, int | np.integer) and n >= 0 for n in (epoch, step)) or step >= self.plan.n_batches:
            raise PileError(f"no batch {step!r} of epoch {epoch!r}: an epoch has {self.plan.n_batches} batches, from 0 on, and epochs count from 0")
        cuts = self.plan.cuts(epoch, step)
        if pool := self.plan.pool(epoch, step):
            self._held.expect(pool, self.plan.members)
        shape = (len(cuts.segment), *self.options.crop)
        counts, units = self._room.take(shape, np.uint8), np.empty(shape[:2], np.int64)
        mask = self._room.take(shape, np.bool_) if self.options.mask else None
        segments = cropping.fill(self._held, cuts, counts, units, mask)
        told = {name: [getattr(s, name) for s in segments] for name in ("dataset", "session_id", "segment_id", "split")}
        arrays = {"counts": counts, "mask": mask, "position": cuts.segment.copy(), "first_bin": cuts.first_bin.copy(), "units": units}
        return {**{name: torch.from_numpy(a) for name, a in arrays.items() if a is not None}, **told, "epoch": epoch, "step": step}

    def __len__(self) -> int:
        """How many batches of a whole epoch are this rank's."""
        return len(self._steps(0))

    def _steps(self, start: int) -> range:
        """This rank's batches of an epoch that begins at `start`; at random, as many as every other rank's."""
        n = self.plan.n_batches
        return range(start + self.rank, start + (n - start) // self.world * self.world if self.options.shuffle else n, self.world)

    def _is_left(self, start: int) -> bool:
        """Whether an epoch has batches from `start` on for any rank: all ranks are to say the same, whosever turn it is."""
        return self.plan.n_batches - start >= (self.world if self.options.shuffle else 1)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        if worker is None:
            return self._followed(self._batches(self.epoch, self._steps(self.step)))
        epoch, step = self._start.tolist()  # now: not when the first batch is asked for, as others may be further by then
        return self._batches(epoch, self._steps(step)[worker.id :: worker.num_workers])

    def _batches(self, epoch: int, steps: range) -> Iterator[Batch]:
        return (self.batch(epoch, step) for step in steps)

    def _followed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same, with `epoch` and `step` kept at what comes after the batch handed out."""
        epoch = self.epoch
        for batch in batches:
            after = batch["step"] - self.rank + self.world
            self.epoch, self.step = (epoch, after) if self._is_left(after) else (epoch + 1, 0)
            yield batch
        if self.epoch == epoch:
            self.set_epoch(epoch + 1)
        self._start[:] = torch.tensor([self.epoch, self.step])

    def loader(self, **options: Any) -> Loader:
        """Batches made by worker processes, followed here; options are those of torch's DataLoader, such as `num_workers=4`."""
        return Loader(self, options)

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch."""
        self._go_to(epoch, 0)

    def _go_to(self, epoch: int, step: int) -> None:
        self.epoch, self.step = epoch, step
        self._start[:] = torch.tensor([epoch, step])

    def state_dict(self) -> dict[str, Any]:
        """Where it is: seed, epoch, step, and a digest of the pile and the options the order depends on; four values, as JSON takes them."""
        return {"seed": self.options.seed, "epoch": self.epoch, "step": self.step, "order": self._order}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where a state was taken, whatever the number of ranks and workers was.

        Raises
        ------
        PileError : it is no state, or one of another pile, seed, crop, batch size or of other weights
        """
        epoch, step = state.get("epoch"), state.get("step")
        if not isinstance(epoch, int) or not isinstance(step, int) or epoch < 0 or not 0 <= step <= self.plan.n_batches:
            raise PileError(f"no state of crops: epoch {epoch!r}, step {step!r}; give what state_dict() gave")
        if state.get("order") != self._order:
            raise PileError("the state is of another pile, or of other options (seed, crop, batch_size, shuffle, weights); give those it was taken with")
        self._go_to(epoch, step)


class Loader:
    """Batches of crops made by worker processes, in their order; `crops.state_dict()` says where the last one handed out was."""

    def __init__(self, crops: Crops, options: Mapping[str, Any]) -> None:
        self.crops = crops
        # not forked, by default: threads of libraries that are loaded here would hang in a forked child
        workers = {"multiprocessing_context": "spawn", "persistent_workers": True} if options.get("num_workers") else {}
        self._batches: DataLoader[Batch] = DataLoader(crops, batch_size=None, **{**workers, **options})

    def __iter__(self) -> Iterator[Batch]:
        self.crops._go_to(self.crops.epoch, self.crops.step)
        return self.crops._followed(self._batches)

    def __len__(self) -> int:
        """As of the crops: batches of a whole epoch."""
        return len(self.crops)


def _ranks(options: Options) -> tuple[int, int]:
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    world = options.world if options.world is not None else torch.distributed.get_world_size() if together else 1
    rank = options.rank if options.rank is not None else torch.distributed.get_rank() if together else 0
    if not 0 <= rank < world:
        raise PileError(f"rank {rank} of world {world}: ranks count from 0 to world - 1; give both, or neither under torch.distributed")
    return rank, world


def _batch_bytes(options: Options) -> int:
    """What the arrays of a batch take: counts, mask and units."""
    n_units, n_bins = map(int, options.crop)
    return int(options.batch_size) * n_units * (n_bins * (2 if options.mask else 1) + 8)


def _weights(pile: Pile, options: Options) -> np.ndarray:
    """How often each segment's tokens are drawn, (segment,) float64; options that cannot be raise PileError."""
    if not len(pile):
        raise PileError("the pile is empty: there is nothing to crop; take another split, or make the pile with other shares")
    for name, least in (("crop", 1), ("batch_size", 1), ("cache_bytes", 1), ("seed", -np.inf)):
        value = getattr(options, name)
        if not all(isinstance(v, int | np.integer) and v >= least for v in (value if name == "crop" else (value,))):
            raise PileError(f"{name} is {value}; it takes whole numbers{' from 1 on' if least == 1 else ''}")
    if (n_bytes := _batch_bytes(options)) > MAX_BATCH_BYTES:
        told = f"crop={tuple(map(int, options.crop))} and batch_size={options.batch_size} make batches of {n_bytes / 2**30:.3g} GiB"
        raise PileError(f"{told}, more than {MAX_BATCH_BYTES / 2**30:.3g}; take smaller crops, or fewer a batch")
    datasets = np.array(pile.table["dataset"].to_pylist(), object)
    named = dict(options.weights or {})
    if unknown := set(named) - set(datasets):
        raise PileError(f"weights name {', '.join(sorted(unknown))}, but the pile's datasets are {', '.join(sorted(set(datasets)))}")
    if named and not options.shuffle:
        raise PileError("weights say how often crops are drawn at random; with shuffle=False each comes once: give one of the two")
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is told below
        weights = pile.table["weight"].to_numpy() * np.array([named.get(d, 1.0) for d in datasets], float)
    if options.shuffle and not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise PileError(f"weights of segments go from {weights.min():g} to {weights.max():g}; they must be finite, at least 0, and one above it")
    return weights
