"""Piles as token ids: a vocabulary fitted on motifs, piles encoded with it, and how exact that is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from neuropile import parquet, run
from neuropile.binning import as_width
from neuropile.errors import PileError, StoreError
from neuropile.paths import replacing
from neuropile.pile import Pile, Shard
from neuropile.progress import QUIET, Progress
from neuropile.run import SERIAL, Engine
from neuropile.segment import Segment
from neuropile.tokens.encoder import Encoded
from neuropile.tokens.files import IDS_PER_GROUP, KIND, VERSION, WRITING, decode, ids_row, ids_schema, read_ids
from neuropile.tokens.nearest import DISTANCES
from neuropile.tokens.vocabulary import Vocabulary, check_shape, open_vocabulary, patches_of, refuse_existing

__all__ = ["Accuracy", "Vocabulary", "decode", "encode", "fit", "open_vocabulary", "read_ids", "report"]

MOTIFS_KIND = "neuropile motifs"
MOTIFS_VERSION = 1


#: Motifs that are kept where nobody says how many.
SIZE = 32_000


def fit(table: str | Path, size: int | None = None, *, distance: str = "count", any_split: bool = False) -> Vocabulary:
    """A vocabulary of the most frequent motifs of a table.

    Parameters
    ----------
    table : a file of `motifs.count`; only its head is read
    size : how many motifs, the silent one always among them, by default SIZE or all there are; five more ids are reserved
    distance : how a motif that is not kept finds its nearest: "count" (spikes and their place) or "cosine"
    any_split : take a table that counted more than the training split

    Raises
    ------
    PileError : the file is no motif table, has fewer motifs, or counted other splits than train
    """
    if size is not None and size < 2:
        raise PileError(f"a vocabulary of {size} motifs tells nothing apart; take 2 or more")
    if distance not in DISTANCES:
        raise PileError(f"distance is {distance!r}; it must be one of {', '.join(DISTANCES)}")
    meta, motifs, counts = _head_of_table(Path(table), size or SIZE)
    others = sorted(set(meta["splits"]) - {"train"})
    if others and not any_split:
        raise PileError(
            f"{table} counts the motifs of {', '.join(others)} too: a vocabulary fitted on it has seen what models are tested on; "
            "count with --split train, or allow it with --any-split (any_split=True)"
        )
    silent = ~motifs.any(axis=1)
    n_there = int(meta["n_unique"]) + (0 if meta["n_silent"] else 1)
    size = min(SIZE, n_there) if size is None else size
    if size > n_there:
        raise PileError(f"{size} motifs were asked for, and {table} has {n_there} (with the silent one); take {n_there} or fewer")
    kept = np.concatenate([np.zeros((1, motifs.shape[1]), np.uint8), motifs[~silent][: size - 1]])
    kept_counts = np.concatenate([[int(meta["n_silent"])], counts[~silent][: size - 1]])
    facts = {name: meta[name] for name in ("shape", "pad", "bin_width", "pile", "splits", "n_patches", "n_unique")}
    coverage = float(kept_counts.sum() / max(int(meta["n_patches"]), 1))
    return Vocabulary(kept, kept_counts, {**facts, "distance": distance, "coverage": coverage})


def _head_of_table(path: Path, size: int) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """What a motif table says of itself, and its first motifs with their counts: `size` and the silent one, or all."""
    if not path.is_file():
        raise PileError(f"{path}: no such motif table; make one with: neuropile motifs PILE --out {path}")
    try:
        file = parquet.opened(path)
        meta = json.loads((file.metadata.metadata or {})[b"neuropile"])
        if meta["format"] != MOTIFS_KIND or meta["version"] != MOTIFS_VERSION:
            raise ValueError(f"it says it is {meta['format']!r} of version {meta['version']!r}")
        shape = check_shape(meta["shape"])
        if not isinstance(meta["pad"], bool) or not isinstance(meta["splits"], list) or not isinstance(meta["bin_width"], str):
            raise ValueError("what it says of its pile has other types")
        if int(meta["n_unique"]) != file.metadata.num_rows or min(int(meta["n_patches"]), int(meta["n_silent"])) < 0:
            raise ValueError("its rows are not as many as it says")
        parts: list[pa.RecordBatch] = []
        for batch in file.iter_batches(batch_size=min(size + 1, 1 << 16), columns=["patch", "count"]):
            parts.append(batch)
            if sum(p.num_rows for p in parts) > size:
                break
        head = pa.Table.from_batches(parts).slice(0, size + 1) if parts else pa.table({"patch": [], "count": []})
        motifs = patches_of(head.column("patch"), shape)
        counts = head.column("count").cast(pa.int64()).to_numpy()
        before, after = list(zip(-counts, map(bytes, motifs), strict=True)), None
        after = before[1:]
        if counts.min() < 1 or any(a >= b for a, b in zip(before, after, strict=False)):
            raise ValueError("its rows are not in order of count, then patch")
    except (StoreError, TypeError, *parquet.ERRORS) as e:
        raise PileError(f"{path} is not a motif table ({e}); make one with: neuropile motifs PILE --out NAME.parquet") from None
    return meta, motifs, counts


@dataclass
class Accuracy:
    """What tokens keep of counts, in whole numbers.

    segments, without_ids : how many, and those smaller than a patch
    tokens, edge : unit x bin in all, and those at edges that no patch covers
    patches, unobserved : in all, and those that touch unobserved time and are pad
    exact, silent : patches that decode to what was counted, and that were coded as silence
    spikes, spikes_exact, spikes_decoded : in observed patches, in the exact ones of them, and after decoding
    difference : the sum over unit x bin of |decoded - counted|
    """

    segments: int = 0
    without_ids: int = 0
    tokens: int = 0
    edge: int = 0
    patches: int = 0
    unobserved: int = 0
    exact: int = 0
    silent: int = 0
    spikes: int = 0
    spikes_exact: int = 0
    spikes_decoded: int = 0
    difference: int = 0

    def __add__(self, other: Accuracy) -> Accuracy:
        theirs = asdict(other)
        return Accuracy(**{name: n + theirs[name] for name, n in asdict(self).items()})

    def row(self) -> dict[str, Any]:
        """The numbers and their shares: of observed patches, and of spikes in them."""
        coded = self.patches - self.unobserved
        shares = {
            "exact_share": (self.exact, coded),
            "silent_share": (self.silent, coded),
            "spikes_exact_share": (self.spikes_exact, self.spikes),
            "spikes_kept": (self.spikes_decoded, self.spikes),
            "count_error": (self.difference, self.spikes),
        }
        return {**asdict(self), **{name: a / b if b else None for name, (a, b) in shares.items()}}


@dataclass
class _Part:
    """What came of a shard: the file of its ids where one was asked for, and how exact they are, per dataset."""

    files: list[str] = field(default_factory=list)
    accuracy: dict[str, Accuracy] = field(default_factory=dict)


def _joined(parts: Sequence[_Part]) -> _Part:
    out = _Part()
    for part in parts:
        out.files += part.files
        for name, accuracy in part.accuracy.items():
            out.accuracy[name] = out.accuracy.get(name, Accuracy()) + accuracy
    return out


def _accuracy(vocabulary: Vocabulary, segment: Segment, done: Encoded) -> Accuracy:
    p_n, p_t = vocabulary.shape
    rows, columns = done.ids.shape
    covered = min(rows * p_n, segment.n_units) * min(columns * p_t, segment.n_bins)
    return Accuracy(
        segments=1,
        without_ids=int(done.ids.size == 0),
        tokens=segment.n_tokens,
        edge=segment.n_tokens - covered,
        patches=done.ids.size,
        unobserved=done.ids.size - done.n_coded,
        exact=done.n_exact,
        silent=done.n_silent,
        spikes=done.events,
        spikes_exact=done.events_exact,
        spikes_decoded=done.events_decoded,
        difference=done.difference,
    )


_known: dict[str, Vocabulary] = {}


def _remembered(vocabulary: Vocabulary) -> Vocabulary:
    """The vocabulary of that digest which this process used last, with all it has found since."""
    if vocabulary.digest not in _known:
        _known.clear()
        _known[vocabulary.digest] = vocabulary
    return _known[vocabulary.digest]


def _encode_shard(vocabulary: Vocabulary, folder: Path | None, shard: Shard) -> _Part:
    vocabulary = _remembered(vocabulary)
    if folder is None:
        return _measured(vocabulary, shard.pile, None)
    path, told = folder / f"{shard.index:06d}.parquet", folder / f"{shard.index:06d}.json"
    if not told.exists():  # written after the ids: where it is, they are whole
        with replacing(path) as temporary, parquet.writing(temporary, ids_schema(vocabulary), **WRITING) as writer:
            part = _measured(vocabulary, shard.pile, writer)
        run.kept(told, lambda p: p.write_text(json.dumps({name: asdict(a) for name, a in part.accuracy.items()})))
    return _Part([path.name], {name: Accuracy(**a) for name, a in json.loads(told.read_text()).items()})


def _measured(vocabulary: Vocabulary, pile: Pile, writer: pq.ParquetWriter | None) -> _Part:
    """Encode some segments one after the other, and write their ids where a writer is given."""
    part, waiting, held = _Part(), [], 0
    schema = ids_schema(vocabulary)
    for segment in pile:
        done = vocabulary.encode_segment(segment)
        found = {segment.dataset: _accuracy(vocabulary, segment, done)}
        part = _joined([part, _Part([], found)])
        if writer is not None:
            waiting.append(ids_row(segment, done.ids, schema))
            held += done.ids.size
            if held >= IDS_PER_GROUP:
                writer.write_table(pa.concat_tables(waiting))
                waiting, held = [], 0
    if writer is not None and waiting:
        writer.write_table(pa.concat_tables(waiting))
    return part


def _checked(pile: Pile, part: _Part, vocabulary: Vocabulary) -> dict[str, Accuracy]:
    total = sum(part.accuracy.values(), Accuracy())
    if total.segments == total.without_ids:
        p_n, p_t = vocabulary.shape
        raise PileError(f"no segment of the pile holds a patch of {p_n} units x {p_t} bins; make it with longer segments, or take a smaller shape")
    return part.accuracy


def _refuse_width(pile: Pile, vocabulary: Vocabulary) -> None:
    width = as_width(str(pile.meta["bin_width"]))
    if width != vocabulary.bin_width:
        found = f"the vocabulary is of bins of {vocabulary.bin_width} s, the pile of bins of {width} s"
        raise PileError(f"{found}; make the pile with --bin {vocabulary.bin_width}, or fit a vocabulary on motifs of this one")


def _refuse_empty(pile: Pile) -> None:
    if not len(pile):
        raise PileError("the pile is empty: there is nothing to encode")


def report(pile: Pile, vocabulary: Vocabulary, *, engine: Engine = SERIAL, progress: Progress = QUIET) -> dict[str, Accuracy]:
    """How exactly a vocabulary codes a pile: of each dataset, and under "" of all.

    Raises
    ------
    PileError : an empty pile, another bin width, or no segment as large as a patch
    RunError : some segments could not be read
    """
    _refuse_empty(pile)
    _refuse_width(pile, vocabulary)
    done = run.map_combine(pile.shards(), partial(_encode_shard, vocabulary, None), _joined, engine=engine, progress=progress, label="encoding")
    found = _checked(pile, done.whole("the report"), vocabulary)
    return {**dict(sorted(found.items())), "": sum(found.values(), Accuracy())}


def encode(
    pile: Pile, vocabulary: Vocabulary, out: str | Path, *, replace: bool = False, engine: Engine = SERIAL, progress: Progress = QUIET
) -> dict[str, Accuracy]:
    """Write a pile's token ids to one Parquet file, a row a segment, in its order; what `report` gives is returned.

    A run that was stopped goes on where it was. The file is the same on every engine.

    Raises
    ------
    PileError : as of `report`, or `out` exists and `replace` is not given
    RunError : some segments could not be read; the others are kept for the next run
    """
    out = Path(out)
    refuse_existing(out, replace)
    _refuse_empty(pile)
    _refuse_width(pile, vocabulary)
    job = json.dumps([KIND, VERSION, pile.digest, vocabulary.digest])
    with run.working(out, job) as folder:
        each = partial(_encode_shard, vocabulary, folder)
        done = run.map_combine(pile.shards(), each, _joined, engine=engine, progress=progress, label="encoding").whole(str(out))
        found = _checked(pile, done, vocabulary)
        total = sum(found.values(), Accuracy())
        facts = {"vocabulary": vocabulary.digest, "vocab_size": vocabulary.vocab_size, "shape": vocabulary.shape, "pad": vocabulary.pad}
        meta = {"format": KIND, "version": VERSION, **facts, "pile": pile.digest, "accuracy": {n: asdict(a) for n, a in sorted(found.items())}}
        with replacing(out) as temporary, parquet.writing(temporary, ids_schema(vocabulary), metadata={"neuropile": json.dumps(meta)}, **WRITING) as writer:
            for name in done.files:
                file = parquet.opened(folder / name)
                for group in range(file.metadata.num_row_groups):
                    writer.write_table(file.read_row_group(group))
    return {**dict(sorted(found.items())), "": total}
