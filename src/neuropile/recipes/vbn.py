"""Spikes from visual cortex, thalamus, hippocampus and midbrain of mice that lick when an image changes."""

from neuropile.archives import s3
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream, _allen

recipe = Recipe(
    key="vbn",
    title="Visual Behavior - Neuropixels",
    archive=s3.bucket(
        "visual-behavior-neuropixels-data",
        prefix="visual-behavior-neuropixels/behavior_ecephys_sessions/",
        region="us-west-2",
        manifest="visual-behavior-neuropixels/manifests/visual-behavior-neuropixels_project_manifest_v0.5.0.json",
    ),
    reader=nwb.units(),
    species="Mus musculus",
    areas="VISp, VISl, VISal, VISrl, VISam, VISpm (up to 6 probes), LGd, LP, hippocampus, midbrain",
    task="visual change detection",
    terms_url="https://alleninstitute.org/terms-of-use/",
    citation=(
        "Allen Institute for Brain Science (2022). Visual Behavior Neuropixels technical whitepaper. "
        "https://portal.brain-map.org/circuits-behavior/visual-behavior-neuropixels"
    ),
    subjects=81,
    sessions=153,
    tokens=153_877_057_200,
    select=("*ecephys_session_[0-9]*.nwb",),
    session=r"(?P<session>ecephys_session_(?P<id>\d+))\.nwb$",
    recording=_allen.RECORDING,
    holds=(*_allen.HOLDS, "intervals/trials", "signals/speed"),
    upstream=Upstream(reader=upstream.counts(nwb.units(), subject="data")),
    differs=(
        (
            'Upstream calls every subject "data", after its folder; here each mouse keeps its own '
            "name, and sessions of one mouse can be kept on one side of a split."
        ),
        "Upstream goes on when a download fails, so that a missing session goes unnoticed; here every session is built or named as failed.",
        "Counts of up to 166 in 20 ms pass unmarked there; here they are counted as they are, and a count that does not fit is an error.",
        "49 sessions with abnormal histology and 12 with abnormal activity, by the owner's own table, are in, as they are upstream.",
        _allen.INVALID,
        _allen.ALL_UNITS,
    ),
    tested_on="generated files; layout from the owner's own writer and reader of such files",
)
