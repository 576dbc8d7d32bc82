"""MATLAB 5 files: what scipy finds in them, and one clear error for every size that is not to be believed."""

from __future__ import annotations

import random
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from neuropile.errors import NeuropileError, UnreadableFile
from neuropile.readers import arrays
from neuropile.readers.mat import mat5
from neuropile.types import Recording

HEADER = b"MATLAB 5.0 MAT-file, made for a test".ljust(124) + b"\x00\x01IM"


def element(kind: int, value: bytes) -> bytes:
    return struct.pack("<II", kind, len(value)) + value + bytes(-len(value) % 8)


def matrix(klass: int, shape: tuple[int, ...], *parts: bytes, name: bytes = b"spikes") -> bytes:
    head = element(6, struct.pack("<II", klass, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape)) + element(1, name)
    return element(14, head + b"".join(parts))


def doubles(*values: float, shape: tuple[int, ...] | None = None, name: bytes = b"spikes") -> bytes:
    return matrix(6, shape or (1, len(values)), element(9, struct.pack(f"<{len(values)}d", *values)), name=name)


def squeezed(variable: bytes) -> bytes:
    packed = zlib.compress(variable)
    return struct.pack("<II", 15, len(packed)) + packed


def put(path: Path, *variables: bytes) -> Path:
    path.write_bytes(HEADER + b"".join(variables))
    return path


def read(path: Path, **mapping: str) -> list[np.ndarray]:
    with arrays.mapped(mapping or {"times": "spikes"})(path) as recording:
        return [np.array(recording.trains.read(i)) for i in range(recording.trains.n_units)]


class TestWhatScipyFinds:
    @pytest.mark.parametrize("compress", [False, True])
    def test_names_and_shapes_are_scipys(self, tmp_path, compress):
        rng = np.random.default_rng(0)
        values = {
            "d": rng.normal(size=(3, 4)),
            "f": rng.normal(size=(2, 3, 4)).astype(np.float32),
            "u": np.arange(5, dtype=np.uint16),
            "z": rng.normal(size=4) + 1j,
            "none": np.empty((0, 3)),
            "word": "spikes",
            "flag": np.array([True, False]),
            "sparse": scipy.sparse.random(7, 9, 0.3, "csc"),
        }
        scipy.io.savemat(tmp_path / "a.mat", values, do_compression=compress)
        said = {name: shape for name, shape, _ in arrays.contents(tmp_path / "a.mat")}
        assert said == {name: shape if name != "word" else (1, 6) for name, shape, _ in scipy.io.whosmat(tmp_path / "a.mat")} | {"word": (1, 6)}

    def test_scipys_own_collection_of_odd_files_is_read_as_scipy_reads_it(self):
        folder = Path(scipy.io.__file__).parent / "matlab" / "tests" / "data"
        files = [f for f in sorted(folder.glob("*.mat")) if f.read_bytes()[124:128] in (b"\x00\x01IM", b"\x01\x00MI")]
        if not files:
            pytest.skip("this scipy comes without its tests")
        for file in files:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    names = {name for name, _, _ in scipy.io.whosmat(file)} - {"__function_workspace__"}
            except (ValueError, TypeError, zlib.error):
                continue  # scipy's examples of damage
            assert set(mat5.walk(file)) == names, file.name

    def test_the_real_shape_of_nested_things_is_found_under_their_fields(self, tmp_path):
        inner = np.array([(np.arange(3.0), "a"), (np.arange(5.0), "b")], dtype=[("t", object), ("n", object)])
        scipy.io.savemat(tmp_path / "a.mat", {"s": {"units": inner, "rate": 5.0}})
        assert arrays.contents(tmp_path / "a.mat") == [("s/units/t", (2,), "float64"), ("s/units/n", (2,), "char"), ("s/rate", (1, 1), "float64")]

    def test_a_sparse_raster_is_read_as_if_it_were_full(self, tmp_path):
        raster = scipy.sparse.random(6, 400, 0.05, "csc", random_state=0).astype(bool).astype(float)
        scipy.io.savemat(tmp_path / "a.mat", {"raster": raster})
        found = read(tmp_path / "a.mat", matrix="raster", bin="0.001")
        assert [f.tolist() for f in found] == [np.flatnonzero(row).tolist() for row in raster.toarray()]

    def test_big_endian_files_are_read(self, tmp_path):
        def part(kind, value):
            return struct.pack(">II", kind, len(value)) + value + bytes(-len(value) % 8)

        inside = part(6, struct.pack(">II", 6, 0)) + part(5, struct.pack(">ii", 1, 2)) + part(1, b"spikes") + part(9, struct.pack(">dd", 0.5, 1.5))
        (tmp_path / "a.mat").write_bytes(HEADER[:124] + b"\x01\x00MI" + part(14, inside))
        assert read(tmp_path / "a.mat")[0].tolist() == [0.5, 1.5]

    def test_functions_and_opaque_things_are_listed_and_left_alone(self, tmp_path):
        function = matrix(16, (1, 1), matrix(2, (1, 1), element(5, struct.pack("<i", 8)), element(1, b""), name=b""), name=b"f")
        words = [element(1, w) for w in (b"day", b"MCOS", b"datetime")]
        opaque = element(14, element(6, struct.pack("<II", 17, 0)) + b"".join(words) + matrix(13, (1, 1), element(6, bytes(4)), name=b""))
        path = put(tmp_path / "a.mat", function, opaque, doubles(0.5, 1.0))
        assert arrays.contents(path) == [("f", (1, 1), "function"), ("day", (), "opaque"), ("spikes", (1, 2), "float64")]
        assert read(path)[0].tolist() == [0.5, 1.0]
        for name in ("f", "day"):
            with pytest.raises(UnreadableFile, match="which is never opened; save it as plain numbers"):
                read(path, times=name)


class TestSizesNotBelieved:
    @pytest.mark.parametrize("pack", [lambda v: v, squeezed], ids=["plain", "compressed"])
    @pytest.mark.parametrize(
        ("variable", "words"),
        [
            (doubles(1.0, shape=(2**31 - 1, 2**31 - 1)), "with 8 bytes of values"),
            (doubles(1.0, shape=(1, -1)), "an array of shape"),
            (matrix(1, (2**31 - 1, 1000)), "an array of shape"),
            (matrix(2, (2**20, 2**20), element(5, struct.pack("<i", 8)), element(1, b"")), "an array of shape"),
            (matrix(4, (1, 2**31 - 1), element(4, b"")), "2147483647 characters in 0 bytes"),
            (matrix(5, (3, 2**31 - 1), element(5, b""), element(5, b""), element(9, b"")), "a sparse array"),
            (matrix(99, (1, 1), element(9, bytes(8))), "unknown class 99"),
            (matrix(6, (1, 1), element(77, bytes(8))), "unknown type 77"),
            (matrix(6, (1, 1), element(9, bytes(8)), bytes(16)), "an array's parts end 16 bytes"),
            (matrix(2, (1, 1), element(5, struct.pack("<i", 0)), element(1, b"abc")), "field names"),
        ],
    )
    def test_a_header_that_announces_what_is_not_there_is_one_clear_error(self, tmp_path, pack, variable, words):
        path = put(tmp_path / "a.mat", pack(variable))
        for act in (read, arrays.contents, arrays.suggest):
            with pytest.raises(UnreadableFile, match=f"damaged in the variable at byte 128 .*{words}.*; fetch it again"):
                act(path)

    def test_a_compressed_bomb_is_refused_before_it_is_inflated(self, tmp_path):
        packer = zlib.compressobj()
        body = packer.compress(struct.pack("<II", 14, 1 << 31)) + packer.compress(bytes(1 << 20)) + packer.flush()
        path = put(tmp_path / "a.mat", struct.pack("<II", 15, len(body)) + body)
        with pytest.raises(UnreadableFile, match="an element announces 2147483648 bytes where"):
            arrays.contents(path)

    def test_cells_in_cells_without_end_are_refused(self, tmp_path):
        nest = doubles(1.0, name=b"")
        for _ in range(5000):
            nest = matrix(1, (1, 1), nest, name=b"")
        with pytest.raises(UnreadableFile, match="nested more than 24 deep"):
            arrays.contents(put(tmp_path / "a.mat", matrix(1, (1, 1), nest)))

    def test_a_sparse_array_with_indices_outside_it_or_far_too_large_is_refused(self, tmp_path):
        wrong = matrix(5, (3, 2), element(5, struct.pack("<ii", 0, 900)), element(5, struct.pack("<iii", 0, 1, 2)), element(9, bytes(16)))
        with pytest.raises(UnreadableFile, match=r"sparse array is damaged|spikes is damaged"):
            read(put(tmp_path / "a.mat", wrong))
        large = matrix(5, (2**31 - 1, 1), element(5, bytes(8)), element(5, struct.pack("<ii", 0, 1)), element(9, bytes(8)))
        with pytest.raises(UnreadableFile, match="too large to fill"):
            read(put(tmp_path / "b.mat", large))

    @pytest.mark.parametrize("compress", [False, True])
    def test_a_file_cut_anywhere_is_an_error_and_never_a_shorter_recording(self, tmp_path, compress):
        trains = np.empty(3, object)
        trains[:] = [np.arange(5.0), np.arange(2.0), np.arange(9.0)]
        scipy.io.savemat(tmp_path / "a.mat", {"spikes": trains}, do_compression=compress)
        whole = (tmp_path / "a.mat").read_bytes()
        for size in range(1, len(whole), 7):
            (tmp_path / "cut.mat").write_bytes(whole[:size])
            with pytest.raises(UnreadableFile):
                read(tmp_path / "cut.mat")

    def test_an_empty_or_foreign_file_says_so(self, tmp_path):
        (tmp_path / "a.mat").write_bytes(b"")
        with pytest.raises(UnreadableFile, match="empty"):
            read(tmp_path / "a.mat")
        (tmp_path / "a.mat").write_bytes(HEADER[:126] + b"XX")
        with pytest.raises(UnreadableFile, match="not a MATLAB 5 file, or its header is damaged"):
            mat5.walk(tmp_path / "a.mat")


def mutated(raw: bytes, rng: random.Random) -> bytes:
    """A copy with some bytes changed, near the start as often as anywhere, or cut."""
    if rng.random() < 0.2:
        return raw[: rng.randrange(len(raw))]
    out = bytearray(raw)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(out) if rng.random() < 0.5 else min(2000, len(out)))
        out[at] = rng.choice([0, 255, rng.randrange(256), out[at] ^ (1 << rng.randrange(8))])
    return bytes(out)


def accept_only_a_recording_or_a_clear_error(source: Path, mapping: dict[str, str], folder: Path, n: int) -> None:
    rng = random.Random(0)
    raw = source.read_bytes()
    path = folder / f"mutated{source.suffix}"
    said: list[str] = []
    for _ in range(n):
        path.write_bytes(mutated(raw, rng))
        for act in (arrays.mapped(mapping), arrays.suggest):
            try:
                found = act(path)
            except NeuropileError as e:
                said.append(str(e))
                continue
            if isinstance(found, Recording):
                for unit in range(found.trains.n_units):
                    found.trains.read(unit)
                found.close()
    assert said
    assert not [s for s in said if "\n" in s]


@pytest.mark.parametrize("compress", [False, True])
def test_a_mutated_file_gives_a_recording_or_a_clear_error(tmp_path, compress):
    rng = np.random.default_rng(0)
    records = np.array([(rng.random(20), "name", rng.integers(0, 2, (3, 30), np.uint8))] * 4, dtype=[("t", object), ("n", object), ("m", object)])
    nest = np.empty((2, 2), object)
    nest[:] = [[records, np.empty((0, 0))], ["text", records[:1]]]
    scipy.io.savemat(tmp_path / "a.mat", {"nest": nest, "sparse": scipy.sparse.random(5, 50, 0.2, "csc")}, do_compression=compress)
    accept_only_a_recording_or_a_clear_error(tmp_path / "a.mat", {"times": "nest/t"}, tmp_path, 150)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "mapping"),
    [
        ("mat5-rat-lineartrack/spikes.mat", {"times": "spikes/time"}),
        ("mat5-aplysia/Jan1312da04spks.mat", {"times": "spks[:,1]", "units": "spks[:,0]"}),
        ("mat5-monkey-trials/sample_dat.mat", {"matrix": "dat/spikes", "bin": "0.001"}),
        ("h5-retina-mea/Xu2011_26AUG2008M2-RINGER.h5", {"times": "spikes", "counts": "sCount"}),
        ("npz-mouse-olfactory-trials/pinene_data.npz", {"times": "spiketimes", "units": "neuron_ids", "trials": "trials", "trial_stop": "tmax", "unit": "ms"}),
    ],
)
def test_a_mutated_real_file_gives_a_recording_or_a_clear_error(real_data, tmp_path, name, mapping):
    source = real_data / name
    accept_only_a_recording_or_a_clear_error(source, mapping, tmp_path, 60)
    if source.suffix == ".mat":  # once more beneath its compression
        values = {k: v for k, v in scipy.io.loadmat(source).items() if not k.startswith("__")}
        source = tmp_path / "plain.mat"
        scipy.io.savemat(source, values, do_compression=False)
        accept_only_a_recording_or_a_clear_error(source, mapping, tmp_path, 60)
