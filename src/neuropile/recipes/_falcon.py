"""What the recipes of the FALCON benchmark share: how its files are named, and what is told of their splits."""

#: The archive has the split where the subject belongs; the subject stands before it.
SESSION = r"(?:^|/)(?P<session>(?:sub-)?(?P<subject>[^/]+?)[-_]held[-_](?:in|out)[-_][a-z]+_ses-(?P<run>[^/_.]+)[^/]*)\.nwb$"
SET_ASIDE = (("*minival*", "FALCON minival: a small part of the held-in calibration data, published again to check formats"),)
MULTI_UNIT = "FALCON: a row an electrode, multi-unit"

MINIVAL = "Upstream counts the minival files, which repeat held-in data; here they are stored but set aside, and share the recording_id of their session."
