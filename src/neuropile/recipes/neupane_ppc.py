"""Neuropixels in posterior parietal cortex of monkeys that travel in their mind between landmarks they do not see."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="neupane-ppc",
    title="Mental navigation primate PPC (Neupane, Fiete, Jazayeri)",
    archive=dandi.dandiset("001275", "draft"),
    reader=nwb.units(),
    select=("*_behavior+ecephys.nwb",),
    species="Macaca mulatta",
    areas="posterior parietal cortex",
    task="mental navigation between landmarks with a joystick",
    license="CC-BY-4.0",
    citation="Neupane, Fiete and Jazayeri (2024). Mental navigation in the primate entorhinal cortex. Nature 630. doi:10.1038/s41586-024-07557-z",
    subjects=2,
    sessions=10,
    tokens=7_899_849_087,
    holds=("quality", "intervals/trials"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        "Upstream finds units only in the processing module, where these files have them, and stops at a cluster without spikes; here both are read.",
        "Upstream takes clusters that Kilosort calls multi-unit for neurons; here `quality` tells them apart.",
        "Upstream counts from 0 s on; here time before the first spike is not observed, as nothing in the file says that it was.",
    ),
    tested_on="a generated file; layout from a summary of one of the dandiset's files",
)
