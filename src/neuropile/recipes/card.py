"""Speech motor cortex of a person with ALS (T15) who attempts to speak some 11 000 sentences."""

from neuropile.archives import dryad
from neuropile.readers.layouts import trial_features
from neuropile.readers.upstream import by_layout
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="card",
    title="An accurate and rapidly calibrating speech neuroprosthesis (T15 copy task)",
    archive=dryad.dataset("10.5061/dryad.dncjsxm85"),
    reader=trial_features.features(),
    quantity="rates",
    select=("t15_copyTask_neuralData.zip",),
    members=("*t15.*/[!.]*.hdf5",),
    session=r"(?P<session>t15\.\d{4}\.\d\d\.\d\d)/[^/]+$",
    subject="T15",
    species="Homo sapiens",
    areas="ventral and dorsal area 6v, area 4, area 55b, 64 electrodes in each",
    task="attempted speech of sentences",
    license="CC0-1.0",
    citation=(
        "Card, Wairagkar, Iacobacci et al. (2024). An accurate and rapidly calibrating speech neuroprosthesis. "
        "New England Journal of Medicine 391, 609-618. doi:10.1056/NEJMoa2314132"
    ),
    subjects=1,
    sessions=45,
    tokens=2_484_658_688,
    holds=("region", "observed", "intervals/trials", "signals/rates", "signals/spike_band_power"),
    whole=True,
    upstream=Upstream(reader=by_layout.Features(), session=r"(?P<session>t15\.\d{4}\.\d\d\.\d\d/[^/]+)\.hdf5$"),
    differs=(
        "The release is standardised over the 20 trials before each, so that counts are gone; upstream guesses a step anew for each trial and channel, "
        "takes the lowest value for no spike and clips at 20. Here the values stay what they are, `rates` in standard deviations, and no pile takes them.",
        "Upstream glues trials together; here each is apart, with its block, its number and its sentence, and what is past n_time_steps is left out.",
        "Upstream makes a session of each file; here a day is one session, its training, validation and test trials in the order they were recorded.",
        "Upstream drops spike-band power; here it is a second signal.",
    ),
    tested_on="a generated file; layout from published readers of the deposit",
)
