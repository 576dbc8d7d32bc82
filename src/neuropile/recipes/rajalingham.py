"""Dorsomedial frontal cortex of monkeys that follow a ball they cannot see."""

from neuropile.archives import zenodo
from neuropile.readers.layouts import condition_averages
from neuropile.readers.upstream import by_layout
from neuropile.recipes import Recipe, Upstream

_FILE = r"_hand_dmfc_dataset_50ms\.mat$"

recipe = Recipe(
    key="rajalingham",
    title="Dynamic tracking of objects in the macaque dorsomedial frontal cortex (mental Pong)",
    archive=zenodo.record("13952210"),
    reader=condition_averages.rates(),
    quantity="rates",
    select=("*.zip",),
    members=("*mahler_hand_dmfc_dataset_50ms.mat", "*perle_hand_dmfc_dataset_50ms.mat"),
    session=r"(?:^|/)(?P<session>mahler|perle)" + _FILE,
    species="Macaca mulatta",
    areas="dorsomedial frontal cortex",
    task="interception of a ball that is occluded on its way, 79 conditions",
    license="CC-BY-NC-ND-4.0",
    terms_url="https://zenodo.org/records/13952210",
    citation=(
        "Rajalingham, Sohn and Jazayeri (2025). Dynamic tracking of objects in the macaque dorsomedial frontal cortex. "
        "Nature Communications 16, 346. doi:10.1038/s41467-024-54688-y"
    ),
    subjects=2,
    sessions=2,
    tokens=14_923_100,
    holds=("observed", "intervals/trials", "signals/rates"),
    whole=True,
    upstream=Upstream(reader=by_layout.Averages(), names=(("mahler", "M_0"), ("perle", "P_0"))),
    differs=(
        "The release has averages over trials in 50 ms, of units of different days; upstream multiplies them by 50, rounds, and calls them 20 ms counts. "
        "Here they are rates on 50 ms, and no pile takes them.",
        "Upstream takes missing values and what lies past a condition's end for silence; here a condition ends with its last value, and NaN stays NaN.",
        "Upstream takes the struct's first field; here the occluded conditions are taken by their name.",
        "Sessions and subjects are mahler and perle; upstream calls them M_0 and P_0.",
    ),
    tested_on="a generated file; layout from published readers of the record, the names inside its zip file inferred",
)
