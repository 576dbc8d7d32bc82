"""Motor and premotor cortex of two monkeys that move a cursor by a brain-machine interface."""

from neuropile.archives import dandi
from neuropile.readers.nwb import counts
from neuropile.readers.upstream import series
from neuropile.recipes import Recipe, Upstream

SERIES = "processing/behavior/spike_counts"

recipe = Recipe(
    key="athalye",
    title="Monkey 2D cursor BMI",
    archive=dandi.dandiset("000404", "0.230605.2024"),
    reader=counts.series(SERIES, quantity="counts"),
    quantity="counts",
    species="Macaca mulatta",
    areas="dorsal premotor and primary motor cortex, microwire arrays",
    task="brain-machine interface: cursor to targets, center-out and around obstacles",
    license="CC-BY-4.0",
    citation="Athalye, Khanna, Gowda, Orsborn, Costa and Carmena (2023). Invariant neural dynamics drive commands to control different movements. "
    "Current Biology. https://www.cell.com/current-biology/fulltext/S0960-9822(23)00778-9",
    subjects=2,
    sessions=13,
    tokens=101_984_317,
    holds=("observed",),
    upstream=Upstream(reader=series.samples(SERIES, rebin=("sub-monk-j", 4))),
    differs=(
        "Upstream stores monkey G's bins of 1/60 s as if they were 20 ms; here G's clock has 60 ticks a second: piles of 20 ms leave its sessions out "
        "and say so, --bin 1/60 takes them.",
        "Upstream sums monkey J's bins of 5 ms by fours and drops the rest, if the folder has one exact name; here J's clock has 200 ticks a second, "
        "the native bins are kept and any multiple of them can be counted.",
        "Upstream never reads time stamps; here they say which time was observed, and cursor, targets and decoder stay aligned.",
        "There is no table of units that links days: unit ids are columns of one session's counts.",
    ),
    tested_on="a generated file; layout from public summaries of the dandiset's files",
)
