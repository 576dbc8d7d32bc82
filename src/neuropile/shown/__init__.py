"""What was shown in a session, and how its units answered: stimuli, conditions and epochs; counts, spikes and statistics by presentation."""

from neuropile.shown.responses import How, condition_statistics, presentation_counts, presentation_spikes
from neuropile.shown.stimuli import (
    PARAMETERS,
    condition_ids,
    conditions,
    epochs,
    parameter_values,
    pauses,
    presentations,
    stimulus_names,
    stimulus_table,
)

__all__ = [
    "PARAMETERS",
    "How",
    "condition_ids",
    "condition_statistics",
    "conditions",
    "epochs",
    "parameter_values",
    "pauses",
    "presentation_counts",
    "presentation_spikes",
    "presentations",
    "stimulus_names",
    "stimulus_table",
]
