"""Motor cortex of mice that remember which way to lick."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="li",
    title="A motor cortex circuit for motor planning and movement",
    archive=dandi.dandiset("000010", "0.220126.1905"),
    reader=nwb.units(),
    species="Mus musculus",
    areas="anterior lateral motor cortex",
    task="whisker-based object location discrimination with a delay",
    license="CC-BY-4.0",
    citation=(
        "Li, Chen, Guo, Gerfen and Svoboda (2015). A motor cortex circuit for motor planning and movement. Nature 519(7541), 51-56. doi:10.1038/nature14178"
    ),
    subjects=23,
    sessions=99,
    tokens=260_807_325,
    select=("*ecephys*.nwb",),
    holds=("region", "quality", "observed", "src_cell_type", "intervals/trials"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        "Each unit is observed in its own trials only (obs_intervals); upstream stores all time outside them as silence, most of many rows.",
        "Upstream chose the 99 of 158 files with electrophysiology by hand; here they are selected by their names, which say ecephys.",
    ),
    tested_on="a generated file; layout from a listing of the dandiset's files",
)
