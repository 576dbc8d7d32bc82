"""Motor cortex of a monkey that moves two groups of fingers at once."""

from neuropile.archives import dandi
from neuropile.readers import nwb, told, upstream
from neuropile.readers.told import falcon
from neuropile.recipes import Recipe, Upstream, _falcon

recipe = Recipe(
    key="m2",
    title="FALCON Benchmark M2: primary motor cortex recordings in primate during finger movement",
    archive=dandi.dandiset("000953", "draft"),
    reader=told.quality(falcon.task(nwb.units(), grid="acquisition/finger_vel", stamps="starts"), "mua", _falcon.MULTI_UNIT),
    species="Macaca mulatta",
    areas="primary motor cortex, 96 channels",
    task="movements of two finger groups to targets",
    license="CC-BY-4.0",
    citation="Nason, Mender, Vaskov et al. (2021). Real-time linear prediction of simultaneous and independent movements of two finger groups "
    "using an intracortical brain-machine interface. Neuron 109, 3164-3177. doi:10.1016/j.neuron.2021.08.009",
    subjects=1,
    sessions=20,
    tokens=12_708_384,
    session=r"(?:^|/)(?P<session>(?:sub-)?(?P<subject>[^/]+?)[-_]held[-_](?:in|out)[-_][a-z]+_ses-(?P<year>\d{4})-?(?P<month>\d{2})-?(?P<day>\d{2})[^/]*)\.nwb$",
    recording="monkey-n/{year}{month}{day}",
    set_aside=_falcon.SET_ASIDE,
    holds=("quality", "observed", "intervals/trials", "intervals/evaluated"),
    upstream=Upstream(reader=upstream.counts(nwb.units()), session=r"(?:^|/)(?P<session>[^/]+)\.nwb$"),
    differs=(
        "Upstream bins from 0, about 1 ms off; here the clock is moved (`src_clock_shift_s`) so that the benchmark's 20 ms bins, which start at "
        "the velocities' time stamps, are bins of the session, and only they are observed.",
        _falcon.MINIVAL,
        "Upstream has the benchmark's split as the subject; here the subject is the monkey, and the split is kept in `src_split`.",
        "Upstream drops fingers, trials and the evaluation mask; here they are signals, `trials` and `evaluated`.",
        "The monkey is probably that of `temmar`; sessions of one day, here and there, share a recording_id, so that no split separates them.",
        "Upstream's saved list is of an older draft than the data it used; a lock file pins the files by id and digest.",
    ),
    tested_on="a generated file; layout from the benchmark's own loader",
)
