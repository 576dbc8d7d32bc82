"""Visual cortex of mice that watch contours which are not there."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream, _allen

recipe = Recipe(
    key="illusion",
    title="Allen Institute OpenScope - Illusion project",
    archive=dandi.dandiset("000248", "0.240502.2344"),
    reader=nwb.units(),
    species="Mus musculus",
    areas="V1, LM, RL, AL, PM, AM",
    task="passive viewing of illusory contours; optotagging",
    license="CC-BY-4.0",
    citation=(
        "Shin et al. (2023). Recurrent pattern completion drives the neocortical representation of sensory "
        "inference. doi:10.1101/2023.06.05.543698; data doi:10.48324/dandi.000248/0.240502.2344"
    ),
    subjects=12,
    sessions=12,
    tokens=13_246_412_456,
    leave_out=_allen.LFP_FILES,
    session=_allen.SESSION,
    recording=_allen.RECORDING,
    holds=(*_allen.HOLDS, "intervals/optogenetic_stimulation"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        _allen.NO_LFP,
        _allen.INVALID,
        "Pulses of light are in the intervals of the session (optogenetic_stimulation), which upstream drops.",
        _allen.ALL_UNITS,
    ),
    tested_on="a generated file; layout from a listing of the dandiset's files",
)
