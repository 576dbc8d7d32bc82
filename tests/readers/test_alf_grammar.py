"""Names in the ALF convention, parsed as ONE's own specification parses them."""

from __future__ import annotations

import uuid
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from one.alf import spec
from one.alf.path import rel_path_parts, session_path_parts

from neuropile.errors import NeuropileError
from neuropile.readers.alf import files as alf_files
from neuropile.readers.alf import grammar as alf_grammar

NAMES = [
    "_ibl_trials.table.pqt",
    "_ibl_trials.quiescencePeriod.npy",
    "_ibl_trials.goCueTrigger_times.npy",
    "_ibl_wheel.position.npy",
    "_ibl_wheel.timestamps.npy",
    "_ibl_wheelMoves.intervals.npy",
    "_ibl_wheelMoves.peakAmplitude.npy",
    "licks.times.npy",
    "_ibl_leftCamera.times.npy",
    "_ibl_bodyCamera.dlc.pqt",
    "_ibl_leftCamera.lightningPose.pqt",
    "_ibl_rightCamera.features.pqt",
    "leftCamera.ROIMotionEnergy.npy",
    "_ibl_passivePeriods.intervalsTable.csv",
    "_ibl_passiveGabor.table.csv",
    "_ibl_passiveRFM.times.npy",
    "electrodeSites.localCoordinates.npy",
    "electrodeSites.mlapdv.npy",
    "electrodeSites.brainLocationIds_ccf_2017.npy",
    "spikes.times.npy",
    "spikes.clusters.npy",
    "clusters.metrics.pqt",
    "clusters.uuids.csv",
    "channels.rawInd.npy",
    "passingSpikes.table.pqt",
    "waveforms.templates.npy",
    "_iblrig_leftCamera.raw.mp4",
    "_iblrig_RFMapStim.raw.bin",
    "trials.goCue_times_bpod.npy",
    "spikes.times_ephysClock.npy",
    "spikes.times.part1.npy",
    "spikes.times.part1.b.npy",
    "clusters._phy_annotation.npy",
    "_spikeglx_sync.times.npy",
    "spikes.times.9aca5e3a-1a6e-4a3b-bd0a-5d2a1f0c7b11.npy",
    "_ibl_trials.intervals_bpod.npy",
    "_ibl_trials.goCueTrigger_times.npy",
    "_ibl_passiveStims.table.csv",
    "_ibl_wheel.timestamps_bpod.csv",
    "waveforms.table.pqt",
    "_iblrig_rightCamera.raw.mp4",
    "probes.description.json",
    "_ibl_experiment.description.yaml",
]
#: Names that ONE's writer would not write, though its files have them: it makes all parts camel case, the first letter small.
REWRITTEN = ("leftCamera.ROIMotionEnergy.npy", "electrodeSites.brainLocationIds_ccf_2017.npy", "_iblrig_RFMapStim.raw.bin", "clusters._phy_annotation.npy")
REJECTS = ["spike_train.npy", "spike_times.npy", "params.py", "README", ".DS_Store", "spikes.times", "cluster_group.tsv"]
FIELDS = ("namespace", "object", "attribute", "timescale", "extra", "extension")


def ours(name: str) -> tuple[str | None, ...] | None:
    found = alf_grammar.parse((), PurePosixPath(name))
    return None if found is None else tuple(getattr(found, f) or None for f in FIELDS)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_parsed_as_one_parses_it(name):
    theirs = spec.regex(spec.FILE_SPEC).match(name)
    fields = [theirs.groupdict()[f] for f in FIELDS]
    if name.count("-") == 4:  # a UUID says nothing
        fields[4] = None
    assert ours(name) == tuple(fields)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_made_of_its_parts_is_the_name(name):
    found = alf_grammar.parse((), PurePosixPath(name))
    assert found.name == name
    extra = ".".join(e for e in (found.extra, found.uuid) if e)
    made = spec.to_alf(found.object, found.attribute, found.extension, found.namespace or None, found.timescale or None, extra or None)
    assert (made == name) == (name not in REWRITTEN)
    assert alf_grammar.filename(found.object, found.attribute, found.extension, namespace=found.namespace, timescale=found.timescale, extra=extra) == name


@pytest.mark.parametrize(
    "parts",
    [
        {"object": "spike_train", "attribute": "times"},
        {"object": "spikes", "attribute": ""},
        {"object": "", "attribute": "times"},
        {"object": "spikes", "attribute": "ti.mes"},
        {"object": "spikes", "attribute": "times", "namespace": "a_b"},
        {"object": "spikes", "attribute": "goCue_times_bpod"},
        {"object": "spikes", "attribute": "times", "extra": "a..b"},
        {"object": "../spikes", "attribute": "times"},
    ],
)
def test_parts_that_make_no_name_are_refused(parts):
    with pytest.raises(NeuropileError, match="is no ALF name of these parts"):
        alf_grammar.filename(extension="npy", **parts)


@pytest.mark.parametrize("lab", ["", "mainenlab"])
@pytest.mark.parametrize("number", [0, 1, 12, 999])
def test_a_session_s_path_is_read_back_and_one_takes_it(lab, number):
    path = alf_grammar.session_path("KS-0.23", "2019-12-10", number, lab=lab)
    assert vars(alf_grammar.session_of(path.split("/"))) == {"lab": lab or None, "subject": "KS-0.23", "date": "2019-12-10", "number": number}
    assert session_path_parts(path) == (lab or None, "KS-0.23", "2019-12-10", f"{number:03d}")
    assert alf_grammar.session_of(path.replace(f"/{number:03d}", f"/{number}").split("/")).number == number


@pytest.mark.parametrize(
    ("subject", "date", "number"),
    [("a b", "2019-12-10", 1), ("a", "20191210", 1), ("a", "2019-12-10", 1000), ("..", "2019-12-10", 1), ("a/b", "2019-12-10", 1)],
)
def test_what_is_no_session_s_path_is_refused(subject, date, number):
    with pytest.raises(NeuropileError, match="is no session's path"):
        alf_grammar.session_path(subject, date, number, lab="" if "/" not in subject else "x y")


@pytest.mark.parametrize("revision", ["", "2024-05-06"])
@pytest.mark.parametrize("collection", ["", "alf", "alf/probe00/pykilosort"])
def test_the_revision_is_written_last_and_one_reads_it_so(collection, revision):
    path = alf_grammar.relative_path(collection, "spikes.times.npy", revision=revision)
    assert path.split("/")[-1 - bool(revision)] == (f"#{revision}#" if revision else "spikes.times.npy")
    theirs = rel_path_parts(path, as_dict=True)
    assert (theirs["collection"] or "", theirs["revision"] or "") == (collection, revision)
    found = alf_grammar.parse(tuple(path.split("/")[:-1]), PurePosixPath("spikes.times.npy"))
    assert ("/".join(found.collection), found.revision) == (collection, revision)


@pytest.mark.parametrize(
    ("collection", "name", "revision"),
    [("..", "spikes.times.npy", ""), ("alf", "nothing", ""), ("alf", "spikes.times.npy", "a/b"), ("a b", "spikes.times.npy", "")],
)
def test_what_is_no_path_below_a_session_is_refused(collection, name, revision):
    with pytest.raises(NeuropileError, match="is no ALF path"):
        alf_grammar.relative_path(collection, name, revision=revision)


def test_a_uuid_behind_the_parts_says_nothing():
    uid = "9aca5e3a-1a6e-4a3b-bd0a-5d2a1f0c7b11"
    found = alf_grammar.parse((), PurePosixPath(f"spikes.times.part1.{uid}.npy"))
    assert (found.extra, found.uuid, found.name) == ("part1", uid, f"spikes.times.part1.{uid}.npy")
    assert alf_grammar.parse((), PurePosixPath(f"_ns_obj.attr1.{uid}.metadata.json")).is_metadata


@pytest.mark.parametrize("name", REJECTS)
def test_what_one_does_not_take_is_not_taken(name):
    assert spec.regex(spec.FILE_SPEC).match(name) is None or name == "cluster_group.tsv"
    assert ours(name) is None


WORDS = st.text("abcXYZ019", min_size=1, max_size=6)


@given(st.one_of(st.none(), WORDS), WORDS, WORDS, st.one_of(st.none(), WORDS), st.lists(WORDS, max_size=2), st.sampled_from(["npy", "pqt", "csv"]))
def test_whatever_one_writes_is_parsed_back(namespace, obj, attribute, timescale, extra, extension):
    name = f"{f'_{namespace}_' if namespace else ''}{obj}.{attribute}{f'_{timescale}' if timescale else ''}.{''.join(f'{e}.' for e in extra)}{extension}"
    theirs = spec.regex(spec.FILE_SPEC).match(name).groupdict()
    assert ours(name) == tuple(theirs[f] for f in FIELDS)
    assert ours(name) == (namespace, obj, attribute, timescale, ".".join(extra) or None, extension)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("mnt/mainenlab/Subjects/ZM_1743/2019-06-14/001", "ZM_1743_2019-06-14_001"),
        ("ZM_1743/2019-06-14/1", "ZM_1743_2019-06-14_001"),
        ("data/KS-0.23/2019-12-10/12/alf/probe00", "KS-0.23_2019-12-10_012"),
        ("old/A/2018-01-01/1/copy/B/2019-01-01/2", "B_2019-01-01_002"),
        ("my-lab/Subjects/S1/2019-01-01/2", "S1_2019-01-01_002"),
    ],
)
def test_a_session_is_named_by_subject_date_and_number_of_three_digits(path, name):
    assert alf_grammar.session_of(path.split("/")).name == name


@pytest.mark.parametrize(
    "path", ["data/2019-12-10", "data/session1/alf", "KS023/2019-12-10/0001", "KS023/20191210/001", "a 1/2019-12-10/001", "S1/2019-13-45/001"]
)
def test_other_paths_name_no_session(path):
    assert alf_grammar.session_of(path.split("/")) is None


def test_a_lab_is_known_by_its_whole_name_only():
    assert alf_grammar.session_of(["my-lab", "Subjects", "S1", "2019-01-01", "2"]).lab is None


@pytest.mark.parametrize(
    ("root", "collection", "expected"),
    [
        ("s", "alf/probe00/pykilosort", ("probe00", "pykilosort")),
        ("s", "alf/probe00a", ("probe00a", "")),
        ("s", "probe01", ("probe01", "")),
        ("s", "alf/imec0/ks2/x", ("imec0", "ks2/x")),
        ("s", "alf", (None, "")),
        ("s", "alf/pykilosort", (None, "pykilosort")),
        ("s/probe00", "", ("probe00", "")),
        ("s/probe00/iblsorter", "", ("probe00", "iblsorter")),
    ],
)
def test_folders_name_the_probe_and_the_sorter(root, collection, expected):
    assert alf_files.split(root.split("/"), tuple(p for p in collection.split("/") if p)) == expected


def dataset(inside: str, name: str) -> alf_grammar.Dataset:
    found = alf_grammar.parse(tuple(p for p in inside.split("/") if p), PurePosixPath(name))
    assert found is not None
    return found


class TestRevisions:
    FOLDERS = ("", "#2022-01-01#", "#2024-05-06#", "#2025-05-06#")

    @pytest.mark.parametrize(
        ("asked", "read"),
        [
            (None, "2025-05-06"),
            ("2025-05-06", "2025-05-06"),
            ("2025-01-01", "2024-05-06"),
            ("2024-05-06", "2024-05-06"),
            ("2023", "2022-01-01"),
            ("2021", ""),
            ("zzz", "2025-05-06"),
        ],
    )
    def test_the_newest_not_after_the_one_asked_for_is_read(self, asked, read):
        found = alf_grammar.choose([dataset(f, "spikes.times.npy") for f in self.FOLDERS], asked)
        assert [d.revision for d in found["times"]] == [read]

    def test_each_attribute_falls_back_on_its_own(self):
        found = alf_grammar.choose([dataset("#a#", "spikes.times.npy"), dataset("", "spikes.times.npy"), dataset("", "spikes.clusters.npy")], None)
        assert (found["times"][0].revision, found["clusters"][0].revision) == ("a", "")

    def test_a_request_before_all_revisions_finds_nothing(self):
        assert alf_grammar.choose([dataset("#2024#", "spikes.times.npy")], "2023") == {}

    @pytest.mark.parametrize("inside", ["alf/probe00/#2024#", "alf/#2024#/probe00", "#2024#/alf/probe00"])
    def test_its_folder_may_stand_anywhere(self, inside):
        found = dataset(inside, "spikes.times.npy")
        assert (found.collection, found.revision) == (("alf", "probe00"), "2024")


def in_order(names):
    """The names of the parts of one attribute as they are laid end to end."""
    (found,) = alf_grammar.choose([dataset("", n) for n in names], None).values()
    return [d.path.name for d in found]


class TestChoice:
    def test_parts_come_in_the_order_of_their_numbers(self):
        assert in_order([f"spikes.times.part{i}.npy" for i in (2, 10, 1)]) == [f"spikes.times.part{i}.npy" for i in (1, 2, 10)]

    @given(st.sets(st.integers(0, 10**12), min_size=1), st.sampled_from(["part", "", "b2_", "x.y"]), st.randoms())
    def test_whole_numbers_in_names_order_them(self, numbers, before, shuffler):
        expected = [f"spikes.times.{before}{n}.npy" for n in sorted(numbers)]
        assert in_order(shuffler.sample(expected, len(expected))) == expected

    @given(st.sets(st.integers(0, 9999), min_size=1), st.randoms())
    def test_padded_numbers_and_uuids_stay_in_the_order_of_their_text(self, numbers, shuffler):
        uuids = [str(uuid.UUID(int=n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)) for n in numbers]
        for words in (uuids, [f"part{n:04d}" for n in numbers]):
            names = [f"spikes.times.{w}.npy" for w in words]
            assert in_order(shuffler.sample(names, len(names))) == sorted(names)

    @given(st.lists(st.text("ab019.", min_size=1, max_size=8), min_size=2, max_size=6, unique=True), st.randoms())
    def test_any_names_have_one_order_however_they_are_met(self, names, shuffler):
        assert sorted(shuffler.sample(names, len(names)), key=alf_grammar.natural) == sorted(names, key=alf_grammar.natural)

    def test_the_lab_s_own_namespace_goes_first_and_strangers_are_not_read(self):
        names = ["_iblrig_trials.choice.npy", "trials.choice.npy", "_ibl_trials.choice.npy", "_iblqc_trials.choice.npy"]
        assert alf_grammar.choose([dataset("", n) for n in names], None)["choice"][0].namespace == "ibl"
        assert alf_grammar.choose([dataset("", n) for n in names[:2]], None)["choice"][0].namespace == ""
        assert alf_grammar.choose([dataset("", names[3])], None) == {}

    def test_other_clocks_are_not_read(self):
        assert alf_grammar.choose([dataset("", "spikes.times_ephysClock.npy"), dataset("", "trials.goCue_times_bpod.npy")], None) == {}

    def test_of_two_formats_one_is_read(self):
        found = alf_grammar.choose([dataset("", "clusters.metrics.csv"), dataset("", "clusters.metrics.pqt")], None)
        assert [d.extension for d in found["metrics"]] == ["pqt"]
