"""MATLAB 7.3 files (HDF5) with spike times in a cell array, one cell a unit, and the columns that go with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuropile.types import Recording

#: Where each canonical unit column may lie, best first. Places are stored in millimetres there.
REGION_VARIABLES = ("cell_area", "region", "brain_area", "area")
DEPTH_VARIABLES = ("dist_from_tip_um", "depth_um")
MM_VARIABLES = {"x_um": "anatom_loc_mm/AP", "y_um": "anatom_loc_mm/DV", "z_um": "anatom_loc_mm/ML"}
SINGLE_UNIT_VARIABLES = ("is_single",)
SUBJECT_VARIABLES = ("rat", "mouse", "animal", "subject", "monkey")
SAMPLE_RATE_VARIABLES = ("meta/ap_meta/imSampRate",)
PROBE_VARIABLES = ("meta/ap_meta/imDatPrb_sn", "meta/ap_meta/imProbeSN")
WAVEFORM_VARIABLES = ("waveform/mean_uV",)
SPECIES_OF_SUBJECT = {"rat": "Rattus norvegicus", "mouse": "Mus musculus"}


@dataclass(frozen=True)
class MatCells:
    """The reader of spike cells in MATLAB 7.3 files.

    spikes : name of the cell array of spike times in seconds; None takes the only one whose name speaks of spikes
    """

    spikes: str | None = None

    def __call__(self, path: Path) -> Recording:
        """Open a file and return its recording, spike trains still unread.

        Raises
        ------
        NoEvents : no cell array of spike times is found
        UnreadableFile : the file is damaged, or is no MATLAB 7.3 file
        """
        from neuropile.readers import mat_file

        return mat_file.read(Path(path), self)


def cells(*, spikes: str | None = None) -> MatCells:
    """The reader of spike cells; see MatCells."""
    return MatCells(spikes)
