"""Anterior cingulate cortex of monkeys that learn hidden states from what they do and from what they see another do."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="chen",
    title="Evidence accumulation from experience and observation in the cingulate cortex",
    archive=dandi.dandiset("001435", "draft"),
    reader=nwb.units(),
    select=("*_behavior+ecephys.nwb",),
    species="Macaca mulatta",
    areas="anterior cingulate cortex",
    task="two-player game with hidden states",
    license="CC-BY-4.0",
    citation=(
        "Chen, Radkani, Valluru, Yoo and Jazayeri (2025). Evidence accumulation from experience and observation in the cingulate cortex. "
        "bioRxiv. doi:10.1101/2025.02.13.638172"
    ),
    subjects=2,
    sessions=51,
    tokens=2_720_804_574,
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        "Upstream's script takes every NWB file, though raw files without units are half of them; here only the processed ones are taken.",
        "Upstream stops at a unit without spikes; here it is a unit with none.",
    ),
    tested_on="a generated file; the names of processed files are inferred from the same laboratory's other dandisets",
)
