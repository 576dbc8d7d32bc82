"""V1, V4 and IT of two monkeys that are shown 22 000 images of things."""

from neuropile.archives import gin
from neuropile.readers.layouts import trial_envelopes
from neuropile.readers.layouts.trial_envelopes import Areas
from neuropile.readers.upstream import by_layout
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="papale",
    title="THINGS Ventral stream Spiking Dataset (TVSD)",
    archive=gin.repository("paolo_papale/TVSD"),
    reader=trial_envelopes.envelopes(
        Areas("monkeyF", ((1, "V1"), (513, "IT"), (833, "V4"))),
        Areas("monkeyN", ((1, "V1"), (513, "V4"), (769, "IT"))),
    ),
    quantity="envelope",
    select=("monkey[FN]/THINGS_MUA_trials.mat", "monkey[FN]/*1024chns_mapping*.mat"),
    session=r"(?P<session>(?P<subject>monkey[FN]))/",
    species="Macaca mulatta",
    areas="V1, V4 and IT, 1024 electrodes of Utah arrays",
    task="passive viewing of 22 248 images once and of 100 images thirty times",
    license="CC-BY-4.0",
    terms_url="https://gin.g-node.org/paolo_papale/TVSD",
    citation=(
        "Papale, Wang, Self and Roelfsema (2025). An extensive dataset of spiking activity to reveal the syntax of the ventral stream. "
        "Neuron. https://www.cell.com/neuron/abstract/S0896-6273(24)00881-X"
    ),
    subjects=2,
    sessions=2,
    tokens=775_618_560,
    holds=("region", "observed", "intervals/trials", "signals/envelope"),
    upstream=Upstream(
        reader=by_layout.Peaks(),
        select=("monkey[FN]/THINGS_MUA_trials.mat",),
        session=r"(?P<session>monkey[FN])/",
        names=(("monkeyF", "F_0"), ("monkeyN", "N_0")),
    ),
    differs=(
        "There are no spikes: upstream makes events of an envelope where it falls below mean + 3.5 deviations of its own trial. Here it stays an envelope "
        "at 1 ms, read a few trials at a time, and no pile takes it.",
        "Upstream's rows hold the same 20 ms of one trial after another, so that neighbouring bins are no neighbours in time; here trials are apart, in order.",
        "Upstream leaves channels as they were recorded; here they stand in the order of the arrays, each with its area.",
        "Upstream keeps neither images nor days; here each trial has them.",
    ),
    tested_on="a generated file; layout from the archive's own description and published readers of it",
)
