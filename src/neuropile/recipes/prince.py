"""CA1 and medial prefrontal cortex of mice in virtual reality whose goal changes on the way."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="prince",
    title="New information triggers prospective codes to adapt for flexible navigation",
    archive=dandi.dandiset("001371", "draft"),
    reader=nwb.units(),
    species="Mus musculus",
    areas="hippocampal CA1, medial prefrontal cortex",
    task="virtual-reality navigation with updated goals",
    license="CC-BY-4.0",
    citation=(
        "Prince, Cushing, Yassine et al. (2025). New information triggers prospective codes to adapt for "
        "flexible navigation. Nature Communications 16(1), 4822. doi:10.1038/s41467-025-60122-8"
    ),
    subjects=7,
    sessions=66,
    tokens=1_921_336_974,
    holds=("region", "quality", "src_cell_type", "intervals/trials"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        "Upstream downloads 14.5 TB, nearly all raw voltage, for these tokens; here only the units, intervals and behaviour are read, over byte ranges.",
        (
            "Upstream ignores the curators' labels; here `quality` comes from the manual labels, "
            "else from the sorter's, and cell_explorer_label is kept as a column."
        ),
    ),
    tested_on="a generated file; layout from a listing of the dandiset's files",
)
