"""Hippocampal CA1 of mice whose neurons' birth dates are known, on a maze and asleep before and after it."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="huszar",
    title="Preconfigured dynamics in the hippocampus are guided by embryonic birthdate and rate of neurogenesis",
    archive=dandi.dandiset("000552", "0.230630.2304"),
    reader=nwb.units(),
    species="Mus musculus",
    areas="hippocampal CA1",
    task="figure-eight maze with spatial alternation; sleep in the home cage before and after",
    license="CC-BY-4.0",
    citation=(
        "Huszar, Zhang, Blockus and Buzsaki (2022). Preconfigured dynamics in the hippocampus are guided by embryonic "
        "birthdate and rate of neurogenesis. Nature Neuroscience 25(9), 1201-1212. doi:10.1038/s41593-022-01138-x"
    ),
    subjects=17,
    sessions=65,
    tokens=8_812_474_629,
    select=("*ecephys*.nwb",),
    holds=("src_clu_id", "src_group_id", "intervals/epochs", "intervals/trials", "intervals/SleepStates"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        "Upstream chose the 65 of 117 files with electrophysiology by hand; here they are selected by their names, which say ecephys.",
        "Upstream loses epochs and sleep; here epochs, trials and sleep states are intervals of the session.",
    ),
    tested_on="a generated file; layout from a listing of the dandiset's files",
)
