"""Hand area of a person's motor cortex while he tries to write sentences by hand."""

from neuropile.archives import dandi
from neuropile.readers.nwb import counts
from neuropile.readers.told import falcon
from neuropile.readers.upstream import series
from neuropile.recipes import Recipe, Upstream, _falcon

SERIES = "acquisition/binned_spikes"

recipe = Recipe(
    key="h2",
    title="FALCON Benchmark H2: Human Handwriting iBCI",
    archive=dandi.dandiset("000950", "0.241029.1403"),
    reader=falcon.task(counts.series(SERIES, quantity="threshold_crossings", gap=1.05)),
    quantity="threshold_crossings",
    species="Homo sapiens",
    areas="hand knob of the precentral gyrus, two 96-channel arrays",
    task="attempted handwriting of cued sentences",
    license="CC-BY-4.0",
    citation="Fan, Hahn, Kamdar et al. (2023). Plug-and-play stability for intracortical brain-computer interfaces. NeurIPS. "
    "https://openreview.net/forum?id=STqaMqhtDi",
    subjects=1,
    sessions=47,
    tokens=297_332_736,
    session=_falcon.SESSION,
    recording="h2/{subject}_{run}",
    set_aside=_falcon.SET_ASIDE,
    holds=("observed", "intervals/trials", "intervals/evaluated"),
    upstream=Upstream(reader=series.samples(SERIES), session=r"(?:^|/)(?P<session>[^/]+)\.nwb$"),
    differs=(
        "Upstream glues trials together; here a step of more than 21 ms between time stamps begins a new stretch, and the time between was not observed.",
        _falcon.MINIVAL,
        "Upstream has the benchmark's split as the subject; here the subject is T5, and the split is kept in `src_split`.",
        "Upstream drops sentences, blocks and the evaluation mask; here they are `trials` and `evaluated`.",
    ),
    tested_on="a generated file; layout from the code that made the dandiset's files",
)
