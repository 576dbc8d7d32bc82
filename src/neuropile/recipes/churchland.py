"""Motor and dorsal premotor cortex of two monkeys that reach through mazes on a screen."""

from neuropile.archives import dandi
from neuropile.readers import nwb, told, upstream
from neuropile.readers.told import restarts
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="churchland",
    title="Neural population dynamics during reaching",
    archive=dandi.dandiset("000070", "draft"),
    reader=told.quantity(restarts.cut(nwb.units()), "threshold_crossings"),
    quantity="threshold_crossings",
    species="Macaca mulatta",
    areas="primary motor and dorsal premotor cortex, two 96-channel Utah arrays",
    task="delayed reaches through mazes of barriers",
    license="CC-BY-4.0",
    citation="Churchland, Cunningham, Kaufman et al. (2012). Neural population dynamics during reaching. Nature 487, 51-56. doi:10.1038/nature11129",
    subjects=2,
    sessions=10,
    tokens=1_278_669_504,
    holds=("region", "observed", "intervals/trials"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        "In some sessions (at least nitschke 2009-09-10 and 2009-09-20) the clock restarts between blocks and upstream adds the blocks onto the same bins; "
        "here such a file is cut where a trial starts before the one before it, and the blocks, with their trials, spikes and behaviour, are laid end to end "
        "with at least a second of unobserved time between; `offset_s` of each trial says by how much it was moved.",
        "Upstream reads the time between trials as silence; here each unit's observation intervals say when it was observed.",
        "Upstream stops at an electrode without spikes; here it is a silent row.",
        "The 192 rows are electrodes, whose spikes are threshold crossings: the quantity says so.",
        "Upstream's table has 10 sessions, its saved list of the draft dandiset 9 files; a lock file pins those there are.",
    ),
    tested_on="a generated file; layout from public summaries of the dandiset's files and the code of other readers of it",
)
