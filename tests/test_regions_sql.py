"""`in_region` where conditions are run: SQL, select, piles, the command line; all equal a plain walk up the tree."""

import json

import numpy as np
import pyarrow as pa
import pytest
from iblatlas.regions import BrainRegions
from stores import row_of
from typer.testing import CliRunner

from neuropile import layout, make_pile, regions, testing
from neuropile.cli import app
from neuropile.errors import NotThere, StoreError
from neuropile.store import create_store

SPECIES = {"ibl": "Mus musculus", "labels": "mouse", "monkey": "Macaca mulatta", "unsaid": None}
#: Asked below: from one layer to the whole brain, labels that are no structures, structures that are labels elsewhere.
ASKED = ["VISp", "VISp5", "Isocortex", "HPF", "CA1", "TH", "HY", "fiber tracts", "grey", "root", "void", "M2", "PMd", "O'Keefe's", "BLA"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A store of four sessions: ids of the atlas, labels of a mouse, of a monkey and of an animal nobody knows."""
    rng = np.random.default_rng(0)
    atlas = BrainRegions()
    labels = ["VISp5", "VISp", "CA1", "PMd", "M2", "O'Keefe's", "visp", "Thalamus", None, ""]
    store = create_store(tmp_path_factory.mktemp("regions") / "store")
    for session, species in SPECIES.items():
        given = {"allen_id": atlas.id.tolist()} if session == "ibl" else {"region": rng.choice(np.array(labels, object), 40).tolist()}
        ((name, values),) = given.items()
        own = [{"unit_id": str(i), "rate_hz": float(i), name: value} for i, value in enumerate(values)]
        units = [{"dataset": "d", "session_id": session} | row for row in own]
        table = pa.Table.from_pylist(units, schema=layout.UNIT_SCHEMA)
        table = regions.fill(table, species) if session == "ibl" else table  # the others are as a store of before has them
        store.add(row_of(session, species=species), table)
    return store


def inside(row, name: str, parent: dict[int, int], id_of: dict[str, int], id_of_name: dict[str, int]) -> bool:
    """Whether a unit is in a region: its own label, or a walk up from its structure."""
    if row.region == name:
        return True
    at = abs(int(row.allen_id)) if row.session_id == "ibl" else None
    if SPECIES[row.session_id] == "mouse":
        at = id_of.get(row.region, id_of_name.get(row.region))
    wanted = id_of.get(name)
    while at is not None:
        if at == wanted:
            return True
        at = parent.get(at)
    return False


@pytest.fixture(scope="module")
def walked(mixed):
    """Of each name the units in it, as (session, unit), by walking."""
    atlas = BrainRegions()
    n = 1328
    parent = {int(i): int(p) for i, p in zip(atlas.id[2:n], atlas.parent[2:n], strict=True)}
    id_of, id_of_name = (dict(zip(texts[:n], atlas.id[:n].tolist(), strict=True)) for texts in (atlas.acronym, atlas.name))
    table = mixed.unit_table.select(["session_id", "unit", "region", "allen_id"]).to_pandas()
    return {name: {(r.session_id, r.unit) for r in table.itertuples() if inside(r, name, parent, id_of, id_of_name)} for name in ASKED}


def asked(store, condition: str) -> set[tuple[str, int]]:
    found = store.sql(f"select session_id, unit from units where {condition}")
    return set(zip(found.session_id, found.unit, strict=True))


@pytest.mark.parametrize("name", ASKED)
def test_sql_select_and_python_find_what_a_walk_up_the_tree_finds(mixed, walked, name):
    quoted = name.replace("'", "''")
    assert walked[name]
    assert asked(mixed, f"in_region('{quoted}')") == walked[name]
    assert {(k.split("/")[1], u) for k, rows in mixed.select(f"in_region('{quoted}')").units.items() for u in rows.tolist()} == walked[name]
    table = mixed.unit_table.to_pandas()
    mine = table[regions.in_region(table, name)]
    assert set(zip(mine.session_id, mine.unit, strict=True)) == walked[name]
    assert regions.in_region(mixed.units, name).sum() == len(walked[name])


def test_every_unit_is_in_a_region_or_not(mixed):
    for name in ("VISp", "M2", "root"):
        counts = mixed.sql(f"select count(*) as n, count(in_region('{name}')) as told, sum((not in_region('{name}'))::int) as out from units")
        n_in = len(asked(mixed, f"in_region('{name}')"))
        assert counts.iloc[0].tolist() == [len(mixed.units), len(mixed.units), len(mixed.units) - n_in]


@pytest.mark.parametrize(
    ("condition", "same_as"),
    [
        ("in_region('VISp', 'CA1')", {"VISp", "CA1"}),
        ("in_region('VISp') or in_region('CA1')", {"VISp", "CA1"}),
        ("IN_Region\n( 'VISp'\t,\n'M2' , 'O''Keefe''s' )", {"VISp", "M2", "O'Keefe's"}),
        ("units.in_region('TH')", {"TH"}),
        ("\"units\" . in_region('TH')", {"TH"}),
        ("in_region('TH') -- or in_region(all of it)", {"TH"}),
        ("/* in_region(x) */ in_region('TH') and 'in_region(''HPF'')' != ''", {"TH"}),
        ("in_region('TH') and $$in_region(x)$$ != '' and e'\\'in_region(x)' != ''", {"TH"}),
        ("case when in_region('TH') then true else false end", {"TH"}),
    ],
)
def test_it_stands_wherever_a_condition_does(mixed, walked, condition, same_as):
    wanted = set().union(*(walked[name] for name in same_as))
    assert asked(mixed, condition) == wanted
    if "units" not in condition:
        assert sum(map(len, mixed.select(f"({condition}\n) and rate_hz >= 0").units.values())) == len(wanted)


def test_it_is_asked_of_one_table_among_several_and_grouped_by(mixed, walked):
    pairs = mixed.sql("select count(*) as n from units a join units b on a.session_id = b.session_id where a.in_region('VISp') and b.in_region('CA1')").n[0]
    of = {s: [sum(k == s for k, _ in walked[name]) for name in ("VISp", "CA1")] for s in SPECIES}
    assert pairs == sum(a * b for a, b in of.values())
    grouped = mixed.sql("select in_region('TH') as th, count(*) as n from units join sessions using (dataset, session_id) group by th order by th")
    assert grouped.n.tolist() == [len(mixed.units) - len(walked["TH"]), len(walked["TH"])]


def test_what_only_looks_like_a_call_is_left_alone():
    texts = ["select 'in_region(x)'", 'select "in_region(x)"', "-- in_region(x)", "$q$ in_region(x) $q$"]
    for sql in [*texts, "my_in_region(x)", "a.b.in_region(x)", "in_regions(x)", "in_region", "", "select '"]:
        assert regions.spelt_out(sql, frozenset) == sql


@pytest.mark.parametrize("held", ["VISp)", '"VISp")', ")", "'VISp',)", "'VISp'", "'a' || 'b')", "385)", ""])
def test_a_call_without_names_in_quotes_says_how_it_is_written(mixed, held):
    message = r"^in_region takes names in single quotes, as in in_region\('VISp', 'CA1'\); found in_region\("
    for ask in (mixed.select, lambda c: mixed.sql(f"select * from units where {c}")):
        with pytest.raises(StoreError, match=message):
            ask(f"in_region({held}")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("VISP", r"did you mean 'VISp' or 'visp'\?"), ("m2", r"did you mean 'M2'\?"), ("Primary visual area", r"did you mean 'VISp'\?"), ("xyzxyz", "structures")],
)
def test_an_unknown_region_is_an_error_with_one_like_it_and_not_an_empty_answer(mixed, name, hint):
    for ask in (mixed.select, lambda c: mixed.sql(f"select * from units where {c}"), lambda c: make_pile(mixed, where=c)):
        with pytest.raises(NotThere, match=rf"^no region '{name}' in the Allen tree or among the labels of the units; .*{hint}"):
            ask(f"rate_hz > 1 and in_region('VISp', '{name}')")


# Piles and the command line


def parts_of(session, name: str) -> set[str]:
    """The units of a session of `testing` in a structure, by a list of its parts that a person wrote down."""
    parts = {"VISp": {"VISp2/3", "VISp5"}, "Isocortex": {"VISp2/3", "VISp5", "MOs5"}, "TH": {"LGd"}}[name]
    return set(session.units.unit_id[session.units.region.isin(parts)])


@pytest.mark.parametrize("name", ["VISp", "Isocortex", "TH"])
def test_a_pile_takes_the_units_in_a_region(tiny_store, name):
    made = make_pile(tiny_store, quality="all", where=f"in_region('{name}')")
    later = make_pile(tiny_store, quality="all").where(f"in_region('{name}')")
    for pile in (made, later):
        for key in tiny_store:
            taken = {u for s in pile if s.key == key for u in s.unit_ids}
            assert taken == parts_of(tiny_store[key], name)
        assert len(pile)


def test_a_label_of_one_store_is_no_error_in_another(tiny_store, tmp_path):
    rat = testing.recording(5, n_units=4)
    units = rat.units.set_column(rat.units.schema.get_field_index("region"), "region", pa.array(["M2", "PrL", "M2", None]))
    other = testing.store(tmp_path / "rats", [_rat(rat, units)], dataset="rats")
    both = make_pile([tiny_store, other], quality="all", where="in_region('M2', 'LGd')")
    assert {u for s in both if s.dataset == "rats" for u in s.unit_ids} == set(np.array(rat.units["unit_id"])[[0, 2]])
    narrower = make_pile([tiny_store, other], quality="all").where("in_region('M2')")
    assert {s.dataset for s in narrower} == {"rats"}
    with pytest.raises(NotThere, match=r"no region 'M3' .* did you mean '"):
        make_pile([tiny_store, other], where="in_region('M3')")


def _rat(recording, units):
    from dataclasses import replace

    from neuropile.types import Subject

    return replace(recording, units=units, subject=Subject("rat", "Rattus norvegicus"))


def test_the_command_line_counts_the_units_in_a_region(tiny_store):
    done = CliRunner().invoke(app, ["units", str(tiny_store.root), "--where", "in_region('VISp')", "--json"])
    assert done.exit_code == 0
    answer = json.loads(done.stdout)
    assert {row["region"] for row in answer["by_region"]} == {"VISp2/3", "VISp5"}
    assert answer["n_units"] == sum(len(parts_of(tiny_store[key], "VISp")) for key in tiny_store)
