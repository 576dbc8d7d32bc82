"""Structures, levels and regions: the atlas' facts against iblatlas, everything else against a plain walk up the tree."""

from importlib.resources import files

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropile import regions
from neuropile.errors import NotThere
from neuropile.regions import COLUMNS, LEVELS

STRUCTURES = regions.structures()
ACRONYMS = STRUCTURES["acronym"].tolist()
#: The levels of each structure by its id, as a plain dictionary.
TEXTS = {i: dict(zip(LEVELS, row, strict=True)) for i, row in zip(STRUCTURES.index, STRUCTURES[["acronym", *LEVELS[1:]]].to_numpy().tolist(), strict=True)}
ID_OF = dict(zip(ACRONYMS, STRUCTURES.index.tolist(), strict=True))
#: What a mouse's label may be, and which structure it then is.
MEANT = dict(zip(STRUCTURES["name"], STRUCTURES.index.tolist(), strict=True)) | ID_OF


@pytest.fixture(scope="module")
def atlas():
    """The same atlas, as iblatlas has it: 1328 structures, then those of the left hemisphere."""
    from iblatlas.regions import BrainRegions

    return BrainRegions()


def path(acronym: str, atlas) -> list[str]:
    """The acronyms from a structure to root, climbed one parent after another in iblatlas' table."""
    parent, acronym_of = dict(zip(atlas.id[1:1328], atlas.parent[1:1328], strict=True)), dict(zip(atlas.id, atlas.acronym, strict=True))
    i, way = ID_OF[acronym], []
    while i in parent:
        way.append(acronym_of[i])
        i = parent[i]
    return way or ["void"]


# The atlas


def test_the_structures_are_those_of_the_atlas(atlas):
    n = len(STRUCTURES)
    assert n == 1328
    assert STRUCTURES.index.tolist() == atlas.id[:n].tolist()
    assert atlas.acronym[:n].tolist() == ACRONYMS
    assert STRUCTURES["name"].tolist() == atlas.name[:n].tolist()
    assert STRUCTURES["colour"].tolist() == atlas.hexcolor[:n].tolist()
    known = STRUCTURES["parent"].notna()
    assert known.sum() == n - 2  # all but void and root
    assert [ID_OF[p] for p in STRUCTURES["parent"][known]] == atlas.parent[:n][known].astype(int).tolist()


@pytest.mark.parametrize(("level", "n_targets"), [("Allen", 1328), ("Beryl", 308), ("Cosmos", 12), ("Swanson", 323)])
def test_levels_are_those_of_iblatlas_on_both_sides(atlas, level, n_targets):
    right = atlas.id[:1328]
    assert len(np.unique(regions.to(level, right))) == n_targets
    for name in (level, f"{level}-lr"):
        np.testing.assert_array_equal(regions.to(name, atlas.id), atlas.id[atlas.mappings[name]])
    assert len(atlas.id) == 2655
    assert regions.to(level, ACRONYMS).tolist() == atlas.acronym2acronym(np.array(ACRONYMS, object), mapping=level).tolist()


def test_every_id_has_the_names_and_colours_of_iblatlas(atlas):
    assert regions.acronyms(atlas.id).tolist() == atlas.id2acronym(atlas.id).tolist()
    assert regions.ids(regions.acronyms(atlas.id)).tolist() == np.abs(atlas.id).tolist()
    assert (regions.names(778), regions.colours("VISp5"), regions.colours(-778)) == ("Primary visual area layer 5", "#08858c", "#08858c")
    assert regions.names(np.array([[0, 997], [382, -382]])).tolist() == [["void", "root"], ["Field CA1", "Field CA1"]]


@given(st.sampled_from(ACRONYMS), st.sampled_from(LEVELS))
def test_a_level_takes_the_nearest_of_its_structures_on_the_way_up(acronym, level):
    targets = set(regions.to(level, ACRONYMS))
    found = regions.to(level, acronym)
    way = regions.ancestors(acronym)
    assert found in way
    assert not set(way[: way.index(found)]) & targets
    assert regions.to(level, found) == found
    assert regions.to(level, ID_OF[acronym]) == ID_OF[found]


def test_ancestors_and_descendants_are_those_of_a_plain_climb(atlas):
    ways = {a: path(a, atlas) for a in ACRONYMS}
    assert {a: regions.ancestors(a) for a in ACRONYMS} == ways
    for above in ["root", "grey", "Isocortex", "VISp", "CA1", "fiber tracts", "VISp5", "void"]:
        assert regions.descendants(above) == [a for a in ACRONYMS if above in ways[a]]
    assert regions.descendants("VISl", 385) == [a for a in ACRONYMS if {"VISl", "VISp"} & set(ways[a])]
    assert regions.descendants() == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("visp", r"^no region 'visp' in the Allen tree; did you mean 'VISp'\?$"),
        ("IPf", r"did you mean 'ipf' or 'IPF'\?$"),
        ("Primary visual area", r"did you mean 'VISp'\?$"),
        ("hippocampal", r"did you mean '"),
        ("VISpp", "'VISp'"),
        (12345, r"^no region 12345 in the Allen tree; neuropile.regions.structures\(\) lists the tree$"),
        (["VISp", "qqqqqq"], "no region 'qqqqqq'"),
        ([1.5, 385.0], r"whole numbers \(ids\) or texts \(acronyms\), not by float64 such as 1.5"),
        ([np.inf], "whole numbers"),
        ([True], "whole numbers"),
        ([385, "VISp", None], "no region 385"),
    ],
)
def test_an_unknown_structure_is_an_error_that_names_one_like_it(asked, message):
    for ask in (regions.names, regions.ids, lambda s: regions.to("beryl", s)):
        with pytest.raises(NotThere, match=message) as e:
            ask(asked)
        assert "\n" not in str(e.value)


def test_an_unknown_level_names_those_there_are():
    with pytest.raises(NotThere, match=r"^no level 'Berly'; the levels are allen, beryl, cosmos, swanson, each also with -lr$"):
        regions.to("Berly", 385)


def test_one_structure_gives_one_value_and_none_gives_none():
    assert regions.to("Beryl", 778) == 385
    assert isinstance(regions.to("Beryl", 778), int)
    assert regions.to("cosmos-lr", -778) == -315
    assert regions.to("beryl", []).shape == regions.acronyms(np.empty(0, np.int64)).shape == (0,)


def test_a_null_stays_null_and_ids_may_be_whole_floats():
    nulls = [None, np.nan, pd.NA]
    acronyms = [["VISp5", n] for n in nulls] + [pd.Series(["VISp5", n], dtype=kind) for n in nulls for kind in ("string", object)]
    for own in acronyms:
        assert regions.to("beryl", own).tolist() == ["VISp", None]
        assert regions.names(own).tolist() == ["Primary visual area layer 5", None]
        np.testing.assert_array_equal(regions.ids(own), [778, np.nan])
    ids = [[778, -778, n] for n in nulls] + [pd.Series([778, -778, None], dtype=kind) for kind in ("Int64", "float64", object)]
    for own in ids:
        np.testing.assert_array_equal(regions.to("cosmos-lr", own), [315, -315, np.nan])
        assert regions.acronyms(own).tolist() == ["VISp5", "VISp5", None]
    assert regions.to("cosmos", [0, 997, None]).tolist()[:2] == [0, 997]
    assert regions.to("beryl", np.array([778.0, 0.0])).tolist() == [385, 0]
    assert regions.to("beryl", pd.Series([778], dtype="Int64")).dtype == np.int64
    assert (regions.to("beryl", None), regions.acronyms(None)) == (None, None)
    assert np.isnan(regions.to("beryl", np.nan))
    for ask in (regions.ancestors, regions.descendants):
        with pytest.raises(NotThere, match="no region None"):
            ask(None)


def test_the_packaged_table_is_small_and_carries_its_terms():
    folder = files("neuropile") / "data" / "regions"
    assert sum(len(f.read_bytes()) for f in folder.iterdir()) < 150_000
    notice = (folder / "NOTICE").read_text()
    assert "Copyright (c) 2023 International Brain Laboratory" in notice
    assert "alleninstitute.org/legal/terms-of-use" in notice


# Tables completed


def filled_by_hand(row: dict, species: str | None) -> dict:
    """What `fill` says of one row, read off its definition."""
    i, label = row.get("allen_id"), row.get("allen")
    if i is None:
        i = MEANT.get(label)
    if i is None and species == "Mus musculus":
        i = MEANT.get(row.get("region"))
    texts = TEXTS.get(abs(i), {}) if i is not None else {}
    return row | {"allen_id": i} | {level: texts.get(level, row.get(level)) for level in LEVELS}


IDS = st.none() | st.sampled_from([0, 997, 8, 385, 778, -778, 382, 614454277, 12345, -(2**62)])
LABELS = st.none() | st.sampled_from(["VISp5", "VISp2/3", "visp5", "grey", "root", "void", "", "M9", " CA1", "CA1", "NaN", "Thalamus", "thalamus"])
KINDS = {"allen_id": pa.int64(), "region": pa.string(), "allen": pa.string(), "beryl": pa.string()}
ROWS = st.fixed_dictionaries({"allen_id": IDS, "region": LABELS, "allen": LABELS, "beryl": LABELS})


@given(
    st.lists(ROWS, max_size=12), st.sampled_from(["Mus musculus", "Macaca mulatta", None]), st.sets(st.sampled_from(["allen_id", "region", "allen", "beryl"]))
)
def test_a_table_is_completed_as_its_rows_say_and_as_nothing_else(rows, species, kept):
    schema = pa.schema([("unit_id", pa.int64()), *((name, kind) for name, kind in KINDS.items() if name in kept)])
    rows = [{"unit_id": n} | {name: value for name, value in row.items() if name in kept} for n, row in enumerate(rows)]
    found = regions.fill(pa.Table.from_pylist(rows, schema=schema), species)
    assert found.to_pylist() == [filled_by_hand(row, species) | {name: row[name] for name in schema.names if name not in COLUMNS} for row in rows]
    assert found.column_names[: len(schema)] == schema.names
    assert {name: found.schema.field(name).type for name in COLUMNS} == COLUMNS
    assert regions.fill(found, species).equals(found)


def test_other_types_of_a_source_are_understood():
    odd = pa.table(
        {
            "allen_id": pa.array([385.0, np.nan, 1.5, None, 997.0, np.inf]),
            "region": pa.array(["CA1", "VISp5", "CA1", "q", "q", None]).dictionary_encode(),
            "beryl": pa.nulls(6),
        }
    )
    found = regions.fill(odd, "mouse")
    assert found.column("allen_id").to_pylist() == [385, 778, 382, None, 997, None]
    assert found.column("beryl").to_pylist() == ["VISp", "VISp", "CA1", None, "root", None]
    assert regions.fill(pa.table({"unit_id": pa.array([], pa.string())}), "mouse").num_rows == 0
    assert regions.fill(pa.table({"unit_id": ["a", "b"]}), "mouse").column("allen").null_count == 2


@pytest.mark.parametrize(
    ("species", "mouse"),
    [
        *((s, True) for s in ("Mus musculus", "mus_musculus", " MUS  MUSCULUS ", "Mus musculus domesticus", "Mus musculus - House mouse", "M. musculus")),
        *((s, True) for s in ("mouse", "Mouse", "mice", "House mouse", "laboratory mouse", "10090", "NCBITaxon:10090")),
        *((s, True) for s in ("http://purl.obolibrary.org/obo/NCBITaxon_10090", "Mus musculus (NCBITaxon:10090)")),
        *((s, False) for s in (None, "", "Mus", "Mus spretus", "Mus musculusoides", "Mouse lemur", "deer mouse", "Microcebus murinus", "Peromyscus")),
        *((s, False) for s in ("Rattus norvegicus", "Homo sapiens", "Macaca mulatta", "NCBITaxon:10116", "NCBITaxon:100901", "humanized mouse graft in a rat")),
    ],
)
def test_a_mouse_is_told_from_what_is_like_one(species, mouse):
    assert regions.is_mouse(species) is mouse
    assert (regions.fill(pa.table({"region": ["VISp5"]}), species).column("beryl").to_pylist() == ["VISp"]) is mouse


def test_labels_of_another_book_are_not_taken_for_the_atlas():
    of_visual_cortex = regions.fill(pa.table({"region": ["V1", "LM", "AM", "RL", "CA1"]}), "mouse")
    assert of_visual_cortex.column("allen").to_pylist() == [None, None, None, None, "CA1"]
    of_the_atlas = regions.fill(pa.table({"region": ["VISp", "LM", "AM", "RL", "CA1"]}), "mouse")
    assert of_the_atlas.column("cosmos").to_pylist() == ["Isocortex", "HY", "TH", "MB", "HPF"]


# In a region, in Python

UNITS = pd.DataFrame(
    {
        "allen": ["VISp5", "VISl", "CA1", "root", None, None, None, None, "void"],
        "beryl": ["VISp", "VISl", "CA1", "root", "VISp", None, None, None, "void"],
        "cosmos": ["Isocortex", "Isocortex", "HPF", "root", "Isocortex", "HPF", None, None, "void"],
        "swanson": ["VISp", "VISl", "CA1", "root", None, None, None, None, "void"],
        "region": ["a", "VISl", "CA1", None, None, None, "M2", "PMd", None],
    }
)


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (("VISp",), [0, 4]),
        (("VISp5",), [0]),
        (("Isocortex",), [0, 1, 4]),
        (("VISp", "VISl"), [0, 1, 4]),
        (("HPF",), [2, 5]),
        (("M2",), [6]),
        (("M2", "CA1"), [2, 6]),
        (("PMd",), [7]),
        (("HY",), []),
        (("root",), [0, 1, 2, 3, 4, 5]),
        (("void",), [8]),
        ((), []),
    ],
)
def test_a_unit_is_in_its_structures_and_those_above_and_in_what_its_source_calls_its_region(names, rows):
    assert np.flatnonzero(regions.in_region(UNITS, *names)).tolist() == rows


def test_what_a_table_lacks_holds_no_unit():
    assert regions.in_region(UNITS[["cosmos"]], "Isocortex").tolist() == UNITS["cosmos"].eq("Isocortex").tolist()
    assert regions.in_region(UNITS[["region"]], "M2").sum() == 1
    assert regions.in_region(UNITS.iloc[:0], "VISp").shape == (0,)
    with pytest.raises(NotThere, match=r"^in_region looks at the columns allen, beryl, cosmos, swanson, region, one or more; the table has unit_id: "):
        regions.in_region(pd.DataFrame({"unit_id": ["a"]}), "VISp")


def test_a_region_of_which_nobody_has_heard_is_an_error_with_those_like_it():
    with pytest.raises(NotThere, match=r"^no region 'm2' in the Allen tree or among the labels of the units; did you mean 'M2'\?$"):
        regions.in_region(UNITS, "VISp", "m2")
    with pytest.raises(NotThere, match="no region 'M2' in the Allen tree;"):
        regions.in_region(UNITS[["allen"]], "M2")


@pytest.mark.soak
def test_seven_hundred_thousand_units_are_filled_and_asked_in_a_second_each():
    from time import perf_counter

    ids = np.random.default_rng(0).choice(STRUCTURES.index.to_numpy(), 700_000)
    for table, species in ((pa.table({"allen_id": ids}), None), (pa.table({"region": regions.acronyms(ids)}), "mouse")):
        start = perf_counter()
        filled = regions.fill(table, species)
        assert perf_counter() - start < 1
        units = filled.to_pandas()
        start = perf_counter()
        inside = regions.in_region(units, "Isocortex")
        assert perf_counter() - start < 1
        assert inside.sum() == np.isin(ids, regions.ids(regions.descendants("Isocortex"))).sum()
