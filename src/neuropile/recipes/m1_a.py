"""Motor cortex of a monkey that reaches to four objects and grasps them."""

from neuropile.archives import dandi
from neuropile.readers import nwb, told, upstream
from neuropile.readers.told import falcon
from neuropile.recipes import Recipe, Upstream, _falcon

recipe = Recipe(
    key="m1-a",
    title="FALCON Benchmark M1-A: primary motor cortex recordings in primate during reach-to-grasp task",
    archive=dandi.dandiset("000941", "0.241029.1405"),
    reader=told.quality(falcon.task(nwb.units(), grid="acquisition/preprocessed_emg"), "mua", _falcon.MULTI_UNIT),
    species="Macaca mulatta",
    areas="primary motor cortex, 64 electrodes",
    task="reaching to and grasping four objects at eight places, with the activity of 16 muscles",
    license="CC-BY-4.0",
    citation="Rouse and Schieber (2015). Spatiotemporal distribution of location and object effects in reach-to-grasp kinematics. "
    "J. Neurophysiol. 114, 3268-3282. doi:10.1152/jn.00686.2015",
    subjects=1,
    sessions=11,
    tokens=45_410_816,
    session=_falcon.SESSION,
    recording="m1-a/{subject}_{run}",
    set_aside=_falcon.SET_ASIDE,
    holds=("quality", "observed", "intervals/trials", "intervals/evaluated"),
    upstream=Upstream(reader=upstream.counts(nwb.units()), session=r"(?:^|/)(?P<session>[^/]+)\.nwb$"),
    differs=(
        "Upstream bins from 0, off the grid of the muscles; here the clock is moved (`src_clock_shift_s`, by less than a bin) so that the benchmark's "
        "20 ms bins, which end at the muscles' time stamps, are bins of the session, and only they are observed.",
        _falcon.MINIVAL,
        "Upstream has the benchmark's split as the subject; here the subject is the monkey, and the split is kept in `src_split`.",
        "Upstream drops trials, muscles and the evaluation mask; here they are `trials`, signals and `evaluated`.",
    ),
    tested_on="a generated file; layout from the code that made the dandiset's files and the benchmark's own loader",
)
