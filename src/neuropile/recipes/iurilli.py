"""Piriform cortex of a mouse that smells odours at different speeds of inhalation."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="iurilli",
    title="A mechanosensory feedback that uncouples external and self-generated sensory responses in the olfactory cortex",
    archive=dandi.dandiset("000931", "0.240305.0945"),
    reader=nwb.units(),
    species="Mus musculus",
    areas="piriform cortex",
    task="odours at different inhalation speeds",
    license="CC-BY-4.0",
    citation=(
        "Dehaqani, Michelon, Patella et al. (2024). A mechanosensory feedback that uncouples external and self-generated sensory responses "
        "in the olfactory cortex. Cell Reports 43(4). https://www.cell.com/cell-reports/fulltext/S2211-1247(24)00341-3"
    ),
    subjects=1,
    sessions=1,
    tokens=388_791_426,
    holds=("quality", "src_KSLabel", "src_depth"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=("Upstream keeps multi-unit and noise clusters unmarked; here `quality` (good, mua, noise) marks them and piles leave noise out.",),
    tested_on="a generated file; layout from a listing of the dandiset's files",
)
