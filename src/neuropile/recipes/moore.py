"""Motor and somatosensory cortex of a marmoset that hunts moths."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.readers.told import lost_time
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="moore",
    title="Marmoset electrophysiology and kinematics during prey capture (monkey MG)",
    archive=dandi.dandiset("001062", "draft"),
    reader=lost_time.intervals(nwb.units(), "neural_dropout"),
    species="Callithrix jacchus",
    areas="primary motor and somatosensory cortex, a Utah array of 96 channels",
    task="moth capture and free behaviour",
    license="CC-BY-4.0",
    citation=(
        "Moore, MacLean, Walker and Hatsopoulos (2024). A dynamic subset of network interactions underlies tuning to natural movements in "
        "marmoset sensorimotor cortex. Nature Communications 15. doi:10.1038/s41467-024-54343-6"
    ),
    subjects=1,
    sessions=1,
    tokens=30_643_839,
    holds=("quality", "intervals/neural_dropout"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        "The wireless link lost its signal 279 times; upstream counts that as silence, here those intervals are not observed.",
        "Upstream ignores the curator's verdict; here `quality` tells good, mua and noise apart, and piles leave noise out.",
        "Upstream drops the area; here it is that of each unit's electrode, motor or sensory.",
    ),
    tested_on="a generated file; layout from a summary of the dandiset's one file",
)
