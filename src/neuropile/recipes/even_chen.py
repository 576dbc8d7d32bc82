"""Premotor and motor cortex of monkeys that prepare reaches and cursor movements."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.readers.told import lost_time
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="even-chen",
    title="Structure and variability of delay activity in premotor cortex",
    archive=dandi.dandiset("000121", "0.220124.2156"),
    reader=lost_time.between_segments(nwb.units()),
    species="Macaca mulatta",
    areas="PMd and M1, two Utah arrays of 96 channels",
    task="delayed reaches and cursor movements, four designs",
    license="CC-BY-4.0",
    citation=(
        "Even-Chen, Sheffer, Vyas, Ryu and Shenoy (2019). Structure and variability of delay activity in premotor cortex. "
        "PLoS Computational Biology 15. doi:10.1371/journal.pcbi.1006808"
    ),
    subjects=2,
    sessions=12,
    tokens=783_441_792,
    holds=("region", "observed", "intervals/trials"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        "Upstream counts pauses of the recording as silence; here the time between the segments of the field potential is not observed.",
        "Upstream begins at 0 s and ends with the last spike; here each unit's own observation interval says when silence is data.",
        "Upstream drops which array an electrode is of; here the area of its electrode is each unit's region.",
        "Upstream used 12 of 15 files and does not say why; here every file is taken, and one without units is told and left out.",
    ),
    tested_on="a generated file; layout from a summary of one of the dandiset's files, the field potential's place in it inferred",
)
