"""Motor and somatosensory cortex of two monkeys that reach to targets on a grid at their own pace."""

from neuropile.archives import zenodo
from neuropile.readers.layouts import makin
from neuropile.readers.upstream import channels
from neuropile.recipes import Recipe, Upstream

recipe = Recipe(
    key="makin",
    title="Nonhuman Primate Reaching with Multichannel Sensorimotor Cortex Electrophysiology",
    archive=zenodo.record("3854034"),
    reader=makin.sorts(),
    species="Macaca mulatta",
    areas="primary motor cortex (96 channels), in some sessions primary somatosensory cortex too (192)",
    task="self-paced reaches to targets on a grid, without delays or trials",
    license="CC-BY-4.0",
    citation="Makin, O'Doherty, Cardoso and Sabes (2018). Superior arm-movement decoding from cortex with a new, unsupervised-learning algorithm. "
    "J. Neural Eng. 15, 026010. doi:10.1088/1741-2552/aa9e95; data: O'Doherty, Cardoso, Makin and Sabes (2020), doi:10.5281/zenodo.3854034",
    subjects=2,
    sessions=47,
    tokens=375_447_744,
    select=("*indy_*.mat", "*loco_*.mat"),
    session=r"(?:^|/)(?P<session>(?P<subject>indy|loco)_[^/]*)\.mat$",
    holds=("region", "quality", "src_sort", "observed", "signals/cursor_pos", "signals/finger_pos", "signals/target_pos"),
    upstream=Upstream(reader=channels.from_first(makin.sorts(pooled=True), subject="makin"), select=("*.mat",), session=r"(?:^|/)(?P<session>[^/]+)\.mat$"),
    differs=(
        "Upstream pools the sorted units and the unsorted hash of a channel into one train; here each is a unit of its own: `quality` is good for sorted ones "
        "and mua for the hash, `src_sort` is the file's row. A cell that is empty is no unit, so channels without spikes have no row.",
        "Upstream does not tell M1 from S1; here `region` is the area in the channel's name.",
        "Upstream counts from the session's first spike and does not say where that was; here the file's clock is kept, so that cursor, finger and target "
        "(250 Hz, kept as signals) stay aligned, and the time of the behaviour's samples is what was observed.",
        "Upstream calls every subject by the folder all files were put in (makin, in what --compat upstream gives); "
        "here it is Indy or Loco, from the file's name.",
    ),
    tested_on="a generated file; layout from the record's description and the code of other readers of it",
)
