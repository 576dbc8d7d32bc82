"""Entorhinal cortex of monkeys that travel in their mind between landmarks they do not see."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="neupane-entorhinal",
    title="Mental navigation NHP Entorhinal Cortex (Neupane, Fiete, Jazayeri)",
    archive=dandi.dandiset("000897", "0.240605.1710"),
    reader=nwb.units(),
    select=("*_behavior+ecephys.nwb",),
    species="Macaca mulatta",
    areas="entorhinal cortex, Plexon V-probes of 32 or 64 channels",
    task="mental navigation between landmarks with a joystick",
    license="CC-BY-4.0",
    citation="Neupane, Fiete and Jazayeri (2024). Mental navigation in the primate entorhinal cortex. Nature 630. doi:10.1038/s41586-024-07557-z",
    subjects=2,
    sessions=15,
    tokens=911_393_376,
    holds=("quality", "intervals/trials"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        "Upstream includes clusters that were curated as noise; here `quality` tells good, mua and noise apart, and piles leave noise out.",
        "Upstream stops at a cluster without spikes; here it is a unit with none.",
        "Upstream counts from 0 s on; here time before the first spike is not observed, as nothing in the file says that it was.",
    ),
    tested_on="a generated file; layout from summaries of the dandiset's files, whose unit columns differ",
)
