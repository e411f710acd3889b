"""Streams that decode only the window of JPEG pictures give what streams that decode the whole give."""

import shutil

import numpy as np
import pytest
from tessera.datasets import Field, FormatError, Reference, Schema, SchemaError, Stream
from tessera.datasets.loading import decoders
from tessera.datasets.transforms import load_transform
from tessera.datasets.transforms.random_crop import RandomCrop

from ..stream_data import Rows, same_batch, write_set

SIDES = {"height": 150, "width": 203}
FIELDS = (
    Field("image", "uint8", ("height", "width", 3), "jpg"),
    Field("grey", "uint8", ("height", "width"), "jpg", optional=True),
    Field("place", "float32", ("height", "width", 2), "npy", unit="metre", frame="camera"),
    Field("intrinsics", "float64", (3, 3), "npz"),
)


class Whole(RandomCrop):
    """The same, but it may look at all pixels: nobody knows what a class made from it does."""

    def __call__(self, record, rng=None, window=None):
        """The same."""
        assert window is None
        return super().__call__(record, rng)


def noise(seed, *shape):
    return np.random.default_rng(seed).integers(0, 255, shape, np.uint8)


def record(number, height=150, width=203):
    values = {"image": noise(number, height, width, 3), "place": np.full((height, width, 2), number, np.float32)}
    values |= {"grey": noise(number + 50, height, width)} if number % 2 else {}
    return values | {"intrinsics": np.array([[100.0, 0.2, 90], [0, 110, 70], [0, 0, 1]])}


def written(folder, sides, records, count=6):
    listed = [
        (
            f"g-{i:02d}",
            value,
            {"other": f"g-{(i + 1) % count:02d}", "more": [f"g-{(i + k) % 6:02d}" for k in range(i % 3)]},
        )
        for i, value in enumerate(records)
    ]
    references = Reference("other", "pictures"), Reference("more", "pictures", many=True)
    schema = Schema(FIELDS, sides, references=references)
    return write_set(folder / "set", {"pictures": Rows(schema, {"train": [listed]})})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return written(tmp_path_factory.mktemp("windowed"), SIDES, [record(i) for i in range(6)])


@pytest.fixture(scope="module")
def ragged(tmp_path_factory):
    records = [record(i, 60 + 20 * i, 250 - 30 * i) for i in range(6)]
    return written(tmp_path_factory.mktemp("ragged"), {"height": None, "width": None}, records)


@pytest.fixture
def decoded(monkeypatch):
    """Shapes that were decoded."""
    shapes, jpeg_into = [], decoders.jpeg_into
    monkeypatch.setattr(decoders, "jpeg_into", lambda data, out: shapes.append(out.shape) or jpeg_into(data, out))
    return shapes


def streams(root, options, more=(), **others):
    for kind in (RandomCrop, Whole):
        yield Stream(root, transforms=[kind(**{"size": 40, **options}), *more], **{"batch_size": 4, **others})


@pytest.mark.parametrize(
    "options",
    [{}, {"size": (33, 90)}, {"resize": (0.1, 0.4), "ratio": 1.3}, {"centre": True}, {"nearest": ["image"]},
     {"resize": (0.2, 0.9), "nearest": ["image"]}, {"size": (150, 203)}],
)  # fmt: skip
@pytest.mark.parametrize("threads", [0, 2])
def test_windows_are_those_of_the_whole_picture(root, options, threads):
    ours, whole = streams(root, options, [load_transform("random_flip")], threads=threads)
    assert ours.reader.asked.windowed == {"image", "grey"} and not whole.reader.asked.windowed
    for _ in range(3):
        for one, other in zip(ours, whole, strict=True):
            same_batch(one, other)
    keys = [f"g-{i:02d}" for i in (3, 1, 1, 5)]
    same_batch(ours.get(keys), whole.get(keys))
    ours.close(), whole.close()


def test_only_the_window_is_decoded(root, decoded):
    """Rows of eight, columns of an interval: 26 blocks of a row are intervals of 13."""
    (ours, whole) = streams(root, {"centre": True, "size": (40, 60)}, fields=["image"], batch_size=6, threads=0)
    list(ours)
    assert decoded == [(40 + 8, 203, 3)] * 6, "the window's columns lie in both intervals"
    decoded.clear()
    (batch,) = whole
    assert decoded == [(150, 203, 3)] * 6 and batch["image"].shape == (6, 40, 60, 3)


def test_pictures_of_all_sizes(ragged, decoded):
    for ours, whole in (streams(ragged, {}), streams(ragged, {"resize": (0.2, 0.5)})):
        for one, other in zip(ours, whole, strict=True):
            same_batch(one, other)
    whole = {(*(60 + 20 * i, 250 - 30 * i), *colours) for i in range(6) for colours in ((), (3,))}
    assert set(decoded) - whole, "some were cut"


@pytest.mark.parametrize("of", ["other", "more", "other.more"])
def test_windows_of_pictures_behind_references(root, of):
    fields = ["image", *(f"{of}.{name}" for name in ("image", "grey", "place", "intrinsics"))]
    ours, whole = streams(root, {"of": of}, fields=fields, batch_size=6)
    assert ours.reader.windowed and not whole.reader.windowed
    for one, other in zip(ours, whole, strict=True):
        same_batch(one, other)


@pytest.mark.parametrize("kind", [RandomCrop, Whole])
@pytest.mark.parametrize("sides", [SIDES, {"height": None, "width": None}])
@pytest.mark.parametrize("behind", ["", "other."])
def test_pictures_that_no_record_of_a_few_has_come_in_the_shape_of_the_others(tmp_path, kind, sides, behind):
    """A batch, and each of the pieces that it is made of, is alike whether its records have the picture or not."""
    records = [record(i) for i in range(24)]
    for i, values in enumerate(records):
        values.pop("grey", None)
        if i in (13, 14):
            values["grey"] = noise(i, 150, 203)
    root = written(tmp_path, sides, records, 24)
    crop, name = kind(40, of=behind[:-1]), f"{behind}grey"

    def floats(values):
        return {**values, name: values[name].astype(np.float32)} if name in values else values

    for size in (2, 5, 24):
        for order in ("sequential", "global"):
            fields = [f"{behind}image", name]
            batches = list(Stream(root, fields=fields, transforms=[crop, floats], batch_size=size, order=order))
            assert {(batch[name].shape[1:], str(batch[name].dtype)) for batch in batches} == {
                ((40, 40), "torch.float32")
            }
            assert len({frozenset(batch) for batch in batches}) == 1
            assert sum(int(batch[f"{name}.present"].sum()) for batch in batches) == 2
            assert all(not batch[name][~batch[f"{name}.present"]].any() for batch in batches)


def test_a_picture_that_nobody_has_stays_as_it_is(tmp_path):
    root = written(tmp_path, SIDES, [{k: v for k, v in record(i).items() if k != "grey"} for i in range(3)], 3)
    (batch,) = Stream(root, transforms=[RandomCrop(40)], batch_size=3)
    assert not batch["grey.present"].any() and batch["image"].shape == (3, 40, 40, 3)


def test_transforms_with_a_window_of_their_own_meaning(root):
    class Mine:
        window = 243

        def __call__(self, record):
            return record

    class More(RandomCrop):
        def window(self, height, width, rng):
            return super().window(height, width, rng)

    for transform in (Mine(), More(40)):
        stream = Stream(root, transforms=[transform], batch_size=6)
        assert not stream.reader.windowed and len(list(stream)) == 1


def test_what_cannot_be_cut_is_told_as_ever(ragged):
    for options in ({"size": 100}, {"size": (61, 40)}):
        told = []
        for stream in streams(ragged, options, batch_size=6, order="sequential"):
            with pytest.raises(SchemaError, match="have no window of") as caught:
                list(stream)
            told.append((str(caught.value), caught.value.__notes__))
        assert told[0] == told[1]


def test_not_where_others_come_first_or_pictures_are_decoded_smaller(root):
    for first in (load_transform("photometric_jitter"), lambda r: r):
        assert not Stream(root, transforms=[first, RandomCrop(40)]).reader.asked.windowed
    smaller = Stream(root, transforms=[RandomCrop(20, resize=(0.5, 1), reduced=True)])
    assert smaller.reader.asked.reduced["image"] == 4 and not smaller.reader.asked.windowed
    assert not Stream(root, fields=["image", "grey"]).reader.asked.windowed


def test_damage_in_a_window_is_found_and_elsewhere_by_checksums(root, tmp_path):
    """Without checksums, damage that is not looked at does no harm; the codes of an interval end with it."""
    shutil.copytree(root, tmp_path / "set")
    stream = Stream(tmp_path / "set", fields=["image"])
    (tar,) = (tmp_path / "set").rglob("*.tar")
    place = stream.reader.records.rows(0).places["image"]
    first, size = place.offset.item(0), place.size.item(0)
    data = bytearray(tar.read_bytes())
    for at in range(
        first + size - 200, first + size - 2
    ):  # the last row of blocks: zeros are the wrong number of codes
        data[at] = 0
    tar.write_bytes(data)
    options = {"fields": ["image"], "batch_size": 6}
    with pytest.raises(FormatError, match="checksum differs"):
        list(Stream(tmp_path / "set", transforms=[RandomCrop(40, centre=True)], **options))
    for size, damaged in ((40, False), (150, True)):
        crops = [RandomCrop((size, 40), centre=True)]
        stream = Stream(tmp_path / "set", transforms=crops, checksums=False, **options)
        if damaged:
            with pytest.raises(FormatError, match="g-00, field image: JPEG picture is damaged"):
                list(stream)
        else:
            (batch,) = stream
            (expected,) = Stream(root, transforms=crops, **options)
            same_batch(batch, expected)
