"""Thousands of neurons over the mouse brain while it judges which of two gratings has more contrast."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="steinmetz",
    title="Distributed coding of choice, action and engagement across the mouse brain",
    archive=dandi.dandiset("000017", "0.240329.1926"),
    reader=nwb.units(),
    species="Mus musculus",
    areas="42 brain regions, up to 3 Neuropixels probes at a time",
    task="two-alternative visual contrast discrimination, turning a wheel",
    license="CC-BY-4.0",
    citation=(
        "Steinmetz, Zatka-Haas, Carandini and Harris (2019). Distributed coding of choice, action and engagement "
        "across the mouse brain. Nature 576(7786), 266-273. doi:10.1038/s41586-019-1787-x"
    ),
    subjects=10,
    sessions=39,
    tokens=7_881_422_592,
    holds=("region", "quality", "src_phy_annotations", "intervals/trials", "intervals/spontaneous"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        (
            "Upstream keeps multi-unit clusters unmarked, which the authors leave out; here all clusters are "
            "stored and `quality` tells them apart (phy_annotations: 1 mua, 2 good, 3 unsorted)."
        ),
    ),
    tested_on="a generated file; layout from a listing of the dandiset's files",
)
