"""CA1 of rats that rest, run on a maze they have never seen, and rest again."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="grosmark",
    title="Diversity in neural firing dynamics supports both rigid and learned hippocampal sequences",
    archive=dandi.dandiset("000044", "0.250624.0426"),
    reader=nwb.units(),
    species="Rattus norvegicus",
    areas="hippocampal CA1",
    task="long rest, novel maze, long rest",
    license="CC-BY-4.0",
    citation=(
        "Grosmark and Buzsaki (2016). Diversity in neural firing dynamics supports both rigid and learned "
        "hippocampal sequences. Science 351(6280), 1440-1443. doi:10.1126/science.aad1935"
    ),
    subjects=4,
    sessions=8,
    tokens=1_158_299_763,
    holds=("region", "src_cell_type", "intervals/epochs", "intervals/states"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=("Upstream does not mark rest and maze; here the epochs before, on and after the maze are intervals of the session.",),
    tested_on="a generated file; layout from a listing of version 0.210812.1516 of the dandiset's files",
)
