"""Eight Neuropixels probes at once in mice that do as they like."""

from neuropile.archives import figshare
from neuropile.readers.layouts import eight_probes
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="steinmetz-2",
    title="Eight-probe Neuropixels recordings during spontaneous behaviors",
    archive=figshare.article("7739750"),
    reader=eight_probes.spikes(),
    species="Mus musculus",
    areas="FrCtx, FrMoCtx, SomMoCtx, SSCtx, V1, V2, RSP, CP, LS, LH, HPF, TH, SC, MB",
    task="none: spontaneous behaviour",
    terms_url="https://figshare.com/articles/dataset/Eight-probe_Neuropixels_recordings_during_spontaneous_behaviors/7739750",
    citation=(
        "Stringer, Pachitariu, Steinmetz, Reddy, Carandini and Harris (2019). Spontaneous behaviors drive "
        "multidimensional, brainwide activity. Science 364(6437), eaav7893. doi:10.1126/science.aav7893"
    ),
    subjects=3,
    sessions=3,
    tokens=684_731_334,
    select=("*spks*_Feb18.mat",),
    shared=("*probeLocations.mat",),
    session=r"(?P<session>spks(?P<subject>[A-Za-z]+)_Feb18)\.mat$",
    whole=True,
    holds=("probe", "depth_um", "region", "intervals/epochs"),
    upstream=Upstream(reader=eight_probes.rows()),
    differs=(
        "Upstream adds a row of zeros for every cluster number that does not occur; here only clusters with spikes are units.",
        (
            "Upstream moves time to the earliest spike and does not say by how much; here the file's clock is kept, on "
            "which behaviour and the start of the spontaneous period (an interval of the session) lie."
        ),
        "Upstream loses probe, height and area; here each unit has them (areas from probeLocations.mat).",
        "The probes start at different times; here each is observed from its first spike to its last, where upstream has zeros.",
        "The published scripts' two token numbers differ (1 830 825 994 and 684 731 334); the second fits their total.",
        "The published scripts record no licence: see the article's own page.",
    ),
    tested_on="generated files; layout from the authors' loading script",
)
