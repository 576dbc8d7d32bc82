"""Spikes from visual cortex and below while mice watch gratings, scenes and movies."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream, _allen

recipe = Recipe(
    key="vcn",
    title="Visual Coding - Neuropixels, brain observatory 1.1 stimulus set",
    archive=dandi.dandiset("000021", "draft"),
    reader=nwb.units(),
    species="Mus musculus",
    areas="visual cortical areas, thalamus, hippocampus, midbrain (up to 6 probes)",
    task="passive viewing of gratings, Gabors, flashes, natural scenes and movies",
    terms_url="https://alleninstitute.org/terms-of-use/",
    citation=(
        "Allen Institute for Brain Science (2019). Neuropixels Visual Coding technical whitepaper. "
        "https://portal.brain-map.org/circuits-behavior/visual-coding-neuropixels"
    ),
    subjects=32,
    sessions=32,
    tokens=36_681_686_005,
    leave_out=_allen.LFP_FILES,
    session=_allen.SESSION,
    recording=_allen.RECORDING,
    holds=(*_allen.HOLDS, "signals/running_speed"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        _allen.NO_LFP,
        _allen.INVALID,
        _allen.ALL_UNITS,
    ),
    tested_on="generated files; layout from the owner's own writer of such files and a listing of the dandiset's files",
)
