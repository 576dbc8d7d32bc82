"""Neuropixels in V4 of monkeys that are shown shapes and textures."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.readers.told import judged
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="kim",
    title="High-Density Recording Reveals Sparse Clusters (But Not Columns) for Shape and Texture Encoding in Macaque V4",
    archive=dandi.dandiset("001357", "draft"),
    reader=judged.units(nwb.units(), "is_sua", {"1": "good", "0": "mua"}),
    species="Macaca mulatta",
    areas="V4",
    task="passive viewing of shapes and textures",
    license="CC-BY-4.0",
    citation=(
        "Namima, Kempkes, Zamarashkina, Owen and Pasupathy (2025). High-density recording reveals sparse clusters (but not columns) for shape and "
        "texture encoding in macaque V4. Journal of Neuroscience. doi:10.1523/JNEUROSCI.1893-23.2024"
    ),
    subjects=2,
    sessions=159,
    tokens=804_510_741,
    holds=("quality", "intervals/trials", "src_pen_ID"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        "Upstream mixes single and multi-units; here `quality` tells them apart (is_sua: 1 good, 0 mua).",
        "Several short runs share a penetration and may share its clock; upstream counts the time before a run as silence, here it is not observed.",
        "Upstream drops the penetration; here `src_pen_ID` of the units names it, by which runs of the same units can be joined.",
    ),
    tested_on="a generated file; layout from summaries of the dandiset's three kinds of files",
)
