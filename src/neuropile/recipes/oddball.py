"""Cortex of mice that watch sequences which break a rule now and then."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream, _allen

recipe = Recipe(
    key="oddball",
    title="Allen Institute OpenScope - Global/Local Oddball project",
    archive=dandi.dandiset("000253", "0.240923.1441"),
    reader=nwb.units(),
    species="Mus musculus",
    areas="several cortical areas",
    task="passive viewing of global and local oddballs; optotagging",
    license="CC-BY-4.0",
    citation="Westerberg, Durand, Cabasco et al. (2024). Allen Institute OpenScope - Global/Local Oddball project. doi:10.48324/dandi.000253/0.240923.1441",
    subjects=14,
    sessions=14,
    tokens=14_653_641_118,
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
