"""Assets: loaded once, checked against the catalog, nothing run and no size believed."""

import io
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from tessera.datasets import Catalog, FormatError, UsageError
from tessera.datasets.assets import MOST, Assets
from tessera.datasets.stream import open_files
from tessera.datasets.verify import file_sha256, verify

NAME = "assets/body.npz"
ARRAYS = {"faces": np.arange(12, dtype=np.int32).reshape(4, 3), "part": np.arange(9, dtype=np.uint8)}
WANTED = {"faces": ("int32", (None, 3)), "part": ("uint8", (None,))}


def with_asset(toy, data=None, **arrays):
    """The data set with an asset of these bytes, listed in its catalog; and the asset's path."""
    path = toy.root / NAME
    path.parent.mkdir(exist_ok=True)
    if data is None:
        np.savez(path, **(ARRAYS | arrays))
    else:
        path.write_bytes(data)
    toy.catalog(assets={NAME: file_sha256(path)})
    return path


def assets(root, **options):
    catalog, files, _ = open_files(root, options.get("cache_dir"), 1 << 30)
    return Assets(catalog, files)


def test_arrays_come_as_they_were_written_and_are_not_to_be_changed(toy):
    with_asset(toy)
    found = assets(toy.root)(NAME, WANTED, "--body-models")
    assert list(found) == list(WANTED)
    for name, array in found.items():
        np.testing.assert_array_equal(array, ARRAYS[name])
        assert array.dtype == ARRAYS[name].dtype and not array.flags.writeable
    assert dict(verify(toy.root))["dataset.json"] == []


def test_only_what_is_asked_for_is_looked_at_and_a_file_is_read_once(toy):
    path = with_asset(toy, part=np.zeros(3))
    loads = assets(toy.root)
    assert list(loads(NAME, {"faces": WANTED["faces"]}, "")) == ["faces"]
    path.unlink()
    assert list(loads(NAME, {"faces": WANTED["faces"]}, "")) == ["faces"]


def test_a_store_s_asset_comes_through_the_cache(toy, tmp_path):
    with_asset(toy)
    url, cache = f"file://{toy.root}", tmp_path / "cache"
    for _ in range(2):
        found = assets(url, cache_dir=cache)(NAME, WANTED, "")
        np.testing.assert_array_equal(found["faces"], ARRAYS["faces"])
    assert list(cache.rglob("body.npz"))
    (toy.root / NAME).write_bytes(b"other")
    np.testing.assert_array_equal(assets(url, cache_dir=cache)(NAME, WANTED, "")["part"], ARRAYS["part"])
    with pytest.raises(FormatError, match=r"body.npz: is not the"):
        assets(url, cache_dir=tmp_path / "empty")(NAME, WANTED, "")


def test_an_asset_that_is_not_there_says_what_is_and_what_makes_it(toy):
    with pytest.raises(UsageError, match=r"toy: has no assets/body.npz \(assets: none\); build it with --body-models"):
        assets(toy.root)(NAME, WANTED, "--body-models")
    path = with_asset(toy)
    with pytest.raises(UsageError, match=r"\(assets: assets/body.npz\)"):
        assets(toy.root)("assets/hand.npz", WANTED, "--hands")
    path.unlink()
    with pytest.raises(FormatError, match=r"cannot be read.*tessera verify"):
        assets(toy.root)(NAME, WANTED, "")


def test_another_file_than_the_catalog_lists_is_refused(toy):
    path = with_asset(toy)
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"damaged, or not the file that dataset.json lists"):
        assets(toy.root)(NAME, WANTED, "")


def compressed():
    data = io.BytesIO()
    np.savez_compressed(data, **ARRAYS)
    return data.getvalue()


def pickled(canary):
    class Boom:
        def __reduce__(self):
            return (__import__("os").mkdir, (str(canary),))

    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in ARRAYS:
            array = io.BytesIO()
            np.lib.format.write_array_header_1_0(array, {"descr": "|O", "fortran_order": False, "shape": (4, 3)})
            archive.writestr(f"{name}.npy", array.getvalue() + pickle.dumps(Boom()))
    return data.getvalue()


def boasting():
    """A header that speaks of a terabyte."""
    data, array = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(array, {"descr": "<i4", "fortran_order": False, "shape": (1 << 37, 3)})
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("faces.npy", array.getvalue())
        archive.writestr("part.npy", array.getvalue())
    return data.getvalue()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda canary: compressed(), "is compressed"),
        (pickled, "holds object"),
        (lambda canary: boasting(), "does not hold"),
        (lambda canary: b"PK no zip", "damaged archive"),
        (lambda canary: b"", "damaged archive"),
    ],
)
def test_hostile_files_are_refused_even_where_the_catalog_lists_them(toy, canary, make, message):
    with_asset(toy, make(canary))
    with pytest.raises(FormatError, match=f"toy: {NAME}: .*{message}"):
        assets(toy.root)(NAME, WANTED, "")
    assert not canary.exists()


def test_other_arrays_than_wanted_are_named(toy):
    with_asset(toy, part=np.zeros((2, 2), np.uint8))
    with pytest.raises(FormatError, match=r"holds uint8 \(2, 2\), the schema says uint8 \(n,\)"):
        assets(toy.root)(NAME, WANTED, "")
    with pytest.raises(FormatError, match="there is no canonical in it"):
        assets(toy.root)(NAME, {"canonical": ("float32", (None, 3))}, "")


def test_a_file_that_is_too_large_or_none_is_not_read(toy):
    path = with_asset(toy)
    with path.open("r+b") as stream:
        stream.truncate(MOST + 1)  # sparse
    with pytest.raises(FormatError, match="refused: such a file has at most"):
        assets(toy.root)(NAME, WANTED, "")
    path.unlink()
    path.mkdir()
    with pytest.raises(FormatError, match="not a regular file"):
        assets(toy.root)(NAME, WANTED, "")


def test_a_catalog_cannot_point_out_of_its_folder(toy):
    with_asset(toy)
    replace(Catalog.read(toy.root), assets={"../other.npz": "0" * 64}).write(toy.root, "run")
    with pytest.raises(FormatError, match="leaves the data set's folder"):
        assets(toy.root)
