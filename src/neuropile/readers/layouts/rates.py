"""Firing rates that an NWB file holds as a series, bins by units, with nothing to tell when each spike was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuropile.paths import safe_name
from neuropile.readers import nwb
from neuropile.types import Reader, Recording


@dataclass(frozen=True)
class NwbRates(Reader):
    """The reader of rates: quantity `rates`, on the series' own samples.

    series : path of the series inside the file, its data (bin, unit)
    units : path of the table with a row a unit; None where there is none
    unit_id : its column that names a unit
    quality : its column with the verdict on a unit
    """

    series: str
    units: str | None = None
    unit_id: str | None = None
    quality: str | None = None

    def session_name(self, path: Any) -> str:
        """As of any NWB file."""
        return nwb.session_name(path)

    def __call__(self, path: Any) -> Recording:
        """Open a file and return its rates, still unread.

        Raises
        ------
        NoEvents : the file has no such series
        UnreadableFile : the file is damaged, or the series and its table contradict each other
        """
        from neuropile.readers.layouts import rates_file

        asked = rates_file.Asked(self.series, self.units, self.unit_id, self.quality)
        return rates_file.read(Path(path) if isinstance(path, str) else path, safe_name(self.session_name(path)), asked)


@dataclass(frozen=True)
class UpstreamRates(Reader):
    """Rates made into counts as the published scripts do: each rate over 50, rounded (halves to even), cast to uint8."""

    reader: NwbRates

    def session_name(self, path: Any) -> str:
        """The file's name without its suffix."""
        return self.reader.session_name(path)

    def __call__(self, path: Any) -> Recording:
        """The counts of one file, a bin a sample of its rates.

        Raises
        ------
        NoEvents : no rate rounds to a count
        """
        from neuropile.readers.layouts import rates_file

        return rates_file.read_upstream(path, safe_name(self.session_name(path)), self.reader)


def nwb_series(series: str, *, units: str | None = None, unit_id: str | None = None, quality: str | None = None) -> NwbRates:
    """The reader of a series of rates; see NwbRates."""
    return NwbRates(series, units, unit_id, quality)


def rounded(reader: NwbRates) -> UpstreamRates:
    """The published scripts' way with rates; see UpstreamRates."""
    return UpstreamRates(reader)
