"""Three and a half years of one monkey's motor cortex while it moves two groups of fingers."""

from neuropile.archives import dandi
from neuropile.readers.nwb import counts
from neuropile.readers.upstream import series
from neuropile.recipes import Recipe, Upstream

#: Where the counts lie now, and where they lay in the dandiset's first files.
SERIES = ("analysis/ThresholdCrossings", "processing/ecephys/ThresholdCrossings")

recipe = Recipe(
    key="temmar",
    title="LINK: Long-Term Intracortical Neural Activity and Kinematics",
    archive=dandi.dandiset("001201", "draft"),
    reader=counts.series(*SERIES, quantity="threshold_crossings"),
    quantity="threshold_crossings",
    species="Macaca mulatta",
    areas="hand area of primary motor cortex, 96 channels",
    task="self-paced movements of two finger groups to targets, center-out or random",
    license="CC-BY-4.0",
    citation="Temmar, Gill, Wang et al. (2025). LINK: Long-term Intracortical Neural activity and Kinematics. https://dandiarchive.org/dandiset/001201; "
    "task: Nason et al. (2021), doi:10.1016/j.neuron.2021.08.009",
    subjects=1,
    sessions=311,
    tokens=27_388_320,
    tokens_expected=781_701_792,
    tokens_reason="the dandiset has grown from 12 files to 311 since; the second version of the published corpus counts this many",
    session=r"(?:^|/)(?P<session>[^/]*_ses-(?P<year>\d{4})-?(?P<month>\d{2})-?(?P<day>\d{2})[^/]*)\.nwb$",
    recording="monkey-n/{year}{month}{day}",
    holds=("observed", "intervals/trials"),
    upstream=Upstream(reader=series.samples(*SERIES)),
    differs=(
        "Upstream reads the counts where they lay in the first files and, in its second version, where they lie now; both places are known here.",
        "Upstream takes every sample for 20 ms; here the width of a bin is what the time stamps tell (some notes of the authors say 32 ms).",
        "Upstream glues what removed trials and joined runs leave apart; here the time stamps say what was observed, and trials and fingers stay aligned.",
        "The counts are stored as if they were voltage; here they are threshold crossings, a row an electrode with its place on the array.",
        "The monkey is probably that of `m2`; sessions of one day, here and there, share a recording_id, so that no split separates them.",
        "The dandiset is a draft whose layout has changed once; a lock file pins the files by id and digest.",
    ),
    tested_on="a generated file in both layouts; from public summaries of the dandiset's files and the code of other readers of it",
)
