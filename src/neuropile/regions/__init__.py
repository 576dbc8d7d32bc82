"""The brain regions of the mouse: the Allen tree of structures, its coarser levels, and what lies in a region."""

from neuropile.regions.asking import in_region, spelt_out
from neuropile.regions.atlas import LEVELS
from neuropile.regions.filling import COLUMNS, fill, fill_sessions, is_mouse
from neuropile.regions.naming import acronyms, ancestors, colours, descendants, ids, names, structures, to

__all__ = [
    "COLUMNS",
    "LEVELS",
    "acronyms",
    "ancestors",
    "colours",
    "descendants",
    "fill",
    "fill_sessions",
    "ids",
    "in_region",
    "is_mouse",
    "names",
    "spelt_out",
    "structures",
    "to",
]
