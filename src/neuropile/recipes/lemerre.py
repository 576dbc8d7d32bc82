"""Prefrontal cortex, one area after the other, of mice that listen to tones."""

from neuropile.archives import dandi
from neuropile.readers import joined, nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="lemerre",
    title="A Prefrontal Cortex Map based on Single Neuron Activity",
    archive=dandi.dandiset("001260", "0.250911.0744"),
    reader=joined.probes(nwb.units()),
    species="Mus musculus",
    areas="half prefrontal (MOs, ACAd, ACAv, PL, ILA, ORBm, ORBvl, ORBl, AId, AIv, FRP), half other (3 cortical, 10 subcortical areas)",
    task="passive listening and auditory tasks",
    license="CC-BY-4.0",
    citation=(
        "Le Merre, Heining, Slashcheva et al. (2024). A Prefrontal Cortex Map based on Single Neuron "
        "Activity. doi:10.1101/2024.11.06.622308; data doi:10.48324/dandi.001260/0.250911.0744"
    ),
    subjects=41,
    tokens=3_903_005_243,
    session=r"(?P<session>sub-[^/_]+_ses-[^/_]*?)(?:[-_]probe\d+)?(?:_[^/]*)?\.nwb$",
    holds=("region", "probe"),
    upstream=Upstream(
        reader=upstream.counts(joined.probes(nwb.units(), skip=True)),
        session=r"(?P<subject>[^/]+)/(?P=subject)_(?P<session>[^/_]*?)(?:[-_]probe\d+)?(?:_[^/]*)?\.nwb$",
    ),
    differs=(
        "Upstream joins the files of a session's probes but forgets which row came from which; here the probe of each unit is kept.",
        "Upstream pads a probe that ends early with zeros (3 745 718 tokens of its total); here each probe is observed for as long as it was recorded.",
        "Upstream leaves out a probe whose file cannot be read and goes on; here that session fails, and says why.",
        "74 is the number of files, not of sessions, which upstream does not publish; the archive counts 43 subjects, upstream 41.",
    ),
    tested_on="generated files; layout from the authors' analysis code and the archive's list of variables",
)
