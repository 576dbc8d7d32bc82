"""Medial entorhinal cortex of mice in an open field, and on a virtual track."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="giocomo",
    title="Recordings from medial entorhinal cortex during linear track and open exploration",
    archive=dandi.dandiset("000053", "0.210819.0345"),
    reader=nwb.units(),
    species="Mus musculus",
    areas="medial entorhinal cortex",
    task="open field (tetrodes); virtual linear track (Neuropixels)",
    license="CC-BY-4.0",
    citation=(
        "Mallory, Hardcastle, Campbell et al. (2021). Mouse entorhinal cortex encodes a diverse repertoire of "
        "self-motion signals. Nature Communications 12(1), 671. doi:10.1038/s41467-021-20936-8"
    ),
    subjects=34,
    tokens=1_083_328_404,
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        "Upstream takes 349 of 359 files and does not say which ten it leaves out; here all are taken, and those without spikes are named.",
        (
            "Two ways of recording are mixed: sessions of a few tetrode units and of hundreds of Neuropixels "
            "units; `n_units` tells them apart, and piles can be made of one kind with --where."
        ),
    ),
    tested_on="generated files; the open field's layout from a listing, the track's from the converter's code",
)
