"""Lateral prefrontal cortex of monkeys that learn a rule, exclusive-or, and then apply it to new stimuli."""

from neuropile.archives import dryad
from neuropile.readers.layouts import trial_rates
from neuropile.readers.upstream import by_layout
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="wojcik",
    title="Learning shapes neural geometry in the (primate) prefrontal cortex",
    archive=dryad.dataset("10.5061/dryad.c2fqz61kb"),
    reader=trial_rates.rates(),
    quantity="rates",
    select=("m[12]_ses*.zip",),
    members=("*.npy", "*.csv"),
    session=r"(?P<session>(?P<subject>m[12])_ses\d+)",
    species="Macaca mulatta",
    areas="lateral prefrontal cortex",
    task="learning of an exclusive-or rule and its generalisation",
    license="CC0-1.0",
    citation=(
        "Wojcik, Stroud, Wasmuht et al. (2026). Learning shapes neural geometry in the primate prefrontal cortex. "
        "Nature Neuroscience. doi:10.1038/s41593-026-02333-w"
    ),
    subjects=2,
    sessions=50,
    tokens=422_724_515,
    holds=("observed", "intervals/trials", "signals/rates"),
    whole=True,
    upstream=Upstream(reader=by_layout.Rates(), members=("*_preprocessed.npy",), session=r"(?P<session>[^/]+)\.npy$"),
    differs=(
        "The release has smoothed rates, no spikes; upstream rounds each 20 ms up, so that any rate above zero becomes a spike. "
        "Here they stay rates at 1 ms, and no pile takes them.",
        "Upstream glues trials together; here each is apart, with its metadata.",
        "Upstream would take the metadata for a session and stop; here it is read beside the rates, as are the neurons' recording sites.",
        "Sessions are called as the deposit calls them; its m1 is Womble and m2 Wilfred.",
    ),
    tested_on="a generated file; shapes and kinds of files from the deposit's description, their names inside the zip files inferred",
)
