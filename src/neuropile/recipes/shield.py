"""Several thousand units through a skull-shaped implant while mice are engaged in, or disengaged from, change detection."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream, _allen

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
    leave_out=_allen.LFP_FILES,
    session=_allen.SESSION,
    recording=_allen.RECORDING,
    holds=(*_allen.HOLDS, "src_structure_layer", "intervals/trials", "signals/speed"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        _allen.NO_LFP,
        _allen.INVALID,
        _allen.ALL_UNITS,
        "Upstream ignores the bin width it is asked for; here any width is computed from the spike times.",
    ),
    tested_on="a generated file; layout from a listing of the dandiset's files",
)
