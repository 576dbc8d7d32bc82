"""A vocabulary of motifs: which patch of counts each token id stands for, in one safe file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from neuropile import parquet
from neuropile.binning import as_width
from neuropile.counting import mask_of
from neuropile.errors import NeuropileError, PileError, StoreError
from neuropile.paths import replacing
from neuropile.segment import Segment
from neuropile.tokens.encoder import MAX_CELLS, RESERVED, SILENT, Encoded, Encoder, id_type
from neuropile.tokens.nearest import DISTANCES

KIND = "neuropile vocabulary"
VERSION = 1
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int32()),
        pa.field("token", pa.string()),
        pa.field("patch", pa.binary()),
        pa.field("count", pa.int64()),
        pa.field("probability", pa.float64()),
    ]
)


class Vocabulary:
    """Token ids and their motifs. Ids 0 to 4 are pad, bos, eos, sep and mask, 5 is the silent motif, the others follow by rank.

    motifs : (motif, cell) uint8, unit-major; motif i has id i + 5
    counts : (motif,) int64, how often each was counted
    facts : shape, pad, distance, bin_width, and what it was fitted on
    """

    def __init__(self, motifs: np.ndarray, counts: np.ndarray, facts: Mapping[str, Any]) -> None:
        self.motifs, self.counts, self.facts = motifs, counts, dict(facts)
        p_n, p_t = self.facts["shape"]
        self.shape = (int(p_n), int(p_t))
        self.distance, self.pad = str(self.facts["distance"]), bool(self.facts["pad"])
        self.bin_width: Fraction = as_width(str(self.facts["bin_width"]))

    pad_token_id, bos_token_id, eos_token_id, sep_token_id, mask_token_id = range(SILENT)
    silent_token_id = SILENT

    @property
    def vocab_size(self) -> int:
        """How many ids there are: the motifs and the five that are reserved."""
        return len(self) + SILENT

    def __len__(self) -> int:
        return len(self.motifs)

    @property
    def dtype(self) -> type:
        """The type of its ids: uint16, or uint32 where there are more than 65 536."""
        return id_type(self.vocab_size)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over what ids mean and how patches get them: equal digests give equal ids."""
        meaning = {"shape": self.shape, "pad": self.pad, "distance": self.distance, "bin_width": str(self.bin_width), "reserved": RESERVED}
        hashed = hashlib.sha256(json.dumps(meaning, sort_keys=True).encode())
        hashed.update(np.ascontiguousarray(self.motifs).tobytes())
        return "sha256:" + hashed.hexdigest()

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.motifs, self.shape, self.distance, self.pad)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_encoder"}

    def encode(self, counts: Any, observed: np.ndarray | None = None) -> np.ndarray:
        """The token ids of some counts.

        Parameters
        ----------
        counts : a Segment, the array (unit, time) that `counts()` gives, or any (unit, bin) array of whole numbers >= 0
        observed : (bin,) or (unit, bin) bool, of a plain array: where silence is data; by default everywhere

        Returns
        -------
        (row, column) ids: row r holds units r * p_n and on, column c bins c * p_t and on; a patch that touches unobserved time is
        pad. What does not fill a patch is left out, or padded with silence where the motifs were counted so.

        Raises
        ------
        PileError : counts that are no whole numbers, or a segment of another bin width
        """
        if isinstance(counts, Segment):
            return self.encode_segment(counts).ids
        if hasattr(counts, "coords"):
            observed = mask_of(counts).to_numpy()
            counts = counts.to_numpy()
        counts = np.asarray(counts)
        if counts.ndim != 2 or counts.dtype.kind not in "iu" or (counts.size and counts.min() < 0):
            raise PileError(f"counts are a (unit, bin) array of whole numbers >= 0, not {counts.dtype} {counts.shape}")
        n_units, n_bins = counts.shape
        unit, k = np.nonzero(counts)
        n = np.minimum(counts[unit, k].astype(np.int64), 256)  # as far from all motifs as any more
        offsets = np.r_[0, np.cumsum(np.bincount(unit, n, n_units))].astype(np.int64)
        mask = None if observed is None else self._whole(np.broadcast_to(observed, counts.shape))
        return self._encoder.encode(offsets, np.repeat(k, n).astype(np.int32), n_bins, mask).ids

    def encode_segment(self, segment: Segment) -> Encoded:
        """The ids of a segment, and how exact they are."""
        if segment.bin_width != self.bin_width:
            raise PileError(
                f"the vocabulary is of bins of {self.bin_width} s, {segment!r} of {segment.bin_width} s; "
                f"make the pile with --bin {self.bin_width}, or fit a vocabulary on motifs of this one"
            )
        observed = self._observed(segment)
        return self._encoder.encode(*segment.events(), segment.n_bins, observed)

    def grid(self, n_units: int, n_bins: int) -> tuple[int, int]:
        """How many rows and columns of ids so many units and bins have."""
        return self._encoder.grid(n_units, n_bins)

    def _observed(self, segment: Segment) -> np.ndarray | None:
        """Which patches of a segment lie wholly in observed time; None where all do."""
        runs, n_units, n_bins = segment.observed, segment.n_units, segment.n_bins
        if len(runs) == 1 and runs[0, 0] == -1 and runs[0, 1] <= 0 and runs[0, 2] >= n_bins:
            return None
        if len(runs) and not -1 <= runs[:, 0].min() <= runs[:, 0].max() < n_units:
            raise PileError(f"{segment!r} says that units were observed that it does not have; make or publish the pile again")
        each = runs[runs[:, 0] >= 0]
        every = np.zeros(n_bins, bool)
        for _, start, stop in runs[runs[:, 0] < 0].tolist():
            every[max(start, 0) : max(stop, 0)] = True
        rows, columns = self.grid(n_units, n_bins)
        if not len(each) and rows:  # the units do not differ: one row of patches tells of all
            return np.repeat(self._whole(np.tile(every, (min(self.shape[0], n_units), 1)))[:1], rows, axis=0)
        out = np.empty((rows, columns), bool)
        for row in range(rows):  # a row of patches at a time: a segment may be long
            first = row * self.shape[0]
            units = np.tile(every, (min(self.shape[0], n_units - first), 1))
            for unit, start, stop in each[(each[:, 0] >= first) & (each[:, 0] < first + self.shape[0])].tolist():
                units[unit - first, max(start, 0) : max(stop, 0)] = True
            out[row] = self._whole(units)[0]
        return out

    def _whole(self, mask: np.ndarray) -> np.ndarray:
        """Which patches hold only True: (unit, bin) -> (row, column). What padding adds holds True."""
        (p_n, p_t), (rows, columns) = self.shape, self.grid(*mask.shape)
        lacking = ((0, max(rows * p_n - mask.shape[0], 0)), (0, max(columns * p_t - mask.shape[1], 0)))
        filled = np.pad(mask[: rows * p_n, : columns * p_t], lacking, constant_values=True)
        return np.asarray(filled.reshape(rows, p_n, columns, p_t).all(axis=(1, 3)))

    def decode(self, ids: Any, n_units: int | None = None, n_bins: int | None = None) -> np.ndarray:
        """The counts that ids stand for; the reserved ids stand for silence.

        Parameters
        ----------
        ids : (row, column) whole numbers, as from `encode`
        n_units, n_bins : cut to so many, where padding made it longer

        Returns
        -------
        (unit, bin) uint8, of row * p_n units and column * p_t bins, or fewer

        Raises
        ------
        PileError : an id that the vocabulary does not have
        """
        ids = np.asarray(ids)
        if ids.ndim != 2 or ids.dtype.kind not in "iu":
            raise PileError(f"ids are a (row, column) array of whole numbers, not {ids.dtype} {ids.shape}; reshape them to the row's `rows` and `columns`")
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < self.vocab_size:
            raise PileError(f"ids run from {ids.min()} to {ids.max()}, the vocabulary's from 0 to {self.vocab_size - 1}; it is another vocabulary's")
        p_n, p_t = self.shape
        cells = self._cells[ids].reshape(*ids.shape, p_n, p_t).transpose(0, 2, 1, 3).reshape(ids.shape[0] * p_n, ids.shape[1] * p_t)
        return np.ascontiguousarray(cells[:n_units, :n_bins])

    @cached_property
    def _cells(self) -> np.ndarray:
        return np.concatenate([np.zeros((SILENT, self.motifs.shape[1]), np.uint8), self.motifs])

    def save(self, path: str | Path, *, replace: bool = False) -> None:
        """Write it as one Parquet file, a row an id.

        Raises
        ------
        PileError : the file exists and `replace` is not given
        """
        path = Path(path)
        refuse_existing(path, replace)
        tokens = [*(f"<{name}>" for name in RESERVED), *(_drawn(m) for m in self.motifs)]
        columns = {
            "id": np.arange(self.vocab_size, dtype=np.int32),
            "token": tokens,
            "patch": [*[None] * SILENT, *(m.tobytes() for m in self.motifs)],
            "count": np.concatenate([np.zeros(SILENT, np.int64), self.counts]),
            "probability": np.concatenate([np.zeros(SILENT), self.counts / max(int(self.facts["n_patches"]), 1)]),
        }
        meta = {"format": KIND, "version": VERSION, **self.facts, "digest": self.digest}
        with replacing(path) as temporary:
            parquet.write(pa.table(columns, schema=SCHEMA), temporary, metadata={"neuropile": json.dumps(meta)})

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Open a vocabulary's file; see `open_vocabulary`."""
        return open_vocabulary(path)

    def __repr__(self) -> str:
        return (
            f"<Vocabulary: {len(self)} motifs of {self.shape[0]} x {self.shape[1]} bins of {self.bin_width} s, vocab_size {self.vocab_size}, {self.distance}>"
        )


def _drawn(motif: np.ndarray) -> str:
    """A motif's counts in one word: digits, or numbers with points between them."""
    return "".join(map(str, motif)) if motif.max() < 10 else ".".join(map(str, motif))


def refuse_existing(path: Path, replace: bool) -> None:
    """Raise PileError if a file is there that must not be written anew."""
    if path.is_dir():
        raise PileError(f"{path} is a folder; give the name of a file")
    if path.exists() and not replace:
        raise PileError(f"{path} exists; give another name, or --replace (replace=True) to write it anew")


def open_vocabulary(path: str | Path) -> Vocabulary:
    """Open a vocabulary's file.

    Raises
    ------
    PileError : it is not there, is damaged, was changed, or a newer neuropile wrote it
    """
    path = Path(path)
    if not path.is_file():
        raise PileError(f"{path}: no such vocabulary; make one with: neuropile tokens fit MOTIFS --out {path}")
    try:
        table = parquet.read(path)
        facts = json.loads((table.schema.metadata or {})[b"neuropile"])
        if facts.pop("format") != KIND:
            raise ValueError("it says it is something else")
        if (version := facts.pop("version")) != VERSION:
            raise PileError(f"{path} was written in format {version!r}; this neuropile reads format {VERSION}: upgrade neuropile")
        digest = facts.pop("digest")
        shape = check_shape(facts["shape"])
        table = table.select(SCHEMA.names).cast(SCHEMA)
        motifs = patches_of(table.column("patch").slice(SILENT), shape)
        if table.column("id").to_pylist() != list(range(len(motifs) + SILENT)) or motifs[0].any():
            raise ValueError("its ids are not those of a vocabulary")
        if len(np.unique(motifs, axis=0)) != len(motifs) or facts["distance"] not in DISTANCES or int(facts["n_patches"]) < 0:
            raise ValueError("its motifs come twice, or its distance is not known")
        vocabulary = Vocabulary(motifs, table.column("count").slice(SILENT).to_numpy(), facts)
        if vocabulary.digest != digest:
            raise ValueError("its motifs are not those it was saved with")
    except (StoreError, TypeError, AttributeError, *parquet.ERRORS) as e:
        raise PileError(f"{path} is not a vocabulary, or damaged ({e}); make one with: neuropile tokens fit MOTIFS --out NAME.parquet") from None
    except NeuropileError as e:
        raise e if isinstance(e, PileError) else PileError(f"{path} is not a vocabulary ({e})") from None
    return vocabulary


def check_shape(shape: Any) -> tuple[int, int]:
    """The shape of patches, or ValueError."""
    p_n, p_t = (int(n) for n in shape)
    if p_n < 1 or p_t < 1 or p_n * p_t > MAX_CELLS:
        raise ValueError(f"its shape is {p_n} x {p_t}, which is no patch of 1 to {MAX_CELLS} cells")
    return p_n, p_t


def patches_of(column: pa.ChunkedArray, shape: tuple[int, int]) -> np.ndarray:
    """A column of patches as (patch, cell) uint8, or ValueError."""
    patches = [p or b"" for p in column.to_pylist()]
    if not patches or {len(p) for p in patches} != {shape[0] * shape[1]}:
        raise ValueError(f"its patches are not {shape[0] * shape[1]} bytes each")
    return np.frombuffer(b"".join(patches), np.uint8).reshape(len(patches), -1)
