"""Search: which rows of a table of sessions match what was asked, in ONE's keywords or in free text."""

from neuropile.searching.keywords import KEYWORDS, QC, matching
from neuropile.searching.stored import STORE_KEYWORDS, in_store

__all__ = ["KEYWORDS", "QC", "STORE_KEYWORDS", "in_store", "matching"]
