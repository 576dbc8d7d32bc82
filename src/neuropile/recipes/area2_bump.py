"""Somatosensory area 2 of a monkey that reaches, and whose arm is bumped."""

from neuropile.archives import dandi
from neuropile.readers import nwb, told, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="area2-bump",
    title="Area2_Bump: macaque somatosensory area 2 spiking activity during reaching with perturbations",
    archive=dandi.dandiset("000127", "0.220113.0359"),
    reader=told.signals(nwb.units(), "hand_*", "force*", "eval_mask"),
    species="Macaca mulatta",
    areas="area 2 of primary somatosensory cortex",
    task="center-out reaches, some with bumps to the arm",
    license="CC-BY-4.0",
    citation="Chowdhury, Glaser and Miller (2020). Area 2 of primary somatosensory cortex encodes kinematics of the whole arm. "
    "eLife 9, e48198. doi:10.7554/eLife.48198",
    subjects=1,
    sessions=2,
    tokens=7_394_070,
    session=r"(?:^|/)(?P<session>sub-(?P<subject>[^/_]+)[^/]*)\.nwb$",
    recording="area2-bump/{subject}_2017-12-07",
    set_aside=(("*desc-test*", "Neural Latents Benchmark test trials: training on them spoils the benchmark; unobserved but for short windows"),),
    holds=("observed", "src_heldout", "intervals/trials"),
    upstream=Upstream(reader=upstream.counts(nwb.units()), session=r"(?:^|/)(?P<session>[^/]+)\.nwb$"),
    differs=(
        "The train and the test file are one session of 2017-12-07, which upstream counts as two; here they share a recording_id.",
        "Upstream writes the test file, almost all of it unobserved, as silence; here its observation intervals say what was observed, and it is set aside.",
        "Units that the benchmark holds out are told by `src_heldout`; the test file has the held-in ones only.",
        "Most of the files' 1.8 GB are joint angles and muscle lengths, modelled from the arm's motion; of the behaviour only hand and force are fetched.",
    ),
    tested_on="a generated file; layout from public summaries of the dandiset's files",
)
