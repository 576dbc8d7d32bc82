"""From thalamus through visual cortex to hippocampus while mice watch bars, disks and movies."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

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
    select=("*.nwb",),
    leave_out=("*_probe-*_ecephys.nwb",),
    session=r"(?P<session>[^/]*_ses-(?P<id>[^_./]+)[^/]*)\.nwb$",
    recording="allen/{id}",
    holds=("region", "probe", "depth_um", "quality", "src_peak_channel_id", "src_presence_ratio", "intervals/presentations", "signals/running_speed"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        (
            "Upstream had to remove the LFP file of each probe by hand; here only the session files are "
            "selected, and areas and depths come through each unit's peak channel."
        ),
        "Upstream stores invalid times as silence; here they are taken out of what was observed: of every unit, or of the probe that their tags name.",
        (
            "All units are stored, as upstream does; the owner's own defaults would hide units below a presence ratio of "
            "0.95 or above 0.5 in isi_violations or 0.1 in amplitude_cutoff, which are kept as columns."
        ),
    ),
    tested_on="a generated file; layout from a listing of the dandiset's files",
)
