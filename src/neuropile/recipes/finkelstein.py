"""Motor and vibrissal cortex of mice that detect a flash of light on their brain."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="finkelstein",
    title='Dataset for "Attractor dynamics gate cortical information flow during decision-making"',
    archive=dandi.dandiset("000060", "draft"),
    reader=nwb.units(),
    species="Mus musculus",
    areas="anterior lateral motor cortex, vibrissal somatosensory cortex",
    task="detection of optogenetic stimulation",
    citation=(
        "Finkelstein, Fontolan, Economo, Li, Romani and Svoboda (2021). Attractor dynamics gate cortical information flow "
        "during decision-making. Nature Neuroscience 24(6), 843-850. doi:10.1038/s41593-021-00840-6"
    ),
    subjects=9,
    sessions=98,
    tokens=1_313_786_316,
    holds=("region", "quality", "observed", "src_cell_type", "intervals/trials"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        "Each unit is observed in its own trials only (obs_intervals); upstream stores all time outside them as silence, most of many rows.",
        "The archive records no licence: ask the authors before you publish what you make of it.",
    ),
    tested_on="a generated file; layout from a listing of the dandiset's files",
)
