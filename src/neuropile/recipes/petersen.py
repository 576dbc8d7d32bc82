"""Hippocampal assemblies of rats on a track while the medial septum is cooled."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="petersen",
    title="Cooling of Medial Septum Reveals Theta Phase Lag Coordination of Hippocampal Cell Assemblies",
    archive=dandi.dandiset("000059", "0.230907.2101"),
    reader=nwb.units(),
    species="Rattus norvegicus",
    areas="hippocampus",
    task="spatial navigation, with cooling of the medial septum",
    license="CC-BY-4.0",
    citation=(
        "Petersen and Buzsaki (2020). Cooling of Medial Septum Reveals Theta Phase Lag Coordination of "
        "Hippocampal Cell Assemblies. Neuron 107(4), 731-744. doi:10.1016/j.neuron.2020.05.023"
    ),
    subjects=5,
    sessions=24,
    tokens=15_510_368_376,
    select=("*_desc-processed_*.nwb",),
    holds=("quality", "intervals/trials", "signals/SubjectSpeed"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        (
            "Upstream keeps noise and fragments of clusters unmarked, probably a large part of its tokens; "
            "here `quality` (good, mua, noise) marks them and piles leave noise out."
        ),
        "Upstream chose 24 of 100 files by hand; here the files named desc-processed are selected, which hold the units. Those named desc-raw have none.",
    ),
    tested_on="a generated file; layout from a listing of the dandiset's files and the converter's code",
)
