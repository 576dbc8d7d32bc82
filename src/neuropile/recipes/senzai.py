"""All layers of primary visual cortex of freely behaving mice."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="senzai",
    title="Layer-Specific Physiological Features and Interlaminar Interactions in the Primary Visual Cortex of the Mouse",
    archive=dandi.dandiset("000166", "0.250624.0434"),
    reader=nwb.units(),
    species="Mus musculus",
    areas="primary visual cortex, all layers",
    task="free behaviour and sleep",
    license="CC-BY-4.0",
    citation=(
        "Senzai, Fernandez-Ruiz and Buzsaki (2019). Layer-Specific Physiological Features and Interlaminar Interactions in "
        "the Primary Visual Cortex of the Mouse. Neuron 101(3), 500-513. doi:10.1016/j.neuron.2018.12.009"
    ),
    subjects=19,
    sessions=19,
    tokens=1_433_511_102,
    holds=("region", "quality", "src_cell_type"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=("Upstream downloads the raw voltage for nothing; here only the units, intervals and behaviour are read, over byte ranges.",),
    tested_on="a generated file; layout from a listing of version 0.220116.2037 of the dandiset's files and the converter's code",
)
