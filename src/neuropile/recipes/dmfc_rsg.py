"""Dorsomedial frontal cortex of a monkey that reproduces time intervals."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="dmfc-rsg",
    title="DMFC_RSG: macaque dorsomedial frontal cortex spiking activity during time interval reproduction task",
    archive=dandi.dandiset("000130", "0.241017.1448"),
    reader=nwb.units(),
    species="Macaca mulatta",
    areas="dorsomedial frontal cortex",
    task="ready-set-go: reproduction of a time interval by eye or hand",
    license="CC-BY-4.0",
    citation="Sohn, Narain, Meirhaeghe and Jazayeri (2019). Bayesian computation through cortical latent dynamics. Neuron 103, 934-947. "
    "doi:10.1016/j.neuron.2019.06.012",
    subjects=1,
    sessions=2,
    tokens=14_003_818,
    session=r"(?:^|/)(?P<session>sub-(?P<subject>[^/_]+)[^/]*)\.nwb$",
    recording="dmfc-rsg/{subject}_2016-12-11",
    set_aside=(("*desc-test*", "Neural Latents Benchmark test trials: training on them spoils the benchmark; unobserved but for short windows"),),
    holds=("observed", "src_heldout", "intervals/trials"),
    upstream=Upstream(reader=upstream.counts(nwb.units()), session=r"(?:^|/)(?P<session>[^/]+)\.nwb$"),
    differs=(
        "The train and the test file are one session of 2016-12-11, which upstream counts as two; here they share a recording_id.",
        "Upstream writes the test file, almost all of it unobserved, as silence; here its observation intervals say what was observed, and it is set aside.",
        "Units that the benchmark holds out are told by `src_heldout`; the test file has the held-in ones only.",
    ),
    tested_on="a generated file; layout from public summaries of the dandiset's files",
)
