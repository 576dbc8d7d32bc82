"""Publishing a pile as a dataset: shards of rows, tables of units and sessions, a card, and the marker last."""

from __future__ import annotations

import os
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from neuropile import card, layout, parquet, published
from neuropile.binning import COUNT_TYPES
from neuropile.errors import CountOverflow, PileError
from neuropile.pile import Pile
from neuropile.progress import QUIET, Progress
from neuropile.published import Row
from neuropile.segment import Segment
from neuropile.splits import SPLITS

#: A shard is closed once it holds this many bytes; the Hub serves files of up to a gigabyte best.
SHARD_BYTES = 500_000_000


@dataclass(frozen=True)
class Published:
    """What was written: bytes of the data files (without card and tables), tokens and spikes in them."""

    path: Path
    layout: str
    n_segments: int
    n_tokens: int
    n_spikes: int
    bytes: int

    @property
    def bits_per_token(self) -> float:
        """Bits of the data files a token (unit x bin) takes."""
        return 8 * self.bytes / self.n_tokens


def publish(pile: Pile, to: str | Path, *, layout: str = "sparse", replace: bool = False, progress: Progress = QUIET) -> Published:
    """Write a pile into a new folder, as a dataset that `datasets`, DuckDB, pandas, Polars and `open_pile` read.

    Raises
    ------
    PileError : the folder holds something already (and `replace` is not given), or the layout is unknown
    CountOverflow : a bin holds more than 255 events and the layout is dense
    """
    root = Path(to)
    if layout not in published.LAYOUTS:
        raise PileError(f"layout is {layout!r}; it must be one of {', '.join(published.LAYOUTS)}")
    if "://" in str(to):
        raise PileError(f"{to}: this version publishes to local folders only")
    if not len(pile):
        raise PileError("an empty pile cannot be published")
    _check_free(root, replace)
    temporary = root.parent / f".{root.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        (temporary / published.DATA_FOLDER).mkdir(parents=True)
        done = _write(pile, temporary, root, layout, progress)
        if root.exists():
            shutil.rmtree(root)
        os.rename(temporary, root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return done


def _check_free(root: Path, replace: bool) -> None:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return
    if not replace:
        raise PileError(f"{root} exists; give a new folder, or --replace (replace=True) to write a published pile anew")
    if not (root / published.MARKER).is_file():
        raise PileError(f"{root} is not a published pile, so it is not replaced; give a new folder")


@dataclass
class _Totals:
    segments: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    spikes: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row) -> None:
        dataset = row.facts["source_dataset"]
        self.segments[dataset] += 1
        self.tokens[dataset] += row.n_tokens
        self.spikes[dataset] += len(row.bins)


def _write(pile: Pile, folder: Path, root: Path, name: str, progress: Progress) -> Published:
    sessions, units = pile.source.tables(pile)
    parquet.write(sessions, folder / "sessions.parquet")
    parquet.write(units, folder / "units.parquet")
    stored_orders = _stored_orders(units)
    totals = _Totals()
    files: dict[str, list[str]] = {}
    facts: list[pa.Table] = []
    size = 0
    for split in SPLITS:
        part = getattr(pile, split)
        if not len(part):
            continue
        shards = _Shards(folder / published.DATA_FOLDER, split, name)
        with shards:
            for row in _rows(progress.track(part, len(part), f"publishing {split}"), stored_orders):
                totals.add(row)
                shards.add(row)
                if name == "dense":
                    facts.append(published.segments_table([row], split))
        files[split] = [f"{published.DATA_FOLDER}/{p.name}" for p in shards.finish()]
        size += sum((folder / f).stat().st_size for f in files[split])
    if name == "dense":
        parquet.write(pa.concat_tables(facts), folder / published.SEGMENTS_FILE)
    (folder / "README.md").write_text(card.render(_contents(pile, root.name, name, sessions, units, files, totals)), encoding="utf-8")
    done = Published(root, name, len(pile), totals.tokens.total(), totals.spikes.total(), size)
    marker = {
        "format": published.MARKER_KIND,
        "version": layout.VERSION,
        "layout": name,
        "bin_width": pile.meta["bin_width"],
        "splits": files,
        "files": layout.file_facts(folder),
        "n_segments": done.n_segments,
        "n_tokens": done.n_tokens,
        "n_spikes": done.n_spikes,
        "made": pile.meta,
    }
    layout.write_marker(marker, folder / published.MARKER)
    return done


def _stored_orders(units: pa.Table) -> dict[str, np.ndarray]:
    """Of each session its selected units from the one with most spikes to the one with fewest."""
    keys = np.array(pc.binary_join_element_wise(units.column("dataset"), units.column("session_id"), "/").to_pylist(), object)
    spikes = units.column("n_spikes").to_numpy()
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    return {keys[a]: np.argsort(-spikes[a:b], kind="stable") for a, b in zip(starts, np.r_[starts[1:], len(keys)], strict=True)}


def _rows(segments: Iterable[Segment], stored_orders: Mapping[str, np.ndarray]) -> Iterator[Row]:
    for segment in segments:
        counts = _bare_counts(segment)
        unit, k = np.nonzero(counts)
        n = counts[unit, k]
        per_unit = np.bincount(unit, weights=n, minlength=segment.n_units).astype(np.int64)
        yield Row(
            facts={
                "source_dataset": segment.dataset,
                "species": segment.species,
                "quantity": segment.quantity,
                "subject_id": segment.subject_id,
                "session_id": segment.session_id,
                "recording_id": segment.recording_id,
                "segment_id": segment.segment_id,
                "start_s": segment.start_s,
                "bin_width_s": float(segment.bin_width),
                "n_units": segment.n_units,
                "n_bins": segment.n_bins,
            },
            unit_ids=segment.unit_ids,
            regions=segment.regions,
            observed=segment.observed,
            offsets=np.concatenate([[0], np.cumsum(per_unit)]),
            bins=np.repeat(k, n).astype(np.int64),
            stored_order=stored_orders[segment.key],
        )


def _bare_counts(segment: Segment) -> np.ndarray:
    for kind in COUNT_TYPES[:-1]:
        try:
            return segment.counts(out=np.empty((segment.n_units, segment.n_bins), kind))
        except CountOverflow:
            continue
    return segment.counts(out=np.empty((segment.n_units, segment.n_bins), COUNT_TYPES[-1]))


class _Shards:
    """The files of one split: row groups of the right size, a new file when one is full."""

    def __init__(self, folder: Path, split: str, name: str) -> None:
        self._folder, self._split, self._layout = folder, split, name
        self._schema = published.SPARSE_SCHEMA if name == "sparse" else published.DENSE_SCHEMA
        self._held: list[Row] = []
        self._paths: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._stack = ExitStack()

    def add(self, row: Row) -> None:
        full = len(self._held) >= published.SPARSE_ROWS_PER_GROUP
        if self._layout == "dense":
            full = bool(self._held) and sum(r.n_tokens for r in self._held) + row.n_tokens > published.DENSE_BYTES_PER_GROUP
        if full:
            self._flush()
        self._held.append(row)

    def _flush(self) -> None:
        if not self._held:
            return
        if self._writer is None or self._paths[-1].stat().st_size >= SHARD_BYTES:
            self._stack.close()
            self._paths.append(self._folder / f"{self._split}-{len(self._paths):05d}.parquet")
            self._writer = self._stack.enter_context(self._open(self._paths[-1]))
        table = published.sparse_table(self._held) if self._layout == "sparse" else published.dense_table(self._held)
        self._writer.write_table(table, row_group_size=table.num_rows)
        self._held = []

    def _open(self, path: Path) -> AbstractContextManager[pq.ParquetWriter]:
        texts = [f.name for f in self._schema if pa.types.is_string(f.type)]
        texts += [f"{n}.list.element" for n in ("unit_ids", "regions") if n in self._schema.names]
        # zstd 1: the higher levels make the gap bytes larger, not smaller
        return parquet.writing(
            path,
            self._schema,
            compression="zstd",
            compression_level=1 if self._layout == "sparse" else 3,
            use_dictionary=texts,
            write_page_index=True,
        )

    def finish(self) -> list[Path]:
        """Give the closed files their final names, which say how many there are."""
        final = [p.with_name(f"{self._split}-{i:05d}-of-{len(self._paths):05d}.parquet") for i, p in enumerate(self._paths)]
        for old, new in zip(self._paths, final, strict=True):
            os.rename(old, new)
        return final

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush()
        self._stack.close()


def _contents(pile: Pile, title: str, name: str, sessions: pa.Table, units: pa.Table, files: dict[str, list[str]], totals: _Totals) -> card.Contents:
    datasets, sources = [], []
    for dataset in sorted(totals.segments):
        own = sessions.filter(pc.equal(sessions.column("dataset"), dataset))
        datasets.append(
            {
                "dataset": dataset,
                "species": ", ".join(sorted({s for s in own.column("species").to_pylist() if s})),
                "sessions": own.num_rows,
                "subjects": len({s for s in own.column("subject_id").to_pylist() if s}),
                "units": pc.sum(pc.equal(units.column("dataset"), dataset)).as_py(),
                "segments": totals.segments[dataset],
                "spikes": totals.spikes[dataset],
                "tokens": totals.tokens[dataset],
            }
        )
        for terms in sorted(set(zip(own.column("license").to_pylist(), own.column("citation").to_pylist(), strict=True)), key=str):
            sources.append({"dataset": dataset, "license": terms[0], "citation": terms[1]})
    schema = published.SPARSE_SCHEMA if name == "sparse" else published.DENSE_SCHEMA
    width = f"{float(Fraction(pile.meta['bin_width'])):g}"
    return card.Contents(title, name, width, schema, pile.summary(), datasets, files, sources, pile.meta)
