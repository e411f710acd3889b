"""Texts, keys and encoded bytes of strangers under a stream: data, never control; refused, never a crash."""

import io
import logging
import pickle
import struct
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tessera.datasets import FormatError, Stream, TesseraError
from tessera.datasets.index import read_rows
from tessera.datasets.loading.decoders import decoder
from tessera.datasets.members import checksums

from .stream_damage import FIELDS, edited, frames, refused, replace, rewrite, sequence
from .trap import Trap, nothing_ran  # noqa: F401

KEY = "s2-0002"


# ---- dtypes, keys, texts


@pytest.mark.parametrize("dtype", [">f4", "longdouble", "<f4", ">i8", "uint16", "float16", "bool"])
def test_dtypes_that_torch_does_not_have(toy: Any, dtype: str) -> None:
    edited(toy.root, lambda values: values["tables"]["frames"]["fields"][7].update(dtype=dtype))
    refused(toy.root, "pose", fields=["pose"])


def test_texts_of_strangers_come_as_data_and_never_as_control(
    toy: Any, caplog: pytest.LogCaptureFixture, canary: Path
) -> None:
    bad = "\x1b[2J[/x]{0}%s\n"
    rewrite(toy, lambda row: row.update({"camera": bad, "neighbours": [bad], "scene": bad}))
    for fields in (["camera", "scale"], ["neighbours"], ["scene"]):
        with frames(toy.root, fields=fields, threads=0) as stream:
            assert bad in str([batch[fields[0]] for batch in stream]).encode().decode("unicode_escape")
    with caplog.at_level(logging.WARNING), frames(toy.root, fields=["scene.cloud"], on_error="skip") as stream:
        list(stream)
    assert caplog.messages and all(message.isprintable() for message in caplog.messages)
    assert all(text.isprintable() for text in stream.stats().skipped_errors)


def test_keys_that_are_none_never_reach_a_user(toy: Any) -> None:
    rewrite(toy, lambda row: row.update(key="../\x1b[2J") if row["key"] == KEY else None)
    refused(toy.root, "holds a key that is none", fields=["scale"])


def test_keys_of_foreign_tars_are_plain_in_messages(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for number in range(4):
            info = tarfile.TarInfo(f"\x1b[2J[/x]{number}.jpg")
            data = io.BytesIO()
            Image.new("RGB", (8, 6)).save(data, "JPEG")
            info.size = len(data.getvalue())
            tar.addfile(info, io.BytesIO(data.getvalue()))
    try:
        with Stream(tmp_path, threads=0) as stream:
            keys = [key for batch in stream for key in batch["key"]]
            whole = (tmp_path / "x.tar").read_bytes()
            (tmp_path / "x.tar").write_bytes(whole.replace(b"\xff\xda", b"\xff\x00"))
        assert len(keys) == 8
        with Stream(tmp_path, threads=0) as stream:
            list(stream)
    except TesseraError as error:
        assert "\x1b" not in str(error)


def test_pickles_in_members_are_never_run(toy: Any, canary: Path) -> None:
    trap = pickle.dumps(Trap(canary))
    for field in ("image", "ids", "normal", "meta", "pose", "points"):
        size = read_rows(toy.index()).to_pylist()[2][f"{field}.size"]
        replace(toy, KEY, field, (trap * 9)[:size])
    refused(toy.root, KEY, fields=FIELDS)
    assert sequence(toy.root)


# ---- bytes that decoders are given, with the right checksum


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, head: bytes, *middle: bytes, data: bytes = b"") -> bytes:
    first = chunk(b"IHDR", struct.pack(">II", width, height) + head)
    return b"\x89PNG\r\n\x1a\n" + first + b"".join(middle) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


RGB, GREY = bytes([8, 2, 0, 0, 0]), bytes([8, 0, 0, 0, 0])


def test_pictures_that_lie_about_what_is_inside() -> None:
    out = np.empty((6, 8, 3), np.uint8)
    lines = bytes(6 * 25)
    decoder("png")(memoryview(png(8, 6, RGB, data=lines)), out)
    decoder("png")(memoryview(png(8, 6, RGB, chunk(b"tRNS", bytes(6)), data=lines)), out)
    assert not out.any()
    for bad in (
        png(8, 6, RGB, data=bytes(10)), png(8, 6, GREY, data=lines), png(8, 6, bytes([8, 3, 0, 0, 0]), data=lines),
        png(8, 6, bytes([8, 2, 0, 0, 9]), data=lines), png(1 << 31, 6, RGB, data=lines), png(8, 6, RGB)[:45],
        png(8, 6, bytes([3, 7, 1, 1, 1]), data=lines),
    ):  # fmt: skip
        with pytest.raises(FormatError):
            decoder("png")(memoryview(bad), out)


FUZZ = """
import io, sys, numpy as np
from PIL import Image
from tessera.datasets.codecs import CODECS
from tessera.datasets.errors import FormatError
from tessera.datasets.loading.decoders import decoder
rng = np.random.default_rng(int(sys.argv[1]))
picture = np.cumsum(rng.integers(0, 3, (40, 56, 3)), 0).astype(np.uint8)
for codec, array in (("jpg", picture), ("png", picture), ("png", picture[..., 0].astype(np.uint16)), ("rgb", picture),
                     ("blosc", np.repeat(picture, 9).astype(np.float32)), ("cls", np.array(7)), ("npy", None)):
    if array is None:
        continue
    good, refused = CODECS[codec].encode(array, {})[0], 0
    for number in range(500):
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 5))):
            data[int(rng.integers(len(data) if number % 2 else min(64, len(data))))] = int(rng.integers(256))
        if number % 5 == 0:
            data = data[: int(rng.integers(len(data)))]
        try:
            decoder(codec)(memoryview(data), np.empty(array.shape, array.dtype))
        except FormatError:
            refused += 1
    assert refused > 50, codec
print("end")
"""


@pytest.mark.parametrize("seed", [0, 1])
def test_noise_in_members_is_refused_and_crashes_nothing(seed: int) -> None:
    command = [sys.executable, "-W", "ignore", "-X", "faulthandler", "-c", FUZZ, str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr[-2000:]


def test_the_checksum_helper_of_these_tests_is_that_of_the_format() -> None:
    assert checksums(b"abc", fine=True) == (zlib.crc32(b"abc"),)
