"""The data card of a published pile: what it holds, under which terms, what was left out, how to read a row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

#: Licences of the sources by the names the Hugging Face Hub gives them; any other is "other".
HUB_LICENSES = {
    "Apache-2.0": "apache-2.0",
    "BSD-3-Clause": "bsd-3-clause",
    "CC-BY-4.0": "cc-by-4.0",
    "CC-BY-NC-4.0": "cc-by-nc-4.0",
    "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "CC0-1.0": "cc0-1.0",
    "MIT": "mit",
}

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


@dataclass(frozen=True)
class Contents:
    """What a card tells of.

    splits : rows of Pile.summary(); datasets : a row a source dataset; files : of each split its files
    sources : licence and citation of each source dataset; made : the pile's parameters and what it left out
    """

    name: str
    layout: str
    bin_width: str
    schema: pa.Schema
    splits: Sequence[Mapping[str, Any]]
    datasets: Sequence[Mapping[str, Any]]
    files: Mapping[str, Sequence[str]]
    sources: Sequence[Mapping[str, Any]]
    made: Mapping[str, Any]


def render(c: Contents) -> str:
    """The card as Markdown with the header that the Hub and `datasets` read."""
    return "\n".join(
        [
            *_header(c),
            f"# {c.name}",
            "",
            _lead(c),
            "",
            *_totals(c),
            *_terms(c),
            *_left_out(c),
            "## Reading it",
            "",
            LOADING,
            "## A row as a matrix",
            "",
            _help(c),
            *_columns(c),
        ]
    )


def hub_license(licenses: Sequence[str | None]) -> str:
    """The licence of the whole: the one all sources share, else "other"; "unknown" where no source states one."""
    named = {x for x in licenses if x}
    if not named:
        return "unknown"
    if len(named) == 1 and None not in licenses:
        return HUB_LICENSES.get(named.pop(), "other")
    return "other"


def _header(c: Contents) -> list[str]:
    lines = ["---", f"license: {hub_license([s['license'] for s in c.sources])}", f"pretty_name: {json.dumps(c.name)}"]
    lines += [
        "tags:",
        "- neuroscience",
        "- electrophysiology",
        "- spikes",
        "- neuropile",
        "configs:",
        "- config_name: default",
        "  default: true",
        "  data_files:",
    ]
    for split in c.files:
        lines += [f"  - split: {split}", f"    path: data/{split}-*.parquet"]
    for table in ("units", "sessions"):
        lines += [f"- config_name: {table}", "  data_files:", f"  - split: {table}", f"    path: {table}.parquet"]
    return [*lines, "---", ""]


def _lead(c: Contents) -> str:
    tokens = sum(s["tokens"] for s in c.splits)
    sessions, segments = (sum(d[n] for d in c.datasets) for n in ("sessions", "segments"))
    return (
        f"Spike counts in bins of {c.bin_width} s: {tokens:,} tokens (unit x bin) in {segments:,} segments of {sessions:,} sessions, "
        f"published by neuropile in its {c.layout} layout. `units` and `sessions` are tables of their own."
    )


def _totals(c: Contents) -> list[str]:
    out = ["## Totals", "", *_table(c.datasets, ["dataset", "species", "sessions", "subjects", "units", "segments", "spikes", "tokens"]), ""]
    rows = [{**s, "share": f"{s['share']:.1%}"} for s in c.splits]
    out += [f"Splits by {c.made['split_by']}, from a hash of its id and the seed {c.made['seed']}:", ""]
    return [*out, *_table(rows, ["split", "segments", "sessions", "recordings", "subjects", "tokens", "share"]), ""]


def _terms(c: Contents) -> list[str]:
    rows = [{"dataset": s["dataset"], "licence": s["license"] or "not stated", "citation": s["citation"] or "not stated"} for s in c.sources]
    return [
        "## Licences and citations",
        "",
        "Each source keeps its own terms. Cite the sources you use.",
        "",
        *_table(rows, ["dataset", "licence", "citation"]),
        "",
    ]


def _left_out(c: Contents) -> list[str]:
    left = c.made["left_out"]
    lines = [
        f"- units whose quality is not {c.made['quality']!r}: {left['units_by_quality']:,} (the rule of each unit stands in `units.quality_rule`)",
        f"- units for which `{c.made['where']}` does not hold: {left['units_by_where']:,}"
        if c.made["where"]
        else "- no condition on units or sessions was set",
    ]
    for name, why in (
        ("sessions_without_units", "sessions left without a unit"),
        ("sessions_by_bin_width", "sessions whose clock cannot make the bin width"),
        ("sessions_unobserved", "sessions without an observed span"),
    ):
        found = left[name]
        lines.append(f"- {why}: {len(found):,}" + (f" ({', '.join(found[:20])}{', ...' if len(found) > 20 else ''})" if found else ""))
    return ["## What was left out", "", *lines, ""]


def _help(c: Contents) -> str:
    return SPARSE_HELP if c.layout == "sparse" else DENSE_HELP


def _columns(c: Contents) -> list[str]:
    return ["## Columns", "", *_table([{"column": f.name, "type": str(f.type)} for f in c.schema], ["column", "type"]), ""]


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """A Markdown table; whole numbers with thousands separators and to the right."""
    numbers = {c: bool(rows) and all(isinstance(r.get(c), int) for r in rows) for c in columns}
    lines = ["| " + " | ".join(columns) + " |", "|" + "|".join("---:" if numbers[c] else "---" for c in columns) + "|"]
    for row in rows:
        cells = [f"{row[c]:,}" if numbers[c] else str(row.get(c) if row.get(c) is not None else "").replace("|", "\\|").replace("\n", " ") for c in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return lines
