"""The mapping itself: its keys, how it is written, and what can be wrong with it before any file is opened."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from neuropile.errors import NeuropileError
from neuropile.types import EVENT_QUANTITIES

#: The keys of a mapping, and what each names.
KEYS = {
    "times": "PATH of spike times: flat, or cells, a struct field or a group with one array a unit",
    "counts": "PATH of how many of the flat `times` belong to each unit, in order",
    "units": "PATH of the unit of each time",
    "trials": "PATH of the trial of each time; times are then within the trial",
    "trial_start": "NUMBER or PATH, in the times' unit: where each trial starts (0 where not given)",
    "trial_stop": "NUMBER or PATH, in the times' unit: where each trial ends",
    "matrix": "PATH of whole counts, or 0 and 1, by unit and bin; cells or a struct array of them are trials",
    "bin": "SECONDS of a bin of `matrix`, such as 0.02 or 1/60",
    "axes": "the axes of `matrix`: of unit, time, trial, in their order (unit,time or trial,unit,time)",
    "unit": "of the times: s, ms, us or samples (s where not given)",
    "sample_rate": "samples a second of times in samples",
    "ids": "PATH of the units' names",
    "region": "PATH of one area a unit",
    "depth": "PATH of one depth a unit, um",
    "x": "PATH of one place a unit, um",
    "y": "PATH of one place a unit, um",
    "z": "PATH of one place a unit, um",
    "quality": "PATH of one word a unit: good, mua or noise",
    "quantity": f"what the events are: {', '.join(EVENT_QUANTITIES)}",
    "events.NAME": "PATH of moments, or of pairs of start and stop, in the times' unit: kept as the intervals NAME",
    "subject": "TEXT, the animal, or the PATH of one text",
    "species": "TEXT, its species, or the PATH of one text",
}
#: The keys of tables of events.
EVENTS = re.compile(r"events\.(\w+)")
UNITS_OF_TIME = {"s": 1, "ms": 1000, "us": 1_000_000, "samples": 0}
AXES = ("trial", "unit", "time")
_EXAMPLE = "times=spikes counts=sCount"
_ONLY_WITH = {
    "counts": "times",
    "units": "times",
    "trials": "times",
    "trial_start": "trials",
    "trial_stop": "trials",
    "unit": "times",
    "bin": "matrix",
    "axes": "matrix",
}


def parse(pairs: Iterable[str]) -> dict[str, str]:
    """A mapping from texts such as "times=spikes[:,1]".

    >>> parse(["times=spikes[:,1]", "units=spikes[:,0]"])
    {'times': 'spikes[:,1]', 'units': 'spikes[:,0]'}
    """
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = (p.strip() for p in pair.partition("="))
        if not equals or not value or not _is_key(key):
            raise NeuropileError(f"{pair!r} is no key=value of a mapping; keys: {', '.join(KEYS)}; for example {_EXAMPLE}")
        if found.setdefault(key, value) != value:
            raise NeuropileError(f"{key}= is given twice, as {found[key]!r} and {value!r}")
    return found


def _is_key(key: str) -> bool:
    return (key in KEYS and key != "events.NAME") or EVENTS.fullmatch(key) is not None


def checked(mapping: Mapping[str, str], sample_rate: Any) -> tuple[dict[str, str], Fraction | None]:
    """A mapping that makes sense, and the sample rate given in it or beside it."""
    given = {k: str(v).strip() for k, v in mapping.items()}
    for key, value in given.items():
        if not _is_key(key):
            raise NeuropileError(f"no key {key!r} in a mapping: there are {', '.join(KEYS)}; for example {_EXAMPLE}")
        if not value:
            raise NeuropileError(f"{key}= is empty; it takes {KEYS.get(key, KEYS['events.NAME'])}")
    if ("times" in given) == ("matrix" in given):
        raise NeuropileError(f"a mapping names either times=PATH or matrix=PATH; for example {_EXAMPLE}, or matrix=raster bin=0.001")
    for key, other in _ONLY_WITH.items():
        if key in given and other not in given:
            raise NeuropileError(f"{key}= goes with {other}=, which is not given")
    if {"counts", "units"} <= set(given):
        raise NeuropileError("counts= and units= both say whose the times are; give one of them")
    if "trials" in given and "trial_stop" not in given:
        raise NeuropileError("times within trials need to be told how long a trial is: trial_stop=NUMBER or PATH (and trial_start=, where it is not 0)")
    if "trials" in given and any(map(EVENTS.fullmatch, given)):
        raise NeuropileError("events.NAME= are on the clock of the session; with trials= each trial has its own")
    _check_words(given)
    rate = _rate(given.pop("sample_rate", None) or sample_rate)
    if given.get("unit") == "samples" and rate is None:
        raise NeuropileError("unit=samples needs sample_rate=, the samples a second")
    if rate is not None and "matrix" in given:
        raise NeuropileError("sample_rate= is for times in samples, and matrix= has its bin=: leave it out")
    if rate is not None and given.get("unit") != "samples":
        raise NeuropileError("sample_rate= is for times in samples: add unit=samples, or leave it out")
    return given, rate


def _check_words(given: Mapping[str, str]) -> None:
    words: dict[str, Iterable[str]] = {"unit": UNITS_OF_TIME, "quantity": EVENT_QUANTITIES}
    for key, known in words.items():
        if key in given and given[key] not in known:
            raise NeuropileError(f"{key}={given[key]} is not one of {', '.join(known)}")
    if "matrix" in given:
        if "bin" not in given:
            raise NeuropileError("matrix= needs bin=SECONDS, the width of a bin, such as bin=0.001 or bin=1/60")
        bin_width(given["bin"])
        axes_of(given.get("axes", "unit,time"))


def bin_width(text: str) -> Fraction:
    """The seconds of a bin, exactly."""
    try:
        width = Fraction(text)
    except (ValueError, ZeroDivisionError):
        width = Fraction(0)
    if not 0 < width <= 10 or width.denominator > 1_000_000:
        raise NeuropileError(f"bin={text} is no width of a bin in seconds (above 0, at most 10, a whole number of microseconds or one in a whole rate)")
    return width


def axes_of(text: str) -> tuple[str, ...]:
    """The names of a matrix's axes."""
    axes = tuple(a.strip() for a in text.split(","))
    if len(set(axes)) < len(axes) or "time" not in axes or not set(axes) <= set(AXES):
        raise NeuropileError(f"axes={text} must name each axis once: time, and where they are there unit and trial; for example axes=time,unit")
    return axes


def _rate(given: Any) -> Fraction | None:
    if given is None:
        return None
    try:
        rate = Fraction(str(given))
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 10**9:
        raise NeuropileError(f"sample_rate={given} is not a number of samples a second, such as 30000")
    return rate
