"""Tars that others wrote: the same numbers as WebDataset's own reader gives, whatever wrote the tar."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from tessera.datasets.errors import FormatError
from tessera.datasets.foreign_index import ForeignSet, open_foreign
from tessera.datasets.indexing.folder import find_tars
from tessera.datasets.indexing.places import FOLDER

from .foreign_reader import records, same, theirs

GREY = (np.add.outer(np.arange(6), np.arange(8)) * 9).astype(np.uint8)
RGB = np.stack([GREY, GREY + 7, 255 - GREY], -1)


def picture(array: np.ndarray, kind: str, mode: str | None = None) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(stream, kind)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz(**found: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **found)
    return stream.getvalue()


def sample(i: int) -> dict[str, Any]:
    """One record as WebDataset's writer takes it (bytes are written as they are); odd ones lack `depth.png`."""
    rng = np.random.default_rng(i)
    n = 3 + i
    found = {
        "points.npy": npy(rng.normal(size=(n, 3)).astype(np.float32)),
        "sdf.npy": npy(rng.normal(size=n)),
        "Pose.npy": npy(rng.normal(size=(4, 4))),
        "camera.npz": npz(k=rng.normal(size=(3, 3)), size=np.array([4 + i, 5])),
        "jpg": picture(RGB[:, : 4 + i], "JPEG"),
        "meta.json": json.dumps({"i": i, "ä": None}).encode(),
        "cls": str(i - 1).encode(),
        "txt": f"text {i} ä\n".encode(),
    }
    return found if i % 2 else found | {"depth.png": picture(GREY.astype(np.uint16) * 200, "PNG")}


def write(path: Path, samples: dict[str, dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(path)) as writer:
        for key, values in samples.items():
            writer.write({"__key__": key, **values})
    return path


def plain_tar(path: Path, members: list[tuple[str, bytes]], kind: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def compare(found: ForeignSet, split: str | None = None) -> int:
    """Compare every value of every record with WebDataset's; returns how many there were."""
    tars = [found.tar_root / str(x.tar) for x in found.catalog.shards if split in (None, x.split)]
    raws = {entry.name: entry.meaning.removeprefix("member ") for entry in found.catalog.tables["records"].fields}
    values = 0
    for ours, other in zip(records(found, split), theirs(tars), strict=True):
        assert ours.pop("__key__") == other["__key__"]
        flat = {}
        for name, value in other.items():
            flat |= {f"{name}/{k}": v for k, v in value.items()} if name.endswith("npz") else {name: value}
        for name, value in ours.items():
            assert same(value, flat.pop(raws[name])), (name, value)
            values += 1
        left = {entry.member for entry in found.left_out} | {"__url__", "__key__", "__local_path__"}
        assert set(flat) <= left, set(flat) - left
    return values


def fields(found: ForeignSet) -> dict[str, tuple[str, str, tuple[int | str, ...]]]:
    return {x.name: (x.codec, x.dtype, x.shape) for x in found.catalog.tables["records"].fields}


# ---- who wrote the tar


def test_webdatasets_own_writer(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", {f"{i:04d}": sample(i) for i in range(4)})
    write(tmp_path / "b.tar", {f"{i:04d}": sample(i) for i in range(4, 5)})
    found = open_foreign(tmp_path)
    assert compare(found) == 5 * 9 + 3
    assert fields(found) == {
        "camera_k": ("npy", "float64", (3, 3)), "camera_size": ("npy", "int64", (2,)), "cls": ("cls", "int64", ()),
        "depth": ("png", "uint16", (6, 8)), "jpg": ("jpg", "uint8", (6, "jpg_width", 3)), "meta": ("json", "json", ()),
        "points": ("npy", "float32", ("points_length", 3)), "pose": ("npy", "float64", (4, 4)),
        "sdf": ("npy", "float64", ("points_length",)), "txt": ("text", "json", ()),
    }  # fmt: skip
    schema = found.catalog.tables["records"]
    assert schema.by_name["depth"].optional and not schema.by_name["sdf"].optional and not found.left_out
    assert found.have["depth"] == 3 and found.catalog.splits == {"train": {"records": 5}}


@pytest.mark.parametrize("kind", ["gnu", "ustar", "pax", "v7"])
def test_gnu_tar_with_folders_and_long_names(tmp_path: Path, kind: str) -> None:
    long = "l" * (60 if kind == "v7" else 120)
    folder = tmp_path / "in" / ("d" * (20 if kind == "v7" else 90))
    folder.mkdir(parents=True)
    for i in range(3):
        for ending, data in sample(i).items():
            (folder / f"{long if i else 'short'}{i}.{ending}").write_bytes(data)
    (folder / ".hidden.json").write_bytes(b"1")  # WebDataset makes a record of it, with a key that ends in a slash
    (tmp_path / "out").mkdir()
    command = ["tar", "--sort=name", f"--format={kind}", "-cf", tmp_path / "out" / "x.tar", "-C", tmp_path / "in", "."]
    if kind == "ustar":
        shutil.rmtree(tmp_path / "in" / folder.name / "x", ignore_errors=True)
        for path in list(folder.iterdir()):  # ustar splits a path at a slash: 155 and 100 bytes
            path.rename(path.with_name(path.name.replace(long, long[:80])))
    subprocess.run(command, check=True, capture_output=True)
    found = open_foreign(tmp_path / "out")
    ours = records(found)
    assert len(ours) == 3 and all(record["__key__"].startswith(f"./{folder.name}/") for record in ours)
    other = [record for record in theirs([tmp_path / "out" / "x.tar"]) if not record["__key__"].endswith("/")]
    assert [record["__key__"] for record in ours] == [record["__key__"] for record in other]
    for mine, record in zip(ours, other, strict=True):
        assert same(mine["points"], record["points.npy"]) and same(mine["camera_k"], record["camera.npz"]["k"])
        assert same(mine["jpg"], record["jpg"]) and same(mine["txt"], record["txt"])


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_pythons_tarfile_with_names_that_are_not_ascii(tmp_path: Path, kind: int) -> None:
    names = [f"ä漢/{'w' * 80}/{i}" for i in range(3)]
    plain_tar(tmp_path / "x.tar", [(f"{n}.{e}", d) for i, n in enumerate(names) for e, d in sample(i).items()], kind)
    found = open_foreign(tmp_path)
    assert compare(found) == 3 * 9 + 2 and [record["__key__"] for record in records(found)] == names


def test_our_own_tars_without_their_catalog(toy: Any, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    for path in sorted((toy.root / "train").glob("frames-*.tar")):
        shutil.copy(path, tmp_path / "alone")
    found = open_foreign(tmp_path / "alone")
    ours = records(found)
    assert len(ours) == 12 and {entry.member for entry in found.left_out} == {
        "distance.blosc", "normal.blosc", "hdr.blosc"
    }  # fmt: skip
    for record in ours:
        values = toy.table()[record.pop("__key__")]
        assert set(record) == set(values) - {"distance", "normal", "hdr"}
        for name, value in record.items():
            assert same(value, np.asarray(values[name]) if isinstance(value, np.ndarray) else values[name])


MEMBERS = {
    "a.npy": st.sampled_from(["<f4", "i1", "<u8", "?", "<f2"]).flatmap(
        lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    ).map(npy),
    "b.npz": st.builds(npz, x=arrays("<i4", st.integers(0, 5)), y=arrays("u1", (2, 2))),
    "c.json": st.recursive(st.text(), lambda x: st.lists(st.none() | x)).map(json.dumps).map(str.encode),
    "id": st.integers(-(1 << 63), (1 << 63) - 1).map(lambda x: f" {x}\n".encode()),
    "d.txt": st.text().map(str.encode),
    "png": st.builds(picture, arrays("u1", array_shapes(min_dims=2, max_dims=2, max_side=4)), st.just("PNG")),
    "e.bin": st.binary(max_size=1500),
}  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(st.fixed_dictionaries({}, optional=MEMBERS), min_size=1, max_size=5), st.integers(0, 4))
def test_whatever_is_written_comes_back(tmp_path_factory: Any, samples: list[dict[str, bytes]], cut: int) -> None:
    folder = tmp_path_factory.mktemp("set")
    samples = [{"z.cls": b"1", **values} for values in samples]
    parts = samples[:cut], samples[cut:]
    for name, part in zip("ab", parts, strict=True):
        write(folder / f"{name}.tar", {f"k{i}": values for i, values in enumerate(part)})
    compare(open_foreign(folder))


# ---- the schema


def test_axes_that_always_agree_are_one_dimension_and_others_are_not(tmp_path: Path) -> None:
    for tar, numbers in (("a", (1, 1)), ("b", (2, 5))):  # inside one tar nothing varies, or only half of it
        many = {
            f"{tar}{i}": {
                "a.npy": np.zeros((n, 3)), "b.npy": np.zeros(n), "c.npy": np.zeros((2 * n, n)),
                "left.png": picture(RGB[:n], "PNG"), "mask.png": picture(GREY[:n], "PNG"),
                **({"late.npy": np.zeros(n)} if n == 5 else {"never.npy": np.zeros(n)}),
            }
            for i, n in enumerate(numbers)
        }  # fmt: skip
        write(tmp_path / f"{tar}.tar", many)
    found = open_foreign(tmp_path)
    shapes = {name: shape for name, (_, _, shape) in fields(found).items()}
    n = "a_length"
    assert shapes["a"] == (n, 3) and shapes["b"] == (n,) and shapes["c"] == ("c_length", n)
    assert shapes["left"] == (n, 8, 3) and shapes["mask"] == (n, 8) and shapes["late"] == (5,)
    assert shapes["never"] == (n,) and compare(found) == 4 * 6


def test_dimensions_that_no_record_compares_are_not_shared(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", {f"k{n}": {("a.npy", "b.npy")[n % 2]: np.zeros(n)} for n in range(1, 5)})
    assert {shape for _, _, shape in fields(open_foreign(tmp_path)).values()} == {("a_length",), ("b_length",)}


def test_pictures_of_several_kinds_come_as_rgb(tmp_path: Path) -> None:
    """ImageNet: a few grey and CMYK pictures among the others, and one PNG called `.JPEG`."""
    kinds = [
        ("JPEG", None),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("PNG", "P"),
        ("PNG", "RGBA"),
        ("PNG", "1"),
        ("PNG", "LA"),
    ]
    many = {str(i): {"JPEG": picture(RGB[i % 3 :], *kind)} for i, kind in enumerate(kinds)}
    plain_tar(tmp_path / "a.tar", [(f"{key}.JPEG", values["JPEG"]) for key, values in many.items()])
    found = open_foreign(tmp_path)
    assert fields(found) == {"jpeg": ("rgb", "uint8", ("jpeg_height", 8, 3))}
    for record, (key, values) in zip(records(found), many.items(), strict=True):
        expected = np.array(Image.open(io.BytesIO(values["JPEG"])).convert("RGB"))
        assert record["__key__"] == key and same(record["jpeg"], expected)


@pytest.mark.parametrize(
    ("array", "kind", "mode", "form"),
    [(RGB, "PNG", "P", ("png", "uint8", (6, 8))), (RGB, "PNG", "RGBA", ("png", "uint8", (6, 8, 4))),
     (GREY, "PNG", "LA", ("png", "uint8", (6, 8, 2))), (GREY > 9, "PNG", None, ("png", "bool", (6, 8))),
     (GREY, "JPEG", None, ("jpg", "uint8", (6, 8))), (RGB, "JPEG", "CMYK", ("rgb", "uint8", (6, 8, 3)))],
)  # fmt: skip
def test_pictures_of_one_kind_keep_it(tmp_path: Path, array: Any, kind: str, mode: str, form: tuple) -> None:
    write(tmp_path / "a.tar", {"k": {"x.jpg": picture(array, kind, mode)}})
    found = open_foreign(tmp_path)
    assert fields(found) == {"x": form} and len(records(found)) == 1


def test_progressive_jpeg_with_a_thumbnail_in_its_header(tmp_path: Path) -> None:
    stream, thumbnail = io.BytesIO(), picture(GREY[:2, :2], "JPEG")
    Image.fromarray(RGB).save(stream, "JPEG", progressive=True, exif=b"Exif\0\0" + thumbnail, icc_profile=bytes(70_000))
    write(tmp_path / "a.tar", {"k": {"jpg": stream.getvalue()}})
    assert compare(open_foreign(tmp_path)) == 1


def test_names_that_meet_keep_their_ending(tmp_path: Path) -> None:
    members = ["image.jpg", "image.png", "image_jpg.npy", "key.npy", "3d.npy", "a.b-c.npy", "ä.npy", "repeat.cls"]
    data = {"jpg": picture(RGB, "JPEG"), "png": picture(GREY, "PNG"), "npy": npy(GREY), "cls": b"1"}
    plain_tar(tmp_path / "a.tar", [(f"k.{name}", data[name.rpartition(".")[2]]) for name in members])
    named = {x.meaning.removeprefix("member "): x.name for x in open_foreign(tmp_path).catalog.tables["records"].fields}
    assert named == {
        "image.jpg": "image_jpg_2", "image.png": "image_png", "image_jpg.npy": "image_jpg_3", "key.npy": "key_npy",
        "3d.npy": "f_3d", "a.b-c.npy": "a_b_c", "ä.npy": "f__", "repeat.cls": "repeat_cls",
    }  # fmt: skip


def test_what_is_not_read_is_named_and_the_rest_is(tmp_path: Path) -> None:
    packed = io.BytesIO()
    np.savez_compressed(packed, x=GREY)
    odd = {
        "fortran.npy": npy(np.asfortranarray(RGB.astype(float))), "big.npy": npy(GREY.astype(">f4")),
        "words.npy": npy(np.array(["a"])), "short.npy": npy(GREY)[:-1], "packed.npz": packed.getvalue(),
        "no.npz": b"no", "no.jpg": b"no", "no.cls": b"1.5", "huge.cls": b"9" * 19, "x.mp4": b"", "x.pth": b"",
    }  # fmt: skip
    write(tmp_path / "a.tar", {"k": {"good.npy": GREY, **odd}, "l": {"good.npy": GREY, "no.jpg": picture(RGB, "JPEG")}})
    write(tmp_path / "b.tar", {"m": {"good.npy": GREY.astype(np.int8)[:0], "fortran.npy": npy(GREY)}})
    found = open_foreign(tmp_path)
    why = {entry.member: entry for entry in found.left_out}
    assert set(why) == {*odd, "packed.npz/x", "good.npy"} - {"packed.npz"} and set(fields(found)) == {"no", "fortran"}
    assert "Fortran order" in why["fortran.npy"].why and "big-endian" in why["big.npy"].why
    assert "pickle" in why["x.pth"].why and "compressed" in why["packed.npz/x"].why
    assert why["good.npy"].why == "records differ: uint8 with 2 axes in 2, int8 with 2 axes in 1"
    assert why["no.jpg"].records == 1 and why["no.jpg"].example == "a.tar, k"
    assert [sorted(set(record) - {"__key__"}) for record in records(found)] == [[], ["no"], ["fortran"]]


def test_underscored_and_hidden_members_are_passed_over_as_webdataset_does(tmp_path: Path) -> None:
    names = [
        "__meta__",
        "__x__/a.json",
        "__y__.json",
        ".hidden.json",
        "noending",
        "a.json",
        "d.e/b.json",
        "__init__.json",
    ]
    plain_tar(tmp_path / "a.tar", [(name, b"1") for name in names])
    assert compare(open_foreign(tmp_path)) == 4


# ---- folders and splits


def test_splits_are_folders_or_how_names_begin(tmp_path: Path) -> None:
    names = ["Train Set/a-1.tar", "val/deep/a.tar", "val-000.tar", "validation_1.tar", "tests.tar", "x-10.tar"]
    for name in [*names, ".hidden/x.tar", f"{FOLDER}/x.tar", ".x.tar", "x.parquet"]:
        write(tmp_path / name, {"k": {"cls": 1}})
    splits = {tar.path: tar.split for tar in find_tars(tmp_path)}
    assert [splits[name] for name in names] == ["train_set", "val", "val", "validation", "train", "train"]
    shutil.rmtree(tmp_path / FOLDER)
    found = open_foreign(tmp_path)
    assert found.catalog.groups == {"train_set": 1, "val": 2, "validation": 1, "train": 2}
    assert compare(found, "val") == 2


def test_second_opening_reads_no_tar_and_a_changed_one_is_read_anew(tmp_path: Path, monkeypatch: Any) -> None:
    from tessera.datasets import foreign_index

    for name in "ab":
        write(tmp_path / f"{name}.tar", {"k": {"x.npy": GREY}})
    first, read = open_foreign(tmp_path), []
    scan = foreign_index.scan_tar
    monkeypatch.setattr(foreign_index, "scan_tar", lambda path: (read.append(path.name), scan(path))[1])
    assert open_foreign(tmp_path) == first and not read
    state = (tmp_path / "b.tar").stat()
    write(tmp_path / "b.tar", {"k": {"x.npy": GREY[:2]}})  # same size of the file
    os.utime(tmp_path / "b.tar", ns=(0, state.st_mtime_ns + 1))
    second = open_foreign(tmp_path)
    assert read == ["b.tar"] and fields(second)["x"][2] == ("x_length", 8) and compare(second) == 2
    assert first.index_root.exists()  # a reader of the state before goes on
    write(tmp_path / "c.tar", {"k": {"x.npy": GREY}})
    third = open_foreign(tmp_path)
    assert read == ["b.tar", "c.tar"] and compare(third) == 3 and not first.index_root.exists()
    assert len(list((tmp_path / FOLDER / "scans").iterdir())) == 3


def test_same_tars_give_the_same_bytes_and_damaged_indexes_are_made_again(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", {f"{i:04d}": sample(i) for i in range(3)})

    def files() -> dict[str, bytes]:
        root = tmp_path / FOLDER
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    open_foreign(tmp_path)
    before = files()
    shutil.rmtree(tmp_path / FOLDER)
    open_foreign(tmp_path, threads=1)
    assert files() == before and not any(".tmp" in name for name in before)
    for damage in (b"", b"{}", b"[1]", b'{"catalog": {}, "have": 1, "left_out": []}'):
        for name in before:
            if name != "lock":
                (tmp_path / FOLDER / name).write_bytes(damage)
        open_foreign(tmp_path)
        assert files() == before


def test_read_only_folders_are_indexed_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "set" / "a.tar", {"k": {"cls": 1}})
    (tmp_path / "set" / FOLDER).write_text("")  # in the way, also of a user who may write everywhere
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = open_foreign(tmp_path / "set")
    assert found.index_root.is_relative_to(tmp_path / "cache" / "tessera" / "index") and compare(found) == 1
    assert open_foreign(tmp_path / "set", index_dir=tmp_path / "own").index_root.is_relative_to(tmp_path / "own")
    with pytest.raises(FormatError, match=r"no place for the index .*--index-dir"):
        open_foreign(tmp_path / "set", index_dir=tmp_path / "set" / "a.tar" / "x")


def test_processes_that_index_at_once_see_one_whole_index(tmp_path: Path) -> None:
    for name in "abcd":
        write(tmp_path / f"{name}.tar", {f"{name}{i}": sample(i) for i in range(20)})
    code = "import sys; from tessera.datasets.foreign_index import open_foreign as o; print(o(sys.argv[1]).index_root)"
    running = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    said = {process.communicate()[0].strip() for process in running}
    assert said == {str(open_foreign(tmp_path).index_root)} and {process.returncode for process in running} == {0}
    assert compare(open_foreign(tmp_path)) == 4 * 20 * 9 + 40
