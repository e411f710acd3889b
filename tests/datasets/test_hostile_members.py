"""Tars and samples of strangers: members that lie, leave their folder or are no files; pickles in arrays."""

import io
import pickle
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import webdataset
from tessera.datasets import FormatError, record_decoder, tar_paths, verify
from tessera.datasets.index import index_bytes, read_facts, read_rows
from tessera.datasets.verify import file_sha256

from .trap import Trap, nothing_ran  # noqa: F401


def object_npy(canary: Path) -> bytes:
    """A `.npy` file of dtype object: a pickle behind an ordinary header."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.array([Trap(canary)], object), allow_pickle=True)
    return stream.getvalue()


def header(descr: str, shape: tuple[int, ...], data: bytes = b"", **changes: object) -> bytes:
    """A `.npy` file whose header says what it likes."""
    stream = io.BytesIO()
    values = {"descr": descr, "fortran_order": False, "shape": shape} | changes
    np.lib.format.write_array_header_1_0(stream, values)
    return stream.getvalue() + data


def npz(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def sample_of(toy) -> dict[str, bytes]:
    """The first record of the data set as WebDataset gives it."""
    return next(iter(webdataset.WebDataset(tar_paths(toy.root, "frames", "val"), shardshuffle=False)))


# ---- samples that another loader took from a tar


def test_the_trap_is_one(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").is_dir()


def test_pickles_in_samples_are_never_run(toy, canary: Path) -> None:
    decode, sample = record_decoder(toy.root, "frames"), sample_of(toy)
    trap = pickle.dumps(Trap(canary))
    inside = npz({"pose.npy": object_npy(canary), "scale.npy": trap})
    traps = dict.fromkeys(("sdf.npy", "meta.json", "ids.png", "image.jpg", "distance.blosc", "hdr.blosc"), trap)
    for name, data in (traps | {"points.npy": object_npy(canary), "labels.npz": inside}).items():
        with pytest.raises(FormatError, match=r"s3-0000, field"):
            decode({**sample, name: data})
    with pytest.raises(FormatError, match=r"record s3-0000"):
        decode({**sample, "labels.npz": trap})


@pytest.mark.parametrize(
    "data",
    [
        header("<f4", (1 << 40, 3)),
        header("<f4", (1 << 62, 3)),
        header("<f4", (-1, 3)),
        header("<f4", (0, 3), b"more"),
        header("<f4", (2, 4), bytes(32)),
        header("<f4", (6,), bytes(24)),
        header("<f8", (1, 3), bytes(24)),
        header("|O", (2, 3), bytes(24)),
        header("<f4", (2, 3), bytes(24), fortran_order=True),
        header("<f4", (2, 3), bytes(23)),
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
        b"\x93NUMPY\x02\x00" + bytes(100),
        b"\x93NUMPY\x01\x00\x76\x00{'descr': __import__('os').mkdir('canary'), 'fortran_order': False, 'shape': (2,3)}",
        b"",
    ],
)
def test_npy_headers_that_lie(toy, data: bytes) -> None:
    """numpy's own reader takes memory for what a header says before it looks whether it is there."""
    with pytest.raises(FormatError, match=r"s3-0000, field points: \.npy"):
        record_decoder(toy.root, "frames", fields=("points",))({**sample_of(toy), "points.npy": data})


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_small_arrays_that_inflate_are_refused(toy, method: int) -> None:
    bomb = npz({"pose.npy": header("<f8", (4, 4), bytes(1 << 24))}, method)
    assert len(bomb) < 1 << 17
    with pytest.raises(FormatError, match=r"record s3-0000.*compressed, or larger than its"):
        record_decoder(toy.root, "frames")({**sample_of(toy), "labels.npz": bomb})


@pytest.mark.parametrize("keep", [0, 10, 100, -30])
def test_cut_samples_are_named(toy, keep: int) -> None:
    sample = sample_of(toy)
    decode = record_decoder(toy.root, "frames")
    for name in ("labels.npz", "points.npy", "distance.blosc", "ids.png"):
        with pytest.raises(FormatError, match="s3-0000"):
            decode({**sample, name: sample[name][:keep]})


# ---- tars


def poisoned(toy, *members: tarfile.TarInfo, form: int = tarfile.USTAR_FORMAT, data: bytes = b"") -> None:
    """The shard `train/frames-000001` with further members in front, everything else made to fit."""
    head = b"".join(member.tobuf(form) + data for member in members)
    toy.tar().write_bytes(head + toy.tar().read_bytes())
    facts = read_facts(toy.index())
    rows = read_rows(toy.index()).to_pylist()
    facts = replace(facts, tar_bytes=toy.tar().stat().st_size, tar_sha256=file_sha256(toy.tar()))
    schema = toy.dataset.catalog.tables["frames"]
    for row in rows:
        row.update({name: row[name] + len(head) for name in row if name.endswith(".offset") and row[name] is not None})
    toy.index().write_bytes(index_bytes(schema, rows, facts))
    toy.catalog()


def member(name: str, **values: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in values.items():
        setattr(info, key, value)
    return info


HOSTILE = {
    "parent": member("../../escaped.npy"),
    "absolute": member("/tmp/escaped.npy"),
    "hidden": member(".bashrc"),
    "symbolic link": member("s2-0000.points.npy", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard link": member("s2-0000.points.npy", type=tarfile.LNKTYPE, linkname="../../x"),
    "device": member("s2-0000.points.npy", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    "pipe": member("s2-0000.points.npy", type=tarfile.FIFOTYPE),
    "folder": member("s2-0000.points.npy", type=tarfile.DIRTYPE),
    "escape": member("s2\x1b[2J.points.npy"),
    "sparse": member("s2-0000.points.npy", type=tarfile.GNUTYPE_SPARSE),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_tar_members_that_are_no_records_are_found_and_never_unpacked(toy, tmp_path: Path, name: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    poisoned(toy, HOSTILE[name])
    found = [problem for _, problems in verify(toy.root) for problem in problems]
    assert len(found) == 1 and "is no record's; do not unpack it" in found[0], found
    np.testing.assert_array_equal(
        toy.table()["s2-0000"]["points"], toy.values["frames"]["s2-0000"]["points"], "read by place, not by name"
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_tar_without_end_is_not_followed(toy) -> None:
    """Python's tarfile goes back for a size below zero, for ever (CVE-2025-8194)."""
    info = member("s2-0000.points.npy")
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = tarfile.itn(-512, 12, tarfile.GNU_FORMAT)
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block))[0]
    toy.tar().write_bytes(bytes(block) + toy.tar().read_bytes())
    poisoned(toy)
    assert any("do not unpack it" in problem for _, found in verify(toy.root) for problem in found)


def test_long_names_and_further_headers_are_no_records(toy) -> None:
    poisoned(toy, member("x" * 300 + ".points.npy"), form=tarfile.PAX_FORMAT)
    assert any("do not unpack it" in problem for _, found in verify(toy.root) for problem in found)


def test_noise_in_place_of_a_header_is_a_problem(toy) -> None:
    toy.tar().write_bytes(np.random.default_rng(0).bytes(512) + toy.tar().read_bytes())
    poisoned(toy)
    assert [name for name, found in verify(toy.root) if found] == ["train/frames-000001.parquet"]
