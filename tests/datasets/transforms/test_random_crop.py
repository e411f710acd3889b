"""Random crop: what was projected to its pixel still is; windows are exact; resizing agrees with Pillow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tessera.datasets.errors import SchemaError, UsageError
from tessera.datasets.schema import Field
from tessera.datasets.transforms import load_transform
from tessera.datasets.transforms._resize import resize_linear, resize_nearest

from .scene import FIELDS, HEIGHT, HW, HW3, WIDTH, copies, inverse, project, same, scene


def bound(fields=FIELDS, **options):
    transform = load_transform("random_crop", **options)
    transform.bind(fields)
    return transform


def sample(picture, pixels):
    """Values of the picture at the pixels that hold these coordinates."""
    return picture[np.floor(pixels[:, 1]).astype(int), np.floor(pixels[:, 0]).astype(int)]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, HEIGHT), st.integers(1, WIDTH), st.integers(0, 2**32))
def test_a_window_is_a_window_and_cameras_shift_by_its_corner(height, width, seed):
    record = scene()
    cut = bound(size=(height, width))(record, np.random.default_rng(seed))
    moved = record["intrinsics"][:2, 2] - cut["intrinsics"][:2, 2]
    x, y = np.rint(moved).astype(int)
    assert np.allclose(moved, (x, y), atol=1e-9) and 0 <= x <= WIDTH - width and 0 <= y <= HEIGHT - height
    for name in ("image", "mask", "position", "normal", "distance"):
        np.testing.assert_array_equal(cut[name], record[name][y : y + height, x : x + width])
        assert cut[name].dtype == record[name].dtype
    np.testing.assert_allclose(cut["pixels"], record["pixels"] - (x, y))
    for name in ("world_from_camera", "points", "sdf", "betas"):
        assert cut[name] is record[name]


@settings(max_examples=40, deadline=None)
@given(st.floats(0.1, 1), st.floats(1, 2), st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32))
def test_points_land_on_the_pixels_that_they_were_resized_to(share, ratio, height, width, seed):
    record = scene(seed % 5)
    transform = bound(size=(height, width), resize=(share, 1), ratio=ratio)
    cut = transform(record, np.random.default_rng(seed))
    camera = inverse(record["points"].astype(float), record["world_from_camera"])
    np.testing.assert_allclose(cut["pixels"], project(camera, cut["intrinsics"]), atol=1e-4)
    # the surface seen at each new pixel (nearest old one) projects to within half an old pixel of that pixel's centre
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    error = np.abs(project(cut["position"].astype(float), cut["intrinsics"]) - np.stack([columns, rows], axis=-1))
    scale = cut["intrinsics"][[0, 1], [0, 1]] / record["intrinsics"][[0, 1], [0, 1]]
    assert (error <= scale / 2 + 1e-3).all()


def test_resized_window_covers_the_share_asked_for():
    record, transform = scene(), bound(size=(10, 14), resize=(0.25, 0.25))
    cut = transform(record, np.random.default_rng(0))
    side = 10 / cut["intrinsics"][1, 1] * record["intrinsics"][1, 1]  # rows of the window
    assert side == 20  # of 40, and 28 of 56: a quarter of the area
    every = {tuple(transform(record, np.random.default_rng(i))["intrinsics"][:2, 2]) for i in range(50)}
    assert len(every) > 40


def test_equal_generators_give_equal_crops_and_inputs_stay():
    record = scene()
    before = copies(record)
    transform = bound(size=16, resize=(0.2, 0.8), ratio=1.5)
    one, two = (transform(record, np.random.default_rng(7)) for _ in range(2))
    assert same(one, two) and same(record, before)
    assert not np.array_equal(one["image"], transform(record, np.random.default_rng(8))["image"])


def test_the_centre_needs_no_generator():
    record, transform = scene(), bound(size=(10, 20), centre=True)
    assert transform.random is False and bound(size=3).random is True
    np.testing.assert_array_equal(transform(record)["image"], record["image"][15:25, 18:38])
    whole = bound(size=(HEIGHT // 2, WIDTH // 2), centre=True, resize=(0.1, 1))(record)
    np.testing.assert_allclose(whole["intrinsics"][:2] * 2, record["intrinsics"][:2])


@pytest.mark.parametrize("ndc_y", ["down", "up"])
@pytest.mark.parametrize("resize", [None, (0.3, 0.6)])
def test_orthographic_cameras_follow(ndc_y, resize):
    """A point's pixel by `calib`, before and after: the same place of the same picture."""
    sign = 1 if ndc_y == "down" else -1
    rng = np.random.default_rng(3)
    calib = np.eye(4)
    calib[:3, :3], calib[:3, 3] = 0.9 * np.diag([1, -1, 1]), rng.normal(size=3) * 0.1
    points = rng.uniform(-0.9, 0.9, (400, 3))
    fields = {"image": FIELDS["image"], "calib": Field("calib", "float64", (4, 4), "npz", frame="ndc"),
              "seen": Field("seen", "float64", ("points", 3), "npz", frame="ndc")}  # fmt: skip
    seen = points @ calib[:3, :3].T + calib[:3, 3]
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    image = np.stack([columns, rows, rows * 0], axis=-1).astype(np.uint8)
    cut = bound(fields, size=(16, 20), resize=resize, ndc_y=ndc_y, nearest=["image"])(
        {"image": image, "calib": calib, "seen": seen}, rng
    )
    after = points @ cut["calib"][:3, :3].T + cut["calib"][:3, 3]
    np.testing.assert_allclose(cut["seen"], after)
    np.testing.assert_allclose(after[:, 2], seen[:, 2])
    old = np.column_stack([(seen[:, 0] + 1) / 2 * WIDTH, (sign * seen[:, 1] + 1) / 2 * HEIGHT])
    new = np.column_stack([(after[:, 0] + 1) / 2 * 20, (sign * after[:, 1] + 1) / 2 * 16])
    inside = ((new > 0) & (new < (20, 16))).all(axis=1)
    assert inside.sum() > 3
    steps = 1 if resize is None else 3  # a new pixel may stand for up to three old ones
    assert np.abs(sample(cut["image"], new[inside])[:, :2] + 0.5 - old[inside]).max() <= steps


@pytest.mark.parametrize("size", [(224, 224), (57, 301), (400, 512), (700, 90)])
def test_linear_resize_is_pillow_s(size):
    picture = np.random.default_rng(0).integers(0, 256, (300, 401, 3), np.uint8)
    expected = np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BILINEAR), np.int16)
    found = resize_linear(picture, 0, size)
    assert found.dtype == np.uint8 and np.abs(found - expected).max() <= 1
    plane = picture[..., 0].astype(np.float32) / 7
    expected = np.asarray(Image.fromarray(plane).resize(size[::-1], Image.Resampling.BILINEAR))
    np.testing.assert_allclose(resize_linear(plane, 0, size), expected, rtol=1e-5, atol=1e-4)


def test_linear_resize_keeps_constants_and_leading_axes():
    stack = np.random.default_rng(1).uniform(size=(2, 33, 47, 3)).astype(np.float32)
    np.testing.assert_array_equal(resize_linear(stack, 1, (20, 60))[1], resize_linear(stack[1], 0, (20, 60)))
    assert (resize_linear(np.full((31, 17, 3), 255, np.uint8), 0, (7, 40)) == 255).all()


@pytest.mark.parametrize("size", [(64, 8), (32, 24), (80, 48), (40, 56)])  # no centre lies between two old pixels
def test_nearest_resize_is_pillow_s(size):
    mask = scene()["mask"]
    expected = np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))
    np.testing.assert_array_equal(resize_nearest(mask, 0, size), expected)


def test_trap_labels_are_not_averaged():
    """A mean of two classes is a third class, of two depths a point in the air, of two normals no unit vector."""
    record, transform = scene(), bound(size=(13, 17), resize=(0.5, 1))
    record["distance"][::3] = np.nan
    cut = transform(record, np.random.default_rng(0))
    assert set(np.unique(cut["mask"])) <= set(range(5))
    old = record["distance"][np.isfinite(record["distance"])]
    assert np.isin(cut["distance"][np.isfinite(cut["distance"])], old).all() and np.isnan(cut["distance"]).any()
    lengths = np.linalg.norm(cut["normal"], axis=-1)
    assert (np.isclose(lengths, 1, atol=1e-6) | (lengths == 0)).all()
    colours = cut["image"].reshape(-1, 3)
    assert not (colours[:, None] == record["image"].reshape(-1, 3)).all(axis=-1).any(axis=1).all()  # these are means


def test_choices_of_filter_can_be_overruled():
    assert bound(nearest=["image"])._fields["image"] == ("nearest", 3)
    assert bound(linear=["mask"])._fields["mask"] == ("linear", 2)
    with pytest.raises(UsageError, match="no picture is called sdf"):
        bound(linear=["sdf"])


def test_trap_principal_point_is_not_the_middle_and_the_corner_is_the_origin():
    """With centres at +0.5, halving the picture halves cx; the integer-centre rule would put it 0.25 pixels off."""
    record = scene()
    half = bound(size=(HEIGHT // 2, WIDTH // 2), resize=(1, 1), centre=True)(record)
    assert half["intrinsics"][0, 2] == pytest.approx(record["intrinsics"][0, 2] / 2, abs=1e-12)
    assert abs(record["intrinsics"][0, 2] - WIDTH / 2) > 1


def test_pictures_behind_references_have_windows_of_their_own():
    fields = FIELDS | {f"neighbours.{name}": FIELDS[name] for name in ("image", "intrinsics")}
    record = scene() | {
        "neighbours.image": np.stack([scene(i)["image"] for i in (1, 2)]),
        "neighbours.intrinsics": np.stack([scene(i)["intrinsics"] for i in (1, 2)]),
    }
    own = bound(fields, size=8)(record, np.random.default_rng(0))
    assert own["image"].shape == (8, 8, 3) and own["neighbours.image"] is record["neighbours.image"]
    theirs = bound(fields, size=8, of="neighbours")(record, np.random.default_rng(0))
    assert theirs["neighbours.image"].shape == (2, 8, 8, 3) and theirs["image"] is record["image"]
    x, y = np.rint(record["neighbours.intrinsics"] - theirs["neighbours.intrinsics"])[0, :2, 2].astype(int)
    np.testing.assert_array_equal(theirs["neighbours.image"], record["neighbours.image"][:, y : y + 8, x : x + 8])


def test_raw_cameras_stay():
    fields = FIELDS | {"raw_intrinsics": Field("raw_intrinsics", "float64", (3, 3), "npz", "pixel", "raw camera")}
    record = scene() | {"raw_intrinsics": np.eye(3)}
    assert bound(fields, size=4)(record, np.random.default_rng(0))["raw_intrinsics"] is record["raw_intrinsics"]


def test_errors_say_what_to_do():
    rng, record = np.random.default_rng(0), scene()
    with pytest.raises(SchemaError, match="40 x 56 have no window of 224 x 224; choose a smaller size, or resize"):
        bound()(record, rng)
    with pytest.raises(SchemaError, match="one size; `image` is 40 x 56, `mask` is 20 x 56"):
        bound({"image": FIELDS["image"], "mask": FIELDS["mask"]}, size=4)(record | {"mask": record["mask"][::2]}, rng)
    with pytest.raises(UsageError, match="bind"):
        load_transform("random_crop", size=4)(record, rng)
    with pytest.raises(UsageError, match="generator"):
        bound(size=4)(record)
    with pytest.raises(UsageError, match="there is no picture among sdf"):
        bound({"sdf": FIELDS["sdf"]})
    for options in ({"size": 0}, {"resize": (0, 1)}, {"resize": (0.5, 2)}, {"ratio": 0.5}, {"ndc_y": "left"}):
        with pytest.raises(UsageError, match="random_crop"):
            load_transform("random_crop", **options)


def test_colours_are_told_from_labels_by_frame_unit_and_channels():
    hdr = Field("hdr", "float16", HW3, "blosc", "radiance, linear")
    depth = Field("depth", "float32", HW, "npy", "metre", "camera")
    kinds = bound({"hdr": hdr, "depth": depth, "alpha": Field("alpha", "uint8", HW, "png")})._fields
    assert {name: kind for name, (kind, _) in kinds.items()} == {
        "hdr": "linear",
        "depth": "nearest",
        "alpha": "nearest",
    }


def test_pictures_of_foreign_tars_are_pictures_whatever_their_dimensions_are_called():
    """Their sizes are numbers where all records agree, and are named after the member where they do not."""
    fields = {
        "jpg": Field("jpg", "uint8", (HEIGHT, WIDTH, 3), "jpg"),
        "grey": Field("grey", "uint8", (HEIGHT, WIDTH), "jpg"),
        "seg": Field("seg", "uint8", (HEIGHT, WIDTH), "png"),
        "depth": Field("depth", "float32", ("depth_height", "depth_width"), "npy"),
        "points": Field("points", "float32", (HEIGHT, 3), "npy"),
    }
    transform = bound(fields, size=(5, 9), resize=(0.5, 1))
    kinds = {"jpg": "linear", "grey": "linear", "seg": "nearest", "depth": "linear"}
    assert {name: kind for name, (kind, _) in transform._fields.items()} == kinds
    record = {name: np.zeros([HEIGHT, WIDTH, 3][: len(entry.shape)], entry.dtype) for name, entry in fields.items()}
    cut = transform(record | {"points": np.zeros((HEIGHT, 3))}, np.random.default_rng(0))
    assert [cut[name].shape[:2] for name in kinds] == [(5, 9)] * 4 and cut["points"].shape == (HEIGHT, 3)
