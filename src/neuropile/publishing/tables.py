"""What a published pile tells of itself beside its rows: its source files, and the totals, terms and provenance on its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from importlib.metadata import version
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from neuropile import card, layout, published
from neuropile.pile import Pile
from neuropile.publishing import licences

SOURCES_SCHEMA = pa.schema(
    [
        pa.field("dataset", pa.string()),
        pa.field("session_id", pa.string()),
        pa.field("path", pa.string()),
        pa.field("bytes", pa.int64()),
        pa.field("sha256", pa.string()),
        pa.field("url", pa.string()),
        pa.field("version", pa.string()),
        pa.field("digest", pa.string()),
        pa.field("license", pa.string()),
        pa.field("citation", pa.string()),
    ]
)


def sources(sessions: pa.Table) -> pa.Table:
    """A row a source file of each session (SOURCES_SCHEMA)."""
    rows = []
    for s in sessions.select(["dataset", "session_id", "sources", "license", "citation"]).to_pylist():
        files = s.pop("sources") or []
        rows += [{**s, **file} for file in files]
    return pa.Table.from_pylist(rows, schema=SOURCES_SCHEMA)


def contents(pile: Pile, title: str, files: Mapping[str, Any], tables: Mapping[str, pa.Table], totals: Mapping[str, Mapping[str, int]]) -> card.Contents:
    """What the card tells.

    files : layout, splits (names of the files of each split) and compat (the same, empty where there is none)
    tables : sessions, units, sources; totals : of each dataset its segments, tokens, spikes and bins
    """
    sessions, units = tables["sessions"], tables["units"]
    width = Fraction(pile.meta["bin_width"])
    datasets, terms = [], []
    for dataset in sorted(totals):
        own = sessions.filter(pc.equal(sessions.column("dataset"), dataset))
        datasets.append(
            {
                "dataset": dataset,
                "species": ", ".join(sorted({s for s in own.column("species").to_pylist() if s})),
                "sessions": own.num_rows,
                "subjects": len({s for s in own.column("subject_id").to_pylist() if s}),
                "units": pc.sum(pc.equal(units.column("dataset"), dataset)).as_py() or 0,
                **{name: totals[dataset][name] for name in ("segments", "spikes", "tokens")},
                "hours": round(float(totals[dataset]["bins"] * width / 3600), 2),
            }
        )
        for licence, citation in sorted(set(zip(own.column("license").to_pylist(), own.column("citation").to_pylist(), strict=True)), key=str):
            terms.append({"dataset": dataset, "license": licence, "citation": citation})
    texts = [t["license"] for t in terms]
    whole, names = licences.of_whole(texts)
    return card.Contents(
        name=title,
        layout=files["layout"],
        bin_width=f"{float(width):g}",
        splits=pile.summary(),
        datasets=datasets,
        files={**files, "schema": published.SPARSE_SCHEMA if files["layout"] == "sparse" else published.DENSE_SCHEMA},
        terms=card.Terms(whole, names, licences.noncommercial(texts), terms),
        made=pile.meta,
        provenance=_provenance(pile, tables["sources"]),
    )


def _provenance(pile: Pile, listed: pa.Table) -> Mapping[str, Any]:
    sizes: Sequence[int | None] = listed.column("bytes").to_pylist()
    return {
        "neuropile": version("neuropile"),
        "format": layout.VERSION,
        "pile": pile.digest,
        "source_files": listed.num_rows,
        "source_bytes": sum(n for n in sizes if n),
        "with_digest": listed.num_rows - listed.column("sha256").null_count,
    }
