"""Cortex of mice that watch sequences which break a rule now and then."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

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
    select=("*.nwb",),
    leave_out=("*_probe-*_ecephys.nwb",),
    session=r"(?P<session>[^/]*_ses-(?P<id>[^_./]+)[^/]*)\.nwb$",
    recording="allen/{id}",
    holds=(
        "region",
        "probe",
        "depth_um",
        "quality",
        "src_peak_channel_id",
        "src_presence_ratio",
        "intervals/presentations",
        "intervals/optogenetic_stimulation",
    ),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        (
            "Upstream had to remove the LFP file of each probe by hand; here only the session files are "
            "selected, and areas and depths come through each unit's peak channel."
        ),
        "Upstream stores invalid times as silence; here they are taken out of what was observed: of every unit, or of the probe that their tags name.",
        "Pulses of light are in the intervals of the session (optogenetic_stimulation), which upstream drops.",
        (
            "All units are stored, as upstream does; the owner's own defaults would hide units below a presence ratio of "
            "0.95 or above 0.5 in isi_violations or 0.1 in amplitude_cutoff, which are kept as columns."
        ),
    ),
    tested_on="a generated file; layout from a listing of the dandiset's files",
)
