"""Hand area of a person's motor cortex while he tries to follow a robot arm in seven degrees of freedom."""

from neuropile.archives import dandi
from neuropile.readers import nwb, told, upstream
from neuropile.readers.told import falcon
from neuropile.recipes import Recipe, Upstream, _falcon

recipe = Recipe(
    key="h1",
    title="FALCON Benchmark H1: Human 7DoF Reach and Grasp Motor BCI",
    archive=dandi.dandiset("000954", "draft"),
    reader=told.quality(falcon.task(nwb.units(), grid="acquisition/OpenLoopKinematics"), "mua", "FALCON: a row a channel, multi-unit"),
    species="Homo sapiens",
    areas="hand knob of motor cortex, two 96-channel arrays",
    task="attempted reach and grasp in seven degrees of freedom, open loop",
    license="CC-BY-4.0",
    citation="Wodlinger, Downey, Tyler-Kabara et al. (2015). Ten-dimensional anthropomorphic arm control in a human brain-machine interface. "
    "J. Neural Eng. 12, 016011. doi:10.1088/1741-2560/12/1/016011",
    subjects=1,
    sessions=40,
    tokens=33_686_576,
    session=_falcon.SESSION,
    recording="h1/{subject}_{run}",
    set_aside=_falcon.SET_ASIDE,
    holds=("quality", "observed", "intervals/epochs", "intervals/evaluated", "signals/OpenLoopKinematics"),
    upstream=Upstream(reader=upstream.counts(nwb.units()), session=r"(?:^|/)(?P<session>[^/]+)\.nwb$"),
    differs=(
        "Upstream bins from 0; here the clock is moved (`src_clock_shift_s`, by less than a bin) so that the benchmark's 20 ms bins, which end at the times "
        "of the kinematics, are bins of the session, and only they are observed.",
        "The file has the kinematics' period where a rate belongs; here their time stamps are put right.",
        _falcon.MINIVAL,
        "Upstream has the benchmark's split as the subject; here the subject is the person, and the split is kept in `src_split`.",
        "Upstream drops kinematics, trial numbers and the evaluation mask; here they are signals, `epochs` and `evaluated`.",
        "Dates are shifted to 1925 to protect the participant: do not try to identify or contact him. The dandiset is a draft; a lock file pins its files.",
    ),
    tested_on="a generated file; layout from the code that made the dandiset's files and the benchmark's own loader",
)
