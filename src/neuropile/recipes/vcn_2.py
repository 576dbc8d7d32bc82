"""Spikes from visual cortex and below while mice watch fewer stimuli many more times."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream, _allen

recipe = Recipe(
    key="vcn-2",
    title="Visual Coding - Neuropixels, functional connectivity stimulus set",
    archive=dandi.dandiset("000022", "draft"),
    reader=nwb.units(),
    species="Mus musculus",
    areas="visual cortical areas, thalamus, hippocampus, midbrain (up to 6 probes)",
    task="passive viewing of a subset of stimuli with more repeats",
    terms_url="https://alleninstitute.org/terms-of-use/",
    citation=(
        "Allen Institute for Brain Science (2019). Neuropixels Visual Coding technical whitepaper. "
        "https://portal.brain-map.org/circuits-behavior/visual-coding-neuropixels"
    ),
    subjects=26,
    sessions=26,
    tokens=30_600_253_445,
    leave_out=_allen.LFP_FILES,
    session=_allen.SESSION,
    recording=_allen.RECORDING,
    holds=(*_allen.HOLDS, "signals/running_speed"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        _allen.NO_LFP,
        _allen.INVALID,
        _allen.ALL_UNITS,
        "Units without a spike are kept, as rows of zeros, here as upstream.",
    ),
    tested_on="generated files; layout from the owner's own writer of such files and a listing of the dandiset's files",
)
