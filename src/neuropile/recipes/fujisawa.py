"""Medial prefrontal cortex of rats that choose left or right from memory."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="fujisawa",
    title="Behavior-dependent short-term assembly dynamics in the medial prefrontal cortex",
    archive=dandi.dandiset("000067", "0.250624.0419"),
    reader=nwb.units(),
    species="Rattus norvegicus",
    areas="medial prefrontal cortex",
    task="working memory on a maze",
    license="CC-BY-4.0",
    citation=(
        "Fujisawa, Amarasingham, Harrison and Buzsaki (2008). Behavior-dependent short-term assembly dynamics in "
        "the medial prefrontal cortex. Nature Neuroscience 11(7), 823-833. doi:10.1038/nn.2134"
    ),
    subjects=3,
    tokens=132_563_010,
    select=("*behavior*.nwb",),
    session=r"(?P<session>(?P<stem>[^/_]+_ses-[^/_]+)[^/]*)\.nwb$",
    recording="fujisawa/{stem}",
    holds=("intervals/trials",),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=(
        "Upstream chose ten of 28 files by hand and does not say how; here every file with behaviour is taken, and those without spikes are named.",
        "One recording may lie in two files; both then share a `recording_id`, so that no split parts them.",
    ),
    tested_on="a generated file; layout from a listing of version 0.210812.1457 of the dandiset's files",
)
