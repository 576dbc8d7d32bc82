"""Several thousand units through a skull-shaped implant while mice are engaged in, or disengaged from, change detection."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="shield",
    title="Large-scale Neuropixels recordings through SHIELD implant during visual change detection task with dynamic gating of engagement",
    archive=dandi.dandiset("001051", "draft"),
    reader=nwb.units(),
    species="Mus musculus",
    areas="left hemisphere: cortex (frontal and medial areas included) and subcortex (striatum included)",
    task="visual change detection with gated engagement",
    license="CC-BY-4.0",
    citation=(
        "Bennett et al. (2024). SHIELD: skull-shaped hemispheric implants enabling large-scale electrophysiology datasets in the "
        "mouse brain. Neuron 112(17), 2869-2885. https://www.cell.com/neuron/abstract/S0896-6273(24)00450-1"
    ),
    subjects=27,
    sessions=99,
    tokens=61_890_305_241,
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
        "src_structure_layer",
        "intervals/trials",
        "signals/speed",
    ),
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
        "Upstream ignores the bin width it is asked for; here any width is computed from the spike times.",
    ),
    tested_on="a generated file; layout from a listing of the dandiset's files",
)
