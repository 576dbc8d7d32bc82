"""The rules by which the Brain Wide Map includes what it does, and their values in the paper."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from neuropile.errors import NeuropileError

#: The task's checks that must each have passed in nine of ten trials, by their names in IBL's extended quality control.
TASK_CHECKS = (
    *("stimOn_goCue_delays", "response_feedback_delays", "wheel_move_before_feedback", "wheel_freeze_during_quiescence"),
    *("error_trial_event_sequence", "correct_trial_event_sequence", "reward_volumes", "reward_volume_set"),
    *("stimulus_move_before_goCue", "audio_pre_trial"),
)


@dataclass(frozen=True)
class Rules:
    """The rules, in their order, with the values of the paper; None (or False, or nothing) leaves a rule out.

    project, mock, max_session_qc, behavior, max_insertion_qc, traced, resolved, min_task_checks : of sessions and insertions.
        `mock=False` leaves out mock sessions; qualities must be better than those named; a session that its experimenter
        marked PASS needs no task checks
    min_easy_correct, easy_contrast, min_trials : a session in which at most this share of the trials of at least this
        contrast was correct is cut from its end, until it is better with more than so many trials left, or is left out
    min_rt_s, max_rt_s : firstMovement_times - stimOn_times; both ends are let through
    not_missing : columns of a trial that must be there
    min_trial_s, max_trial_s : feedback_times - goCue_times
    leave_out_unbiased, leave_out_no_choice : trials of the 0.5 block; trials in which the mouse did not choose
    saturation : columns of the trials that are true where the voltage was saturated, and the trial is left out
    trial_flag : a column of the trials that says which are taken (`bwm_include`), instead of all rules on trials but saturation
    min_errors : so many trials that are taken must be errors
    min_label : share of the unit tests that were passed
    level : the level of the atlas whose regions are meant; units in none of them (void, root) are left out
    min_units, min_sessions : a region's session counts with so many units in it, a region with so many such sessions
    min_units_of_region : so many units a region in all
    """

    project: str | None = "ibl_neuropixel_brainwide_01"
    mock: bool = False
    max_session_qc: str | None = "CRITICAL"
    behavior: bool = True
    max_insertion_qc: str | None = "CRITICAL"
    traced: bool = True
    resolved: bool = True
    min_task_checks: float | None = 0.9
    min_easy_correct: float | None = 0.9
    easy_contrast: float = 0.5
    min_trials: int = 400
    min_rt_s: float | None = 0.08
    max_rt_s: float | None = 2.0
    not_missing: tuple[str, ...] = ("stimOn_times", "choice", "feedback_times", "probabilityLeft", "firstMovement_times", "feedbackType")
    min_trial_s: float | None = None
    max_trial_s: float | None = None
    leave_out_unbiased: bool = False
    leave_out_no_choice: bool = False
    saturation: tuple[str, ...] = ()
    trial_flag: str | None = None
    min_errors: int | None = 3
    min_label: float | None = 1.0
    level: str = "beryl"
    min_units: int | None = 5
    min_sessions: int | None = 2
    min_units_of_region: int | None = None

    @classmethod
    def named(cls, texts: dict[str, str]) -> Rules:
        """Rules from texts, by their names; `none` leaves one out, commas separate several values."""
        known = {f.name: f.default for f in fields(cls)}
        values: dict[str, Any] = {}
        for name, text in texts.items():
            if name not in known:
                raise NeuropileError(f"no rule {name!r}; there are {', '.join(known)}")
            values[name] = _value(name, text, known[name])
        return cls(**values)


def _value(name: str, text: str, default: Any) -> Any:
    if text.lower() == "none":
        return () if isinstance(default, tuple) else False if isinstance(default, bool) else None
    if isinstance(default, tuple):
        return tuple(t for t in text.split(",") if t)
    if isinstance(default, bool):
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
    elif isinstance(default, str) or name == "trial_flag":
        return text
    else:
        try:
            return int(text) if isinstance(default, int) or name == "min_units_of_region" else float(text)
        except ValueError:
            pass
    raise NeuropileError(f"{name}={text!r} does not serve; it is {default!r} by default, and none leaves it out")


PAPER = Rules()
