"""From thalamus through visual cortex to hippocampus while mice watch bars, disks and movies."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream, _allen

recipe = Recipe(
    key="v2h",
    title="Allen Institute OpenScope - Vision2Hippocampus project",
    archive=dandi.dandiset("000690", "0.250326.0015"),
    reader=nwb.units(),
    species="Mus musculus",
    areas="thalamus, visual cortex, hippocampus, entorhinal cortex",
    task="passive viewing of moving bars, disks and natural movies",
    license="CC-BY-4.0",
    citation="Mehta, Purandare, Jha, Lecoq et al. (2025). Allen Institute OpenScope - Vision2Hippocampus project. doi:10.48324/dandi.000690/0.250326.0015",
    subjects=25,
    sessions=25,
    tokens=24_600_171_007,
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
    tested_on="a generated file; layout from a listing of the dandiset's files",
)
