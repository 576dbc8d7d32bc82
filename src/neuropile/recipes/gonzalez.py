"""Parahippocampal cortex of rats that remember where the reward was, as firing rates."""

from neuropile.archives import dandi
from neuropile.readers.layouts import rates
from neuropile.recipes import Recipe, Upstream

_RATES = rates.nwb_series("acquisition/firing_rates", units="acquisition/unit_table", unit_id="uuid", quality="unit_type")

recipe = Recipe(
    key="gonzalez",
    title="Gonzalez & Giocomo (2022) Parahippocampal neurons encode task-relevant information for goal-directed navigation",
    archive=dandi.dandiset("000405", "draft"),
    reader=_RATES,
    species="Rattus norvegicus",
    areas="parahippocampal cortex",
    task="memory-guided tree maze and open field",
    license="CC-BY-4.0",
    citation=(
        "Gonzalez and Giocomo (2024). Parahippocampal neurons encode task-relevant information for "
        "goal-directed navigation. eLife 12, RP85646. doi:10.7554/eLife.85646"
    ),
    subjects=5,
    sessions=276,
    tokens=366_962_209,
    quantity="rates",
    holds=("src_uuid", "signals/rates", "signals/track_data"),
    upstream=Upstream(reader=rates.rounded(_RATES)),
    differs=(
        (
            "The files hold smoothed firing rates, no spikes; upstream divides by 50, rounds and calls the result counts, which erases every "
            "lone spike and most of what units below 10 Hz do. Here rates stay rates, and piles of spikes do not take them."
        ),
        "The rates' unit is written as uv and the position's sampling rate as 0.02; here they are Hz and 50 a second.",
        "The tables of trials and events count in bins that the files do not explain, and are left out.",
    ),
    tested_on="a generated file; layout from a listing of the dandiset's files and the authors' code",
)
