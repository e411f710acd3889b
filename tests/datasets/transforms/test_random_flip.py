"""Random flip: the mirrored camera sees the mirrored picture, joints change sides by name, the unknown is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from tessera.datasets.errors import SchemaError, UsageError
from tessera.datasets.joints import joint_set
from tessera.datasets.schema import Field
from tessera.datasets.transforms import load_transform
from tessera.datasets.transforms._mirror import mirror_kind

from .scene import FIELDS, HEIGHT, HW3, WIDTH, copies, inverse, project, same, scene

MIRROR = np.diag([-1.0, 1, 1])


def bound(fields=FIELDS, probability=1.0, **options):
    transform = load_transform("random_flip", probability=probability, **options)
    transform.bind(fields)
    return transform


def flipped(record, fields=FIELDS, **options):
    return bound(fields, **options)(record, np.random.default_rng(0))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_points_land_on_the_mirrored_picture(seed):
    record = scene(seed)
    mirrored = flipped(record)
    camera = inverse(mirrored["points"].astype(float), mirrored["world_from_camera"])
    pixels = project(camera, mirrored["intrinsics"])
    expected = record["pixels"] * (-1, 1) + (WIDTH, 0)
    np.testing.assert_allclose(pixels, expected, atol=1e-4)
    np.testing.assert_allclose(mirrored["pixels"], expected, atol=1e-9)
    np.testing.assert_array_equal(mirrored["image"], record["image"][:, ::-1])
    np.testing.assert_array_equal(mirrored["mask"], record["mask"][:, ::-1])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_the_surface_at_each_pixel_projects_to_that_pixel(seed):
    mirrored = flipped(scene(seed))
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    found = project(mirrored["position"].astype(float), mirrored["intrinsics"])
    np.testing.assert_allclose(found, np.stack([columns, rows], axis=-1), atol=1e-3)
    distance = np.linalg.norm(mirrored["position"], axis=-1)
    np.testing.assert_allclose(mirrored["distance"], distance, rtol=1e-3)


def test_normals_are_mirrored_as_vectors_and_zero_stays_zero():
    record = scene()
    mirrored = flipped(record)["normal"]
    np.testing.assert_array_equal(mirrored, (record["normal"] @ MIRROR.astype(np.float32))[:, ::-1])
    assert (mirrored[3, WIDTH - 5] == 0).all()
    # the angle between a normal and its viewing direction is what it was
    cosine = [np.einsum("hwc,hwc->hw", one["normal"], one["position"]) for one in (record, flipped(record))]
    np.testing.assert_allclose(cosine[1], cosine[0][:, ::-1], atol=1e-5)


def test_trap_world_from_camera_stays_a_rotation():
    """Mirroring the camera alone would give determinant -1."""
    record = scene()
    pose = flipped(record)["world_from_camera"]
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    np.testing.assert_allclose(pose[:3, 3], record["world_from_camera"][:3, 3] * (-1, 1, 1))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_flipping_twice_is_nothing(seed):
    record = scene(seed)
    before = copies(record)
    twice = flipped(flipped(record))
    assert same(record, before)
    for name in record:
        np.testing.assert_allclose(twice[name], record[name], rtol=0, atol=1e-12, equal_nan=True)
        assert twice[name].dtype == record[name].dtype and twice[name].flags.c_contiguous


def test_all_or_nothing_as_often_as_asked_for():
    record, transform = scene(), bound(probability=0.3)
    outcomes = [transform(record, np.random.default_rng(i)) for i in range(300)]
    mirrored = [not np.array_equal(one["image"], record["image"]) for one in outcomes]
    assert 60 < sum(mirrored) < 120
    assert all(same(one, flipped(record) if turned else record) for one, turned in zip(outcomes, mirrored, strict=True))


def test_signed_distances_and_shapes_stay():
    record = scene()
    mirrored = flipped(record)
    assert mirrored["sdf"] is record["sdf"] and mirrored["betas"] is record["betas"]


def test_orthographic_cameras_and_cubes():
    rng = np.random.default_rng(1)
    fields = {
        "calib": Field("calib", "float32", (4, 4), "npz", frame="ndc"),
        "verts": Field("verts", "float64", ("vertices", 3), "npy", "metre", "world"),
        "cube": Field("cube", "float64", (4,), "npz", "metre", "world"),
        "query": Field("query", "float32", ("points", 3), "npy", frame="cube"),
    }
    record = {
        "calib": np.vstack([rng.normal(size=(3, 4)), [0, 0, 0, 1]]).astype(np.float32),
        "verts": rng.normal(size=(9, 3)), "cube": np.array([1.0, 2, 3, 10]),
        "query": rng.uniform(-1, 1, (5, 3)).astype(np.float32),
    }  # fmt: skip
    mirrored = flipped(record, fields)
    before, after = (one["verts"] @ one["calib"][:3, :3].T + one["calib"][:3, 3] for one in (record, mirrored))
    np.testing.assert_allclose(after, before @ MIRROR, atol=1e-6)
    world = [one["cube"][:3] + one["cube"][3] / 2 * one["query"] for one in (record, mirrored)]
    np.testing.assert_allclose(world[1], world[0] @ MIRROR, atol=1e-6)


def test_joints_change_sides_by_name():
    """A body whose joints carry their names' sides: after the flip, `left_...` joints are still at the body's left."""
    joints = joint_set("h36m17")
    side = np.array([x.startswith("left_") * 1.0 - x.startswith("right_") for x in joints.joints])
    fields = {
        "joints": Field("joints", "float32", ("frames", "joints", 3), "npy", "metre", "camera"),
        "confidence": Field("confidence", "float32", ("frames", "joints"), "npy"),
    }
    body = np.stack([side, np.arange(17.0), np.full(17, 3.0)], axis=-1).astype(np.float32)
    record = {"joints": body[None].repeat(4, axis=0), "confidence": np.arange(68, dtype=np.float32).reshape(4, 17)}
    mirrored = flipped(record, fields, joints={"joints": "h36m17"})
    np.testing.assert_array_equal(mirrored["joints"][..., 0], record["joints"][..., 0])
    moved = mirrored["confidence"][0].astype(int)  # where each joint came from
    swapped = [x.replace("left_", "?").replace("right_", "left_").replace("?", "right_") for x in joints.joints]
    assert [joints.joints[i] for i in moved] == swapped


def test_a_dimension_called_as_a_set_needs_no_option():
    fields = {"pose": Field("pose", "float64", ("smpl24", 3), "npz", "radian")}
    pose = np.random.default_rng(0).normal(size=(24, 3))
    mirrored = flipped({"pose": pose}, fields)["pose"]
    # rotations of mirrored joints, by scipy: R' = M R M, of the joint on the other side
    expected = [MIRROR @ Rotation.from_rotvec(pose[i]).as_matrix() @ MIRROR for i in joint_set("smpl24").mirror]
    np.testing.assert_allclose(Rotation.from_rotvec(mirrored).as_matrix(), expected, atol=1e-9)


def test_trap_joints_of_another_order_are_not_permuted_by_default_pairs():
    """A published loader permutes 37 and 66 joints with the pairs of 17: here sets are named, and counts must agree."""
    fields = {"joints": Field("joints", "float32", ("joints", 3), "npy", "metre", "camera")}
    with pytest.raises(UsageError, match=r"cannot mirror joints: .*joints=\{'joints': 'h36m17'\}"):
        bound(fields)
    with pytest.raises(SchemaError, match="`joints` has 37 joints, h36m17 has 17"):
        flipped({"joints": np.zeros((37, 3), np.float32)}, fields, joints={"joints": "h36m17"})


def test_trap_codes_of_normals_in_uint8_are_mirrored_as_codes():
    fields = {"normal_f": Field("normal_f", "uint8", HW3, "png", "unit vector", "camera")}
    codes = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    codes[0] = 0  # no normal
    mirrored = flipped({"normal_f": codes}, fields)["normal_f"]
    np.testing.assert_allclose(mirrored[1:] / 127.5 - 1, (codes[1:, ::-1] / 127.5 - 1) @ MIRROR, atol=1e-12)
    assert (mirrored[0] == 0).all()


def test_pictures_behind_references_are_mirrored_with_their_own_widths():
    fields = {f"neighbours.{name}": FIELDS[name] for name in ("image", "intrinsics", "world_from_camera")}
    fields |= {"subject.points": FIELDS["points"]}
    views = [scene(i, width=64) for i in (1, 2)]
    record = {name: np.stack([view[name.partition(".")[2]] for view in views]) for name in fields if "neigh" in name}
    record["subject.points"] = views[1]["points"]
    mirrored = flipped(record, fields)
    np.testing.assert_array_equal(mirrored["neighbours.image"], record["neighbours.image"][:, :, ::-1])
    camera = inverse(mirrored["subject.points"].astype(float), mirrored["neighbours.world_from_camera"][1])
    pixels = project(camera, mirrored["neighbours.intrinsics"][1])
    np.testing.assert_allclose(pixels, views[1]["pixels"] * (-1, 1) + (64, 0), atol=1e-4)


@pytest.mark.parametrize(
    "entry",
    [
        Field("octree_split", "uint8", ("octree_bytes",), "npz", "bit", "cube"),
        Field("octree_normal", "float32", ("leaves", 3), "npy", "unit vector", "world"),
        Field("probe_radiance", "float16", (8, 16, 32, 3), "blosc", "radiance, linear", "world"),
        Field("raw_cam_from_uv", "float64", (3, 3), "npz", "", "raw camera"),
        Field("smpl_cmap", "float32", ("vertices", 3), "npy"),
        Field("rotations", "float32", ("parts", 3, 3), "npy"),
        Field("flow", "float32", ("height", "width", 2), "npy", "pixel"),
        Field("cloud", "float32", ("points", 3), "npy"),
        Field("voxel_blocks", "int32", ("blocks", 3), "blosc", "8 voxels", "world"),
    ],
    ids=lambda entry: entry.name,
)
def test_trap_what_nobody_knows_how_to_mirror_is_not_passed_on_unmirrored(entry):
    with pytest.raises(UsageError, match=f"cannot mirror {entry.name}: leave them out .* keep="):
        bound({entry.name: entry})
    record = {"image": scene()["image"], entry.name: np.zeros(3)}
    kept = flipped(record, {"image": FIELDS["image"], entry.name: entry}, keep=[entry.name])
    assert kept[entry.name] is record[entry.name] and not np.array_equal(kept["image"], record["image"])


def test_a_camera_without_its_picture_is_refused():
    fields = {"intrinsics": FIELDS["intrinsics"]}
    with pytest.raises(SchemaError, match="no picture says how wide `intrinsics`'s is"):
        flipped({"intrinsics": np.eye(3)}, fields)


def test_unbound_and_impossible_options_are_refused():
    with pytest.raises(UsageError, match="bind"):
        load_transform("random_flip")(scene(), np.random.default_rng(0))
    with pytest.raises(UsageError, match="probability 2"):
        load_transform("random_flip", probability=2)
    with pytest.raises(UsageError, match="no joint set 'smpl'"):
        bound(joints={"joints": "smpl"})
    with pytest.raises(UsageError, match="nose is listed more than once"):
        load_transform("random_flip", joints={"joints": ["nose", "nose"]})


def test_every_field_of_a_hypersim_frame_has_a_rule():
    """Cameras, pictures and points are mirrored, colours stay, what has axes of its own is refused."""
    from tessera.pipelines.recipes.hypersim import RECIPE

    labels = [label for table in ("scenes", "frames") for label in RECIPE.tables[table].labels]
    entries = {entry.name: entry for label in labels for entry in label.fields}
    assert mirror_kind("surface_color", entries["surface_color"]) == "same"  # radiance is not in radians
    assert mirror_kind("surface_points", entries["surface_points"]) == "vector"
    with pytest.raises(UsageError) as refused:
        bound(entries)
    named = str(refused.value).partition("mirror ")[2].partition(":")[0].split(", ")
    expected = {
        name
        for name in entries
        if name.startswith(("octree", "probe_radiance", "probe_mask", "raw_", "voxel_b", "voxel_states"))
    }
    assert set(named) == expected
