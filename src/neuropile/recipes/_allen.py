"""What the recipes of the Allen Institute's recordings share: how its files are named, what is in them, what is told of them."""

#: The LFP of each probe is in a file of its own, without units.
LFP_FILES = ("*_probe-*_ecephys.nwb",)
SESSION = r"(?P<session>[^/]*_ses-(?P<id>[^_./]+)[^/]*)\.nwb$"
#: The same session may also come from the owner's bucket.
RECORDING = "allen/{id}"
HOLDS = ("region", "probe", "depth_um", "quality", "src_peak_channel_id", "src_presence_ratio", "intervals/presentations")

NO_LFP = (
    "Upstream had to remove the LFP file of each probe by hand; here only the session files are selected, "
    "and areas and depths come through each unit's peak channel. neuropile.allen.lfp_of opens such files beside a stored session."
)
INVALID = "Upstream stores invalid times as silence; here they are taken out of what was observed: of every unit, or of the probe that their tags name."
ALL_UNITS = (
    "All units are stored, as upstream does; `quality` is good where the owner's software would show a unit by default (presence ratio from 0.95, "
    "isi_violations to 0.5, amplitude_cutoff to 0.1, among others), noise where the file says so. The metrics are kept for other limits."
)
