"""What a session's and a pile's marker must hold, checked once when one is opened: types, and bounds that nothing real exceeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from neuropile.types import SIGNAL_QUANTITIES

_Tick = Annotated[int, Field(ge=-(2**62), le=2**62)]
_Bytes = Annotated[int, Field(ge=0, lt=2**50)]
_Seconds = Annotated[float, Field(ge=0, le=1e19, allow_inf_nan=False)]  # no tick that fits is later


class _Marker(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class _File(_Marker):
    bytes: _Bytes
    footer_bytes: _Bytes | None = None
    sha256: str | None = None


class _Source(_Marker):
    path: str
    bytes: _Bytes | None
    sha256: str | None
    url: str | None = None
    version: str | None = None
    digest: str | None = None


class _Linked(_Marker):
    path: str
    kind: Literal["video", "voltage", "lfp"]
    clock: str | None
    url: str | None
    note: str


class SessionMarker(_Marker):
    """What readers of a session rely on in its `session.json`."""

    dataset: str
    session_id: str
    recording_id: str
    subject_id: str | None
    species: str | None
    quantity: str
    clock: str
    ticks_per_s: Annotated[int, Field(ge=1, le=10**9)]
    n_units: Annotated[int, Field(ge=1, le=10**7)]
    n_spikes: Annotated[int, Field(ge=0, lt=2**50)]
    first_tick: _Tick
    last_tick: _Tick
    duration_s: _Seconds
    observed_s: _Seconds
    span_source: str
    regions: list[str]
    license: str | None
    citation: str | None
    recipe_hash: str | None
    set_aside: str | None = None
    linked: dict[str, _Linked] = {}
    absent: dict[str, str] = {}
    filled: dict[Literal["units", "channels"], list[Literal["allen_id", "allen", "beryl", "cosmos", "swanson"]]] = {}
    sources: list[_Source]
    block_edges: list[_Tick]
    signals: list[str]
    notes: list[str]
    content_digest: str
    files: dict[str, _File]

    @model_validator(mode="after")
    def _holds_its_quantity(self) -> SessionMarker:
        """Events, or the signal that the quantity names and no event."""
        is_signal = self.quantity in SIGNAL_QUANTITIES
        if is_signal == (self.n_spikes > 0):
            raise ValueError(f"n_spikes is {self.n_spikes} in a session of {self.quantity}")
        if is_signal and self.quantity not in self.signals:
            raise ValueError(f"no signal {self.quantity!r} in a session of {self.quantity}")
        return self


class PileMeta(_Marker):
    """How a pile was made, in its file and in the marker of a published folder."""

    bin_width: str
    max_tokens: Annotated[int, Field(ge=1, lt=2**62)]
    split_by: Literal["recording", "subject", "dataset", "segment"]
    seed: int
    quality: str
    where: str | None
    left_out: dict[str, Any]
    warnings: list[str]


def problem(kind: type[_Marker], marker: Mapping[str, Any]) -> str | None:
    """What is wrong with a marker, in a few words, or None."""
    try:
        kind.model_validate(dict(marker))
    except ValidationError as e:
        first = e.errors(include_url=False, include_input=False)[0]
        return ": ".join(p for p in (".".join(map(str, first["loc"])), first["msg"]) if p)
    return None
