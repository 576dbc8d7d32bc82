"""Speech motor cortex of a person with ALS (T12) who attempts to speak."""

from neuropile.archives import dryad
from neuropile.readers.layouts import blocks
from neuropile.readers.upstream import by_layout
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="willett",
    title="A high-performance speech neuroprosthesis (T12)",
    archive=dryad.dataset("10.5061/dryad.x69p8czpq"),
    reader=blocks.counts(),
    quantity="threshold_crossings",
    select=("diagnosticBlocks.tar.gz", "sentences.tar.gz", "tuningTasks.tar.gz"),
    members=("*/t12.*.mat",),
    session=r"(?P<session>(?:diagnosticBlocks|sentences|tuningTasks)/(?P<day>t12\.\d{4}\.\d\d\.\d\d)[^/]*)\.mat$",
    recording="willett/{day}",
    subject="T12",
    species="Homo sapiens",
    areas="area 6v and area 44, two Utah arrays of 64 electrodes in each",
    task="attempted speech of sentences, words and phonemes, orofacial movements",
    license="CC0-1.0",
    citation="Willett, Kunz, Fan et al. (2023). A high-performance speech neuroprosthesis. Nature 620, 1031-1036. doi:10.1038/s41586-023-06377-x",
    subjects=1,
    sessions=44,
    tokens=1_796_119_552,
    holds=("region", "observed", "intervals/blocks", "intervals/trials"),
    whole=True,
    upstream=Upstream(reader=by_layout.Blocks(), session=r"(?P<session>t12\.[^/]*)\.mat$"),
    differs=(
        "Upstream glues blocks together, between which nothing was recorded; here each block is apart, with unobserved time between.",
        "Upstream calls the subject as the folder, and a session by its date, which occurs in two folders; here the subject is T12 and the folder in the name.",
        "Files of one day are one recording, so that splits by recording keep them together.",
        "Upstream drops areas, trials and what was to be said; here they are kept.",
        "The first two blocks of each day of sentences are only in the competition's files, which neither upstream nor this takes.",
    ),
    tested_on="a generated file; layout from the deposit's own description of its variables",
)
