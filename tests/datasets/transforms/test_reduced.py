"""Pictures that are decoded at a half, a quarter or an eighth: a picture whose colours are its own coordinates tells
whether windows, cameras and the other pictures still fit."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tessera.datasets import Field, FormatError, Reference, Schema, Stream, UsageError
from tessera.datasets.transforms import load_transform

from ..stream_data import Rows, same_batch, write_set

HEIGHT, WIDTH = 150, 203  # no multiples of eight
PAIR = {"height": HEIGHT, "width": WIDTH}
FIELDS = (
    Field("image", "uint8", ("height", "width", 3), "jpg", options={"quality": 100}),
    Field("place", "float32", ("height", "width", 2), "npy", unit="metre", frame="camera"),
    Field("intrinsics", "float64", (3, 3), "npz"),
    Field("pixels", "float64", (5, 2), "npz", unit="pixels"),
)


def coordinates(height=HEIGHT, width=WIDTH):
    """(height, width, 2) x and y of the pixels' centres, corner origin."""
    return np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1)


def record(number, height=HEIGHT, width=WIDTH):
    at = coordinates(height, width)
    shades = np.rint(at * (255 / width, 255 / height)).astype(np.uint8)
    rng = np.random.default_rng(number)
    return {
        "image": np.concatenate([shades, np.full_like(shades[..., :1], 128)], -1),
        "place": coordinates().astype(np.float32),
        "intrinsics": np.array([[100.0, 0.2, 90], [0, 110, 70], [0, 0, 1]]),
        "pixels": rng.uniform(0, HEIGHT, (5, 2)),
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    listed = [(f"g-{i:02d}", record(i), {"other": f"g-{(i + 1) % 6:02d}"}) for i in range(6)]
    schema = Schema(FIELDS, PAIR, references=(Reference("other", "pictures"),))
    return write_set(tmp_path_factory.mktemp("reduced") / "set", {"pictures": Rows(schema, {"train": [listed]})})


def crop(**options):
    return load_transform("random_crop", **{"size": (20, 30), "resize": (0.4, 1), "ratio": 1.2, **options})


def check_coordinates(image, place, intrinsics, size, error):
    """Every pixel shows what the camera says that lies there, and the other picture shows the same."""
    old = record(0)["intrinsics"]
    new_to_old = old @ np.linalg.inv(intrinsics)
    pixels = coordinates(*size)
    wanted = pixels @ new_to_old[:2, :2].T + new_to_old[:2, 2]
    shown = image[..., :2].astype(float) / (255 / WIDTH, 255 / HEIGHT)
    assert np.abs(shown - wanted).max() < error and np.abs((shown - wanted).mean((0, 1))).max() < 0.2
    step = np.array([new_to_old[0, 0], new_to_old[1, 1]])
    assert (np.abs(place - wanted) <= step / 2 + 1e-3).all(), "the nearest pixel's own place"
    return step


@pytest.mark.parametrize(("size", "factor"), [((80, 100), 1), ((40, 50), 2), ((20, 30), 4), ((10, 14), 8)])
def test_pictures_show_what_the_camera_says(root, size, factor):
    transform = crop(size=size)
    stream = Stream(root, transforms=[crop(size=size, reduced=True)], batch_size=3)
    assert stream.reader.asked.reduced == {"image": factor} and transform.reduced is False
    seen = set()
    for _ in range(6):
        for batch in stream:
            for image, place, intrinsics in zip(*(batch[x].numpy() for x in FIELD_NAMES), strict=True):
                step = check_coordinates(image, place, intrinsics, size, 2 + factor)
                corner = -(intrinsics[:2, 2] * step - record(0)["intrinsics"][:2, 2])
                np.testing.assert_allclose(corner / factor, np.rint(corner / factor), atol=1e-6)
                seen.add(tuple(np.rint(corner).tolist()))
    assert len(seen) > 12, "windows are drawn"


FIELD_NAMES = ("image", "place", "intrinsics")


def test_the_centre_is_decoded_smaller_too(root):
    stream = Stream(root, transforms=[crop(size=(37, 50), resize=(1, 1), centre=True, reduced=True)], batch_size=6)
    assert stream.reader.asked.reduced == {"image": 4}
    (batch,) = stream
    check_coordinates(*(batch[x][0].numpy() for x in FIELD_NAMES), (37, 50), 6)


def test_pixels_follow(root):
    stream = Stream(root, transforms=[crop(reduced=True)], batch_size=6, draws="fixed", order="sequential")
    (batch,) = stream
    for number in range(6):
        old_to_new = batch["intrinsics"][number].numpy() @ np.linalg.inv(record(0)["intrinsics"])
        wanted = record(number)["pixels"] @ old_to_new[:2, :2].T + old_to_new[:2, 2]
        np.testing.assert_allclose(batch["pixels"][number].numpy(), wanted, atol=1e-9)
    same_batch(stream.get([f"g-{i:02d}" for i in range(6)]), batch)


def test_pictures_behind_a_reference(root):
    names = [f"other.{name}" for name in FIELD_NAMES]
    stream = Stream(root, fields=["image", *names], transforms=[crop(of="other", reduced=True)], batch_size=6)
    (batch,) = stream
    assert batch["image"].shape == (6, HEIGHT, WIDTH, 3), "the record's own stays"
    for values in zip(*(batch[x].numpy() for x in names), strict=True):
        check_coordinates(*values, (20, 30), 6)


def test_one_transform_given_to_two_streams_serves_both(root, tmp_path):
    """Each stream tells its own copy how large its pictures are; copies share nothing."""
    half = {"height": HEIGHT // 2, "width": WIDTH // 2}
    values = record(1, *half.values()) | {"place": coordinates(*half.values()).astype(np.float32)}
    schema = Schema(FIELDS, half)
    small = write_set(tmp_path / "set", {"pictures": Rows(schema, {"train": [[("g-0", values, {})]]})})
    transform = crop(size=(40, 50), reduced=True)
    first = Stream(root, transforms=[transform], batch_size=6)
    second = Stream(small, transforms=[transform])
    assert (first.reader.asked.reduced, second.reader.asked.reduced) == ({"image": 2}, {"image": 1})
    assert transform._whole == {}
    for batch in first:
        for values in zip(*(batch[x].numpy() for x in FIELD_NAMES), strict=True):
            check_coordinates(*values, (40, 50), 4)
    (batch,) = second
    assert batch["image"].shape[1:] == (40, 50, 3)


def test_off_by_default_and_labels_stay_whole(root):
    plain = Stream(root, transforms=[crop()], batch_size=2)
    assert plain.reader.asked.reduced == {}
    nearest = Stream(root, transforms=[crop(nearest=["image"], reduced=True)], batch_size=2)
    assert nearest.reader.asked.reduced == {"image": 1}


@settings(max_examples=200)
@given(st.integers(9, 300), st.integers(9, 300), st.integers(1, 60), st.integers(1, 60), st.floats(0.05, 1),
       st.floats(1, 3), st.integers(0, 9))  # fmt: skip
def test_no_window_is_enlarged_and_the_factor_is_the_largest(height, width, rows, columns, share, ratio, seed):
    transform = crop(size=(rows, columns), resize=(share, 1), ratio=ratio, reduced=True)
    transform.bind({field.name: field for field in FIELDS})
    factor = transform.reduction("image", FIELDS[0], height, width)
    rng = np.random.default_rng(seed)
    if factor > 1:
        for _ in range(20):
            _, _, wide, high = transform._window(height // factor, width // factor, rng)
            assert high >= rows and wide >= columns
    assume(factor < 8)
    small = crop(size=(rows, columns), resize=(share, share), ratio=ratio)
    least = [
        small._extent(height // factor // 2, width // factor // 2, share, x) for x in np.geomspace(1 / ratio, ratio)
    ]
    assert any(high < rows or wide < columns for high, wide in least)


def test_a_picture_of_another_size_is_refused_though_its_half_has_the_same(tmp_path):
    values = record(0, HEIGHT - 1, WIDTH) | {"intrinsics": np.eye(3)}
    schema = Schema((Field("image", "uint8", ("height", "width", 3), "jpg"),), PAIR | {"height": HEIGHT - 1})
    root = write_set(tmp_path / "set", {"p": Rows(schema, {"train": [[("g-0", {"image": values["image"]}, {})]]})})
    catalog = root / "dataset.json"
    assert -(-HEIGHT // 2) == -(-(HEIGHT - 1) // 2) and catalog.read_text().count(f'"height": {HEIGHT - 1}') == 1
    catalog.write_text(catalog.read_text().replace(f'"height": {HEIGHT - 1}', f'"height": {HEIGHT}'))
    stream = Stream(root, transforms=[crop(size=(40, 50), reduced=True)])
    assert stream.reader.asked.reduced == {"image": 2}
    with pytest.raises(FormatError, match=rf"picture size .* is \({HEIGHT - 1}, {WIDTH}\), the schema says"):
        list(stream)


def test_mistakes(root):
    with pytest.raises(UsageError, match="reduced goes with resize"):
        crop(resize=None, reduced=True)
    with pytest.raises(UsageError, match="random_crop: with reduced=True it goes first"):
        Stream(root, transforms=[load_transform("photometric_jitter"), crop(reduced=True)])
