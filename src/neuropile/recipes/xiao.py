"""Spiking along the ventral visual stream of macaques that look freely at thousands of natural images."""

from neuropile.archives import dandi
from neuropile.readers.layouts import raster
from neuropile.readers.upstream import by_layout
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="xiao",
    title="Extracellular recording along macaque ventral visual pathway during natural image free viewing",
    archive=dandi.dandiset("000628", "0.240501.1912"),
    reader=raster.counts(),
    quantity="counts",
    select=("*.nwb",),
    leave_out=("*_image.nwb", "*_behavior.nwb"),
    species="Macaca mulatta, Macaca nemestrina",
    areas="V1, V2, V4, PIT, CIT and AIT, most of it CIT and AIT",
    task="free viewing of natural images",
    license="CC-BY-4.0",
    citation=(
        "Xiao, Sharma, Kreiman and Livingstone (2024). Feature-selective responses in macaque visual cortex follow eye movements during natural vision. "
        "Nature Neuroscience. doi:10.1038/s41593-024-01631-5; data doi:10.48324/dandi.000628/0.240501.1912"
    ),
    subjects=13,
    sessions=679,
    tokens=17_695_820_059,
    holds=("observed", "src_unit_name"),
    upstream=Upstream(reader=by_layout.Raster()),
    differs=(
        "Upstream loads a whole raster of 1 ms counts and adds twenty rows at a time; here it is read in slices and each count kept as ticks of 1 ms.",
        "Upstream drops up to 19 ms at the end and the time at which the raster begins; here the clock is the raster's own and all of it is observed.",
        "Upstream drops the units' names; here they are the unit ids, with the area where the file says it.",
        "The authors drop units that fall silent in the second half or change their rate much; upstream does not, and neither is it done here.",
    ),
    tested_on="a generated file; layout from a published reader of one file and a summary of the dandiset",
)
