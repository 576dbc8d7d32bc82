"""The brain-wide map: spikes from hundreds of areas while mice turn a wheel to a grating."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.readers.told import preferred
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="ibl",
    title="IBL - Brain Wide Map",
    archive=dandi.dandiset("000409", "draft"),
    reader=preferred.first(nwb.units(), "*_desc-processed_*", "*-processed-only_*"),
    species="Mus musculus",
    areas="brain-wide",
    task="head-fixed visual decision with sensory, motor and cognitive parts",
    license="CC-BY-4.0",
    citation="International Brain Laboratory et al. (2023). A brain-wide map of neural activity during complex behaviour. doi:10.1101/2023.07.04.547681",
    subjects=115,
    sessions=347,
    tokens=69_147_814_139,
    select=("*_desc-processed_behavior+ecephys.nwb", "*-processed-only_behavior.nwb"),
    session=r"(?P<session>sub-[^/]*?_ses-(?P<eid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))[^/]*\.nwb$",
    recording="ibl/{eid}",
    holds=("region", "intervals/trials"),
    upstream=Upstream(
        reader=upstream.counts(nwb.units()),
        select=("*-processed-only_behavior.nwb",),
        session=r"(?P<session>[^/]+)\.nwb$",
    ),
    differs=(
        (
            "Upstream takes files named processed-only, which the owners are replacing; here a session is "
            "read from its new form where there is one, else from the old, never twice."
        ),
        (
            "Upstream stores failed and multi-unit clusters unmarked; here `quality` is good where "
            "ibl_quality_score is 1 (all three tests passed), where the file has it."
        ),
        "The map has 459 sessions; those that are in the archive only beside their raw voltage are not taken, here as upstream.",
        "`recording_id` is the owners' session number (eid), so that the same session from IBL's own server counts as the same recording.",
    ),
    tested_on="generated files; the new layout from the converter's code, the old inferred from it",
)
