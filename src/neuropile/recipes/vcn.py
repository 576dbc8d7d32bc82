"""Spikes from visual cortex and below while mice watch gratings, scenes and movies."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

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
