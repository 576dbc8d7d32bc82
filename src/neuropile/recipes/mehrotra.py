"""Retrosplenial cortex of freely moving and sleeping mice."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="mehrotra",
    title="Freely moving mouse retrosplenial cortex recordings",
    archive=dandi.dandiset("000987", "draft"),
    reader=nwb.units(),
    species="Mus musculus",
    areas="retrosplenial cortex",
    task="sleep and open field",
    license="CC-BY-4.0",
    citation=(
        "Mehrotra, Levenstein, Duszkiewicz et al. (2024). Hyperpolarization-activated currents drive neuronal "
        "activation sequences in sleep. Current Biology 34(14), 3043-3054. doi:10.1016/j.cub.2024.05.048"
    ),
    subjects=3,
    sessions=14,
    tokens=465_402_824,
    holds=("region", "intervals/UP", "intervals/DOWN", "intervals/SWS", "intervals/epochs"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=("Upstream loses sleep scoring and UP and DOWN states; here they are intervals of the session.",),
    tested_on="a generated file; layout from a listing of the dandiset's files",
)
