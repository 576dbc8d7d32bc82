"""The names NWB writers give things, and the few words of ours they stand for."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

#: Unit columns that may hold an area, best first; used before the area of the unit's electrode.
REGION_COLUMNS = ("region", "brain_region", "brain_area", "area", "location", "structure", "structure_acronym", "anatomy", "allen_location")
#: Unit columns that may hold a sorter's or curator's verdict, best first.
QUALITY_COLUMNS = ("quality", "unit_quality", "kilosort2_label", "KSLabel", "ks_label", "group_label", "phy_annotations")
QUALITY_WORDS = {"good": "good", "sua": "good", "single": "good", "mua": "mua", "multi": "mua", "multi-unit": "mua", "noise": "noise"}
#: What numbers stand for in columns of this name, whoever wrote them; 3 is unsorted.
QUALITY_NUMBERS: dict[str, dict[float, str]] = {"phy_annotations": {0: "noise", 1: "mua", 2: "good"}}
#: The share of IBL's three tests a unit passed; good are those that passed all.
IBL_SCORE, IBL_PASSED_ALL = "ibl_quality_score", 1 - 1e-6
#: Columns that point to a unit's electrode, the most telling first.
ELECTRODE_COLUMNS = ("max_electrode", "peak_electrode", "electrodes", "electrode")
#: Positions along the probe in um above its tip, under the names NWB writers give them.
DEPTH_COLUMNS = ("distance_from_probe_tip_um", "probe_vertical_position", "mean_relative_depth_um", "mean_relative_depth", "rel_y")
PROBE_COLUMNS = ("probe", "probe_name", "electrode_group", "group_name")
#: Trial columns whose name says exactly one of our canonical columns; the source's own stays beside it.
TRIAL_COLUMNS = {
    "stim_on_s": ("gabor_stimulus_onset_time", "stimulus_onset_time", "stim_on_time", "visual_stimulus_time"),
    "stim_off_s": ("gabor_stimulus_offset_time", "stimulus_offset_time", "stim_off_time"),
    "go_cue_s": ("auditory_cue_time", "go_cue_time", "go_cue_start_time"),
    "first_move_s": ("wheel_movement_onset_time",),
    "response_s": ("choice_registration_time",),
    "feedback_s": ("feedback_time",),
    "contrast_left": ("visual_stimulus_left_contrast",),
    "contrast_right": ("visual_stimulus_right_contrast",),
    "p_left": ("probability_left",),
    "correct": ("is_mouse_rewarded",),
    "reward_ul": ("reward_volume_uL",),
}
#: Tags of invalid times that speak of something other than the spikes.
NOT_NEURAL = ("stimulus", "presentation", "eye", "pupil", "running", "behavior", "video", "optotagging")
NO_REGION = frozenset({"", "unknown", "none", "nan", "n/a", "na", "null", "unspecified", "undefined", "not available", "?"})
_KEYED_REGION = re.compile(r"""['"]?\b(?:brain_region|brain_area|region|area|structure)['"]?\s*[:=]\s*['"]?([^;,'"}]*)""")


def region_of(label: Any) -> str | None:
    """The area in a location text: as it is, or the value under a key such as `brain_region:`; None if it names none.

    >>> region_of("brain_region: Thalamus; hemisphere: left"), region_of("VISp5"), region_of("unknown")
    ('Thalamus', 'VISp5', None)
    """
    if label is None:
        return None
    keyed = _KEYED_REGION.search(str(label))
    name = (keyed.group(1) if keyed else str(label)).strip()
    return None if name.lower() in NO_REGION else name


def region_of_many(labels: list[Any]) -> str | None:
    """The area most of a unit's electrodes lie in, the first of them on a tie."""
    counted = Counter(r for r in map(region_of, labels) if r is not None)
    return counted.most_common(1)[0][0] if counted else None


def quality_of(word: Any, column: str = "") -> str | None:
    """The canonical quality a source's word, or a number in one of a few columns, stands for, or None.

    >>> quality_of("MUA"), quality_of(b"good"), quality_of("unsorted"), quality_of(1.0, "phy_annotations")
    ('mua', 'good', None, 'mua')
    """
    if column in QUALITY_NUMBERS and isinstance(word, int | float):
        return QUALITY_NUMBERS[column].get(word)
    text = word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)
    return QUALITY_WORDS.get(text.strip().lower())
