"""Premotor and motor cortex of two monkeys, held still and moving freely."""

from neuropile.archives import osf
from neuropile.readers.layouts import lanzarini
from neuropile.readers.upstream import channels
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="lanzarini",
    title="Neuroethology of natural actions in freely moving monkeys",
    archive=osf.node("82jfr"),
    reader=lanzarini.channels(),
    species="Macaca",
    areas="premotor and motor cortex, 128 channels",
    task="natural actions, head-restrained and freely moving",
    terms_url="https://osf.io/82jfr/",
    citation="Lanzarini, Maranesi, Rondoni et al. (2025). Neuroethology of natural actions in freely moving monkeys. Science. doi:10.1126/science.adq6510",
    subjects=2,
    sessions=10,
    tokens=259_179_392,
    select=("*.mat",),
    session=r"(?:^|(?P<subject>[^/]+)/)(?P<session>[^/]+)\.mat$",
    whole=True,
    holds=("src_channel", "src_letter"),
    upstream=Upstream(reader=channels.by_division(lanzarini.channels(letter="a", channels=128))),
    differs=(
        "Upstream reads one unit a channel, letter a; here every letter is a unit of its own, called by channel and letter.",
        "Upstream makes rows for channels 000 to 127, silent where the file has none (000, if channels are numbered from 1); here no channel is invented.",
        "Upstream writes the stretches in which the whole array lost its signal as silence; here silences of a second or more on all channels, "
        "too long for chance, are invalid time.",
        "Upstream drops a spike that lies exactly on the last edge; here no spike is dropped.",
        "The project's licence is not known: look at its page before you share anything made of it.",
    ),
    tested_on="a generated file; names of variables as the published scripts read them, folders inferred",
)
