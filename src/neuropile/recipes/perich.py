"""Motor and premotor cortex of monkeys that reach, recorded with the same arrays over years."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="perich",
    title="Long-term recordings of motor and premotor cortical spiking activity during reaching in monkeys",
    archive=dandi.dandiset("000688", "0.250122.1735"),
    reader=nwb.units(),
    species="Macaca mulatta, Macaca fascicularis",
    areas="M1 and PMd, Utah arrays",
    task="center-out (CO) and random-target (RT) reaching",
    license="CC-BY-4.0",
    citation="Perich, Gallego and Miller (2018). A neural population mechanism for rapid learning. Neuron 100, 964-976. doi:10.1016/j.neuron.2018.09.030",
    subjects=4,
    sessions=111,
    tokens=688_889_368,
    holds=("region", "intervals/trials"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        "Upstream drops the area; here it is the location of each unit's electrode, M1 or PMd.",
        "Upstream reads every waveform to get at spike times, and stops at a unit without spikes; here only the times are read.",
        "In one of the four animals units are threshold crossings, not sorted; the files do not say in which, so all are stored as spikes.",
    ),
    tested_on="a generated file; layout from a summary of one of the dandiset's files",
)
