"""The data card of a published pile: what it holds, under which terms, what was left out, how to read a row."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]+")
TAGS = ("neuroscience", "electrophysiology", "spikes", "neuropile")

SPARSE_HELP = '''\
Each row is one segment: `n_units` by `n_bins` bins of `bin_width_s` seconds, from `start_s` on the session's clock. `gaps`
holds one byte string a unit: each byte is the number of bins since that unit's previous spike (the first counts from bin 0),
0 is the same bin again, 255 means 255 bins on with no spike. `observed` lists the bins in which silence is data
(`unit` -1: all units); outside them a zero means that nobody looked. `unit_ids`, `regions`, `gaps` and `observed.unit` follow
the stored order, by rate; `matrix[row["order"]]` is the pile's own order. To get the matrix and its mask:

```python
import numpy as np

def densify(row):
    """(unit, bin) counts of a row, units as stored."""
    gaps = [np.frombuffer(g, np.uint8) for g in row["gaps"]]
    return np.stack([np.bincount(np.cumsum(g, dtype=np.int32)[g < 255], minlength=row["n_bins"]) for g in gaps])

def observed(row):
    """(unit, bin) bool: where a row's counts are data, units as stored."""
    mask = np.zeros((row["n_units"], row["n_bins"]), bool)
    for run in row["observed"]:
        mask[slice(None) if run["unit"] < 0 else run["unit"], run["start_bin"] : run["stop_bin"]] = True
    return mask
```
'''

DENSE_HELP = '''\
Each row is one segment: `spike_counts` is a list of units, each a list of uint8 counts, one a bin. Everything else about a row
(units, regions, times, which bins were observed) stands in `segments.parquet`, train rows first, then val, then test. To get
the matrix:

```python
import numpy as np

def densify(row):
    """(unit, bin) uint8 counts of a row."""
    return np.array(row["spike_counts"], dtype=np.uint8)
```
'''

LOADING = """\
```sh
python -c "import datasets; print(datasets.load_dataset('PATH', split='train')[0]['session_id'])"     # PATH: this folder or its name on the Hub
python -c "import datasets; print(datasets.load_dataset('PATH', 'units'))"                            # a row a unit; 'sessions' a row a session
python -c "import neuropile; print(neuropile.open_pile('PATH')[0].counts())"                          # labelled, with the mask
```
"""


#: What each column of a row is.
MEANINGS = {
    "source_dataset": "the dataset the session comes from",
    "species": "of the subject, as its source writes it",
    "quantity": "spikes (of sorted units), threshold_crossings, or counts (binned at the source)",
    "subject_id": "who was recorded, as the source names it; null where it does not",
    "session_id": "the session, unique in its dataset",
    "recording_id": "shared by the sessions that are files of one recording",
    "segment_id": "`segment_<k>`, k from 0 in the order of time within a session",
    "start_s": "where the first bin begins, in seconds on the session's clock",
    "bin_width_s": "the width of a bin in seconds",
    "n_units": "units (rows of the matrix)",
    "n_bins": "bins (columns of the matrix)",
    "unit_ids": "of each unit, as in the config `units`, in stored order",
    "regions": "the brain region of each unit as its source names it, in stored order; null where it does not",
    "observed": "the bins in which silence is data: unit (in stored order, -1 all units), first bin, bin after the last",
    "gaps": "of each unit, in stored order: a byte string, the bins since its previous spike (see below)",
    "order": "matrix[order] is the pile's own order of units",
    "spike_counts": "of each unit a list of counts, one a bin",
}


@dataclass(frozen=True)
class Terms:
    """On what terms the whole may be used.

    license : the Hub's name for the licence of the whole: "other" where there are several, "unknown" where none is stated
    names : of all licences; noncommercial : those that forbid commercial use
    rows : dataset, license and citation of each source
    """

    license: str
    names: Sequence[str]
    noncommercial: Sequence[str]
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Contents:
    """What a card tells of.

    files : layout; splits and compat, which name the files of each split
    splits : rows of Pile.summary(); datasets : a row a source dataset with its totals
    made : the pile's parameters and what it left out; provenance : versions, digests and source files
    """

    name: str
    layout: str
    bin_width: str
    splits: Sequence[Mapping[str, Any]]
    datasets: Sequence[Mapping[str, Any]]
    files: Mapping[str, Any]
    terms: Terms
    made: Mapping[str, Any]
    provenance: Mapping[str, Any]


def render(c: Contents) -> str:
    """The card as Markdown with the header that the Hub and `datasets` read."""
    return "\n".join(
        [
            *_header(c),
            f"# {_plain(c.name)}",
            "",
            _lead(c),
            "",
            *_totals(c),
            *_terms(c.terms),
            *_left_out(c.made),
            *_provenance(c.provenance),
            "## Reading it",
            "",
            LOADING,
            "## A row as a matrix",
            "",
            SPARSE_HELP if c.layout == "sparse" else DENSE_HELP,
            *_columns(c),
        ]
    )


def _header(c: Contents) -> list[str]:
    lines = ["---", f"license: {c.terms.license}"]
    if c.terms.license == "other" and c.terms.names:
        # the Hub asks for an id there, such as my-license-1.0
        lines.append(f"license_name: {re.sub(r'[^a-z0-9.]+', '-', '-and-'.join(c.terms.names).lower()).strip('-')}")
    lines += [f"pretty_name: {json.dumps(_plain(c.name), ensure_ascii=False)}", "tags:", *(f"- {t}" for t in TAGS), "configs:"]
    lines += _config("default", {split: f"data/{split}-*.parquet" for split in c.files["splits"]}, ["  default: true"])
    if c.files["compat"]:
        lines += _config("compat", {split: f"compat/{split}-*.parquet" for split in c.files["compat"]})
    for table in ("units", "sessions", *(["sources"] if c.provenance["source_files"] else [])):
        lines += _config(table, {table: f"{table}.parquet"})
    return [*lines, "---", ""]


def _config(name: str, files: Mapping[str, str], more: Sequence[str] = ()) -> list[str]:
    lines = [f"- config_name: {name}", *more, "  data_files:"]
    for split, path in files.items():
        lines += [f"  - split: {split}", f"    path: {path}"]
    return lines


def _lead(c: Contents) -> str:
    tokens = sum(s["tokens"] for s in c.splits)
    sessions, segments, spikes = (sum(d[n] for d in c.datasets) for n in ("sessions", "segments", "spikes"))
    also = "; `compat` holds the same rows as nested lists" if c.files["compat"] else ""
    return (
        f"Spike counts in bins of {c.bin_width} s: {tokens:,} tokens (unit x bin) with {spikes:,} spikes, in {segments:,} segments of {sessions:,} sessions, "
        f"published by neuropile in its {c.layout} layout{also}. `units` and `sessions`, and where they are known `sources`, are tables of their own."
    )


def _totals(c: Contents) -> list[str]:
    columns = ["dataset", "species", "sessions", "subjects", "units", "segments", "spikes", "tokens", "hours"]
    out = ["## Totals", "", *_table(c.datasets, columns), ""]
    rows = [{**s, "share": f"{s['share']:.1%}"} for s in c.splits]
    how = f"by {c.made['split_by']}, from a hash of its id and the seed {c.made['seed']}" if c.made.get("split_by") else "as the pile has them"
    out += [f"Splits {how}:", ""]
    return [*out, *_table(rows, ["split", "segments", "sessions", "recordings", "subjects", "tokens", "share"]), ""]


def _terms(terms: Terms) -> list[str]:
    rows = [{"dataset": s["dataset"], "licence": s["license"] or "not stated", "citation": s["citation"] or "not stated"} for s in terms.rows]
    said = ["Each source keeps its own terms, and its counts go under them. Cite the sources you use."]
    if terms.noncommercial:
        said.append(f"**Not for commercial use as a whole**: part of it is under {', '.join(terms.noncommercial)}.")
    if unstated := sorted({r["dataset"] for r in rows if r["licence"] == "not stated"}):
        said.append(f"**No licence is stated** for {', '.join(unstated)}: ask the authors before you pass it on.")
    return ["## Licences and citations", "", " ".join(said), "", *_table(rows, ["dataset", "licence", "citation"]), ""]


def _left_out(made: Mapping[str, Any]) -> list[str]:
    left = made["left_out"]
    lines = [
        f"- units whose quality is not {made['quality']!r}: {left['units_by_quality']:,} (the rule of each unit stands in `units.quality_rule`)",
        f"- units for which `{made['where']}` does not hold: {left['units_by_where']:,}" if made["where"] else "- no condition on units or sessions was set",
    ]
    for name, why in (
        ("sessions_without_units", "sessions left without a unit"),
        ("sessions_by_bin_width", "sessions whose clock cannot make the bin width"),
        ("sessions_unobserved", "sessions without an observed span"),
        ("sessions_of_signals", "sessions of signals, which have no events"),
        ("sessions_set_aside", "sessions set aside"),
    ):
        # piles of earlier versions lack the last two; what is set aside is listed with its reason
        found = [f"{v['session']}: {v['reason']}" if isinstance(v, Mapping) else v for v in left.get(name, [])]
        lines.append(f"- {why}: {len(found):,}" + (f" ({', '.join(found[:20])}{', ...' if len(found) > 20 else ''})" if found else ""))
    return ["## What was left out", "", *lines, ""]


def _provenance(p: Mapping[str, Any]) -> list[str]:
    files = (
        f"- read from {p['source_files']:,} files, {p['source_bytes']:,} bytes, {p['with_digest']:,} of them with their SHA-256: config `sources`"
        if p["source_files"]
        else "- which files the sessions were read from is not recorded"
    )
    return [
        "## Where it comes from",
        "",
        files,
        "- of each session the digest of its content, whatever the file format: `sessions.content_digest`",
        f"- this pile, by what its segments are: {p['pile']}",
        f"- written by neuropile {p['neuropile']} in its format {p['format']}; `pile.json` lists every file with size and digest",
        "",
    ]


def _columns(c: Contents) -> list[str]:
    schema = c.files["schema"]
    rows = [{"column": f.name, "type": f"`{f.type}`", "what it is": MEANINGS[f.name]} for f in schema]
    return ["## Columns", "", *_table(rows, ["column", "type", "what it is"]), ""]


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """A Markdown table; whole numbers with thousands separators and to the right."""
    numbers = {c: bool(rows) and all(isinstance(r.get(c), int) for r in rows) for c in columns}
    lines = ["| " + " | ".join(columns) + " |", "|" + "|".join("---:" if numbers[c] else "---" for c in columns) + "|"]
    for row in rows:
        cells = [f"{row[c]:,}" if numbers[c] else _plain(row.get(c) if row.get(c) is not None else "").replace("|", "\\|") for c in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _plain(text: object) -> str:
    """A text on one line, without what YAML and Markdown tables do not take."""
    return _CONTROL.sub(" ", str(text))
