"""Auditory cortex of mice that hear pure tones, with the size of their pupils."""

from neuropile.archives import dandi
from neuropile.readers import nwb, upstream
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="jaramillo",
    title="Auditory cortex Neuropixels recordings and pupil diameter traces from mice during passive exposure to pure tones",
    archive=dandi.dandiset("000986", "draft"),
    reader=nwb.units(),
    species="Mus musculus",
    areas="auditory cortex",
    task="silence and passive pure tones, 2 to 32 kHz",
    license="CC-BY-4.0",
    citation=(
        "Papadopoulos, Jo, Zumwalt, Wehr, McCormick and Mazzucato (2024). Modulation of metastable ensemble dynamics "
        "explains optimal coding at moderate arousal in auditory cortex. doi:10.1101/2024.04.04.588209"
    ),
    subjects=5,
    sessions=14,
    tokens=581_535_289,
    holds=("intervals/trials", "intervals/spontaneous_blocks", "signals/pupil_diameter"),
    upstream=Upstream(reader=upstream.counts(nwb.units())),
    differs=("The published scripts say 15 sessions, the archive counts 14 files: every file is a session here.",),
    tested_on="a generated file; layout from the converter's code",
)
