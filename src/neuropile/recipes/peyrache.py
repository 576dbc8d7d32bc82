"""Head-direction cells of thalamus and post-subiculum through waking and sleep."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="peyrache",
    title="Internally organized mechanisms of the head direction sense",
    archive=dandi.dandiset("000056", "0.250624.0430"),
    reader=nwb.units(),
    species="Mus musculus",
    areas="antero-dorsal thalamic nucleus, post-subiculum",
    task="foraging in an open field; sleep before and after",
    license="CC-BY-4.0",
    citation=(
        "Peyrache, Lacroix, Petersen and Buzsaki (2015). Internally organized mechanisms of the head "
        "direction sense. Nature Neuroscience 18(4), 569-575. doi:10.1038/nn.3968"
    ),
    subjects=7,
    sessions=40,
    tokens=2_198_184_372,
    holds=("intervals/states",),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=("Upstream loses the brain state; here states of sleep and waking are intervals of the session.",),
    tested_on="a generated file; layout from a listing of version 0.210812.1518 of the dandiset's files",
)
