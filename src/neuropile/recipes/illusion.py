"""Visual cortex of mice that watch contours which are not there."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

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
