"""ICON's point features against a plain float64 computation that projects the body and works point by point."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets import Catalog, Field, FormatError, SchemaError, Stream, UsageError
from tessera.datasets.transforms import load_transform

from .bodies import BODIES, FIELDS, POINTS, VERTICES, add_asset, asset, record_of, vertex_normals, write_bodies
from .scene import copies, same

ALL = ("sdf", "cmap", "norm", "vis", "part")
CLIP = 0.15
LOOKED_UP = ("subject.body_face", "subject.body_bary", "subject.body_normals", "body_visible")


def of_body(record, body=0):
    """The record of one body."""
    transform = load_transform("pick_body", body=body)
    transform.bind(FIELDS)
    return transform(record)


def oracle(record, arrays, vertices):
    """ICON's features of one body with these float64 world vertices: the body is projected, as ICON does it."""
    calib, faces = record["calib"], arrays["faces"]
    cube = vertices @ calib[:3, :3].T + calib[:3, 3]
    normals = vertex_normals(cube, faces) * (-1, 1, -1)  # the projected faces wind the other way round
    unit = np.linalg.norm(calib[:3, :3] @ [0, 1, 0])
    out = {name: [] for name in ALL}
    for point in range(len(record["subject.points"])):
        corners = faces[record["subject.body_face"][point]]
        weights = record["subject.body_bary"][point].astype(np.float64)
        sdf = -float(record["subject.body_sdf"][point]) * unit / np.sqrt(3)
        far = abs(sdf) >= CLIP
        out["sdf"].append(np.sign(sdf) if far else sdf)
        colour = sum(w * arrays["canonical"][v].astype(np.float64) for w, v in zip(weights, corners, strict=True))
        out["cmap"].append(np.full(3, np.sign(sdf)) if far else colour)
        out["norm"].append(sum(w * normals[v] for w, v in zip(weights, corners, strict=True)))
        bits = [record["body_visible"][v // 8] >> (v % 8) & 1 for v in corners]
        out["vis"].append(weights @ bits >= 0.1)
        out["part"].append(arrays["part"][corners[np.argmax(weights)]])
    return {name: np.array(values) for name, values in out.items()}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, BODIES - 1))
def test_features_are_those_of_the_projected_body(seed, body):
    whole, arrays, vertices = record_of(seed)
    record = of_body(whole, body)
    before = copies(record)
    found = load_transform("icon_features", features=ALL, assets=arrays)(record)
    names = [*record, *(f"icon_{name}" for name in ALL)]
    assert same(record, before) and list(found) == [name for name in names if name not in LOOKED_UP]
    kept = load_transform("icon_features", features=ALL, assets=arrays, drop=False)(record)
    assert list(kept) == names and all(kept[name] is record[name] for name in record)
    wanted = oracle(record, arrays, vertices[body])
    near = np.abs(wanted["sdf"]) < CLIP
    assert 0 < near.sum() < POINTS and 0 < wanted["vis"].sum() < POINTS
    for name in ALL:
        assert found[f"icon_{name}"].dtype == (np.uint8 if name == "part" else np.float32)
        assert found[f"icon_{name}"].flags.c_contiguous
        np.testing.assert_allclose(found[f"icon_{name}"], wanted[name], atol=2e-6, err_msg=name)


def test_trap_normals_point_out_of_the_body_towards_the_camera_and_y_is_up():
    """A face that looks at the camera has z 1 in ICON's frame, the top of the head y 1; ICON's own flips cancel out."""
    calib = np.diag([0.9, -0.9, 0.9, 1])  # not turned: the world's z comes towards the camera
    ball, arrays = asset()
    whole, _, _ = record_of()
    record = of_body(whole) | {
        "calib": calib, "subject.body_normals": np.float32(ball),
        "subject.body_face": np.arange(len(arrays["faces"]), dtype=np.uint16),
        "subject.body_bary": np.tile(np.float32([1, 0, 0]), (len(arrays["faces"]), 1)),
    }  # fmt: skip
    found = load_transform("icon_features", features=["norm"], assets=arrays)(record)["icon_norm"]
    np.testing.assert_allclose(found, ball[arrays["faces"][:, 0]], atol=1e-6)


def test_the_sdf_is_that_of_icon_sdf():
    whole, _, _ = record_of(4)
    record = of_body(whole)
    found = load_transform("icon_features", features="sdf", clip=7)(record)["icon_sdf"]
    wanted = load_transform("icon_sdf", field="subject.body_sdf", clip=7)(record)["icon_sdf"]
    np.testing.assert_array_equal(found, wanted)


@settings(max_examples=10, deadline=None)
@given(st.sets(st.sampled_from(ALL), min_size=1), st.integers(0, 100))
def test_features_do_not_depend_on_which_others_are_asked_for_nor_on_what_else_is_there(chosen, seed):
    whole, arrays, _ = record_of(seed)
    record = of_body(whole)
    every = load_transform("icon_features", features=ALL, assets=arrays)(record)
    transform = load_transform("icon_features", features=sorted(chosen), assets=arrays, drop=False)
    found = transform({name: record[name] for name in transform.reads})
    assert {entry.name for entry in transform.writes} == {f"icon_{name}" for name in chosen} == set(found) - set(record)
    for entry in transform.writes:
        np.testing.assert_array_equal(found[entry.name], every[entry.name])
        assert found[entry.name].dtype == entry.dtype and found[entry.name].ndim == len(entry.shape)


def test_a_mirrored_record_has_mirrored_normals():
    whole, arrays, _ = record_of(7)
    record = of_body(whole)
    mirror = np.diag([-1.0, 1, 1, 1])
    turned = record | {"calib": mirror @ record["calib"] @ mirror,
                       "subject.body_normals": record["subject.body_normals"] * np.float32([-1, 1, 1])}  # fmt: skip
    transform = load_transform("icon_features", features=["norm"], assets=arrays)
    np.testing.assert_allclose(transform(turned)["icon_norm"], transform(record)["icon_norm"] * [-1, 1, 1], atol=1e-6)


def test_the_record_s_own_body_and_no_points():
    whole, arrays, _ = record_of()
    record = {name.removeprefix("subject."): array for name, array in of_body(whole).items()}
    transform = load_transform("icon_features", features=ALL, subject="", assets=arrays)
    wanted = load_transform("icon_features", features=ALL, assets=arrays)(of_body(whole))
    np.testing.assert_array_equal(transform(record)["icon_norm"], wanted["icon_norm"])
    none = record | {name: record[name][:0] for name in ("body_face", "body_bary", "body_sdf")}
    assert transform(none)["icon_cmap"].shape == (0, 3) and transform(none)["icon_part"].shape == (0,)


def test_body_arrays_of_other_integers_will_do():
    whole, arrays, _ = record_of()
    record = of_body(whole)
    wide = arrays | {"faces": arrays["faces"].astype(np.int64), "canonical": arrays["canonical"].astype(np.float64)}
    for given_arrays in (arrays, wide):
        found = load_transform("icon_features", assets=given_arrays)(record)
        assert found["icon_cmap"].dtype == np.float32


@pytest.mark.parametrize("options", [{"features": ["sdf", "normal"]}, {"features": []}, {"clip": 0}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(UsageError, match="icon_features"):
        load_transform("icon_features", **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"canonical": None}, "no `canonical` among its arrays"),
        ({"faces": np.zeros((3, 4), np.int32)}, r"`faces` is int32 \(3, 4\), not int32 \(n, 3\)"),
        ({"faces": np.zeros((3, 3))}, "`faces` is float64"),
        ({"faces": np.full((1, 3), VERTICES, np.int32)}, "vertices that canonical does not have"),
        ({"faces": np.full((1, 3), -1, np.int32)}, "vertices that canonical does not have"),
        ({"faces": np.zeros((0, 3), np.int32)}, "vertices"),
    ],
)
def test_arrays_that_are_none_of_a_body_are_refused(change, message):
    arrays = {name: array for name, array in (asset()[1] | change).items() if array is not None}
    with pytest.raises(FormatError, match=message):
        load_transform("icon_features", assets=arrays)


def test_records_of_another_body_or_of_several_are_refused():
    whole, arrays, _ = record_of()
    record = of_body(whole)
    transform = load_transform("icon_features", features=ALL, assets=arrays)
    for change, message in (
        ({"subject.body_face": np.full(POINTS, 9999, np.uint16)}, "no face 9999"),
        ({"subject.body_normals": record["subject.body_normals"][:-1]}, "`body_normals` has 59 vertices"),
        ({"body_visible": record["body_visible"][:-1]}, "`body_visible` has 56 vertices"),
        ({"subject.body_sdf": whole["subject.body_sdf"]}, "several bodies"),
        ({"subject.body_face": whole["subject.body_face"]}, r"not \(n,\) and \(n, 3\)"),
        ({"calib": np.diag([1.0, 1, 1, 1])}, "points up"),
        ({"calib": np.diag([2.0, -1, 1, 1])}, "put icon_features in front of the crop"),
        ({"icon_vis": np.zeros(3)}, "`icon_vis` already"),
    ):
        with pytest.raises(SchemaError, match=message):
            transform(record | change)
    with pytest.raises(SchemaError, match=r"lacks subject.body_normals"):
        transform({name: array for name, array in record.items() if name != "subject.body_normals"})
    with pytest.raises(UsageError, match="give assets="):
        load_transform("icon_features")(record)


def test_binding_names_what_is_missing_and_what_goes_before():
    transform = load_transform("icon_features")
    with pytest.raises(UsageError, match=r"no subject.body_sdf, .*calib, body_visible; ask for these too"):
        transform.bind({"points": FIELDS["subject.points"]})
    with pytest.raises(UsageError, match=r"subject.body_sdf, .* of several bodies; put pick_body before"):
        transform.bind(FIELDS)
    single = load_transform("pick_body")
    single.bind(FIELDS)
    with pytest.raises(UsageError, match="give assets=, the body's faces, canonical"):
        transform.bind(FIELDS | single.changes)


def test_a_stream_gives_the_body_of_its_data_set(tmp_path):
    root = write_bodies(tmp_path / "people")
    names = [name for name in FIELDS if "joints" not in name and "strata" not in name]
    transforms = [load_transform("pick_body", body="random"), load_transform("icon_features", features=ALL, drop=False)]
    stream = Stream(root, "views", fields=names, transforms=transforms, sample={"subject.points": 30})
    batch = next(iter(stream))
    stream.close()
    assert batch["icon_cmap"].shape == (8, 30, 3) and batch["icon_vis"].shape == (8, 30)
    record = {name: value[0].numpy() for name, value in batch.items() if name != "key" and "icon" not in name}
    wanted = load_transform("icon_features", features=ALL, assets=asset()[1])(record)
    for name in ALL:
        np.testing.assert_array_equal(batch[f"icon_{name}"][0], wanted[f"icon_{name}"])
    assert transforms[1].assets is None  # the stream's own copy has them


def test_arrays_of_the_user_s_own_are_taken_instead_of_the_data_set_s(tmp_path):
    root = write_bodies(tmp_path / "people")
    (root / "assets" / "body.npz").unlink()
    arrays = asset()[1] | {"canonical": np.zeros((VERTICES, 3), np.float32)}
    names = [name for name in FIELDS if "strata" not in name]
    transforms = [load_transform("pick_body"), load_transform("icon_features", features=["cmap"], assets=arrays)]
    batch = next(iter(Stream(root, "views", fields=names, transforms=transforms, threads=0)))
    assert set(np.unique(batch["icon_cmap"])) == {-1, 0, 1}


def test_a_data_set_without_a_body_says_which_option_makes_one(tmp_path):
    root = write_bodies(tmp_path / "people")
    arrays = [load_transform("pick_body"), load_transform("icon_features")]
    names = [name for name in FIELDS if "strata" not in name]
    add_asset(root, {name: array for name, array in asset()[1].items() if name != "canonical"})
    with pytest.raises(FormatError, match=r"people: assets/body.npz: there is no canonical in it"):
        Stream(root, "views", fields=names, transforms=arrays)
    replace(Catalog.read(root), assets={}).write(root, "run")
    with pytest.raises(UsageError, match=r"no assets/body.npz \(assets: none\); build it with --body-models"):
        Stream(root, "views", fields=names, transforms=arrays)
    only = [load_transform("pick_body"), load_transform("icon_features", features=["sdf"])]
    assert "icon_sdf" in next(iter(Stream(root, "views", fields=names, transforms=only, threads=0)))


def test_what_the_features_were_looked_up_with_is_gone_and_a_second_one_says_why(tmp_path):
    root = write_bodies(tmp_path / "people")
    names = [name for name in FIELDS if "strata" not in name and "joints" not in name]
    chain = [load_transform("pick_body"), load_transform("icon_features", features=["sdf", "cmap"])]
    batch = next(iter(Stream(root, "views", fields=names, transforms=chain, threads=0)))
    assert not {"subject.body_face", "subject.body_bary"} & set(batch)
    assert {"subject.body_sdf", "calib", "subject.body_normals", "body_visible", "icon_sdf", "icon_cmap"} <= set(batch)
    with pytest.raises(UsageError, match=r"no subject.body_face, subject.body_bary; .*drop=False"):
        Stream(root, "views", fields=names, transforms=[*chain, load_transform("icon_features", features=["vis"])])
    chain[1] = load_transform("icon_features", features=["sdf", "cmap"], drop=False)
    both = [*chain, load_transform("icon_features", features=["vis"])]
    assert "icon_vis" in next(iter(Stream(root, "views", fields=names, transforms=both, threads=0)))


MIRRORED = ("sdf", "norm", "vis")
NAMES = [name for name in FIELDS if "joints" not in name and "strata" not in name]


def test_features_but_colours_and_parts_can_be_mirrored_without_keep(tmp_path):
    root = write_bodies(tmp_path / "people")
    chain = [load_transform("pick_body", body=1), load_transform("icon_features", features=MIRRORED)]
    before, after = (
        next(iter(Stream(root, "views", fields=NAMES, transforms=each, threads=0, order="sequential")))
        for each in (chain, [*chain, load_transform("random_flip", probability=1)])
    )
    turned = after["icon_norm"].numpy()
    np.testing.assert_array_equal(turned, before["icon_norm"].numpy() * np.float32([-1, 1, 1]))
    for name in ("icon_sdf", "icon_vis", "subject.body_sdf"):
        np.testing.assert_array_equal(after[name].numpy(), before[name].numpy())
    # the mirrored normals are those of the mirrored body in the mirrored camera
    assert (after["subject.points"][..., 0] == -before["subject.points"][..., 0]).all()
    assert not np.array_equal(after["calib"], before["calib"])


@pytest.mark.parametrize("feature", ["cmap", "part"])
def test_a_mirror_refuses_colours_and_parts_and_faces_whose_colours_and_parts_have_sides(tmp_path, feature):
    root = write_bodies(tmp_path / "people")
    pick, flip = load_transform("pick_body"), load_transform("random_flip")
    features = load_transform("icon_features", features=(*MIRRORED, feature))
    with pytest.raises(UsageError, match=f"cannot mirror icon_{feature}: leave"):
        Stream(root, "views", fields=NAMES, transforms=[pick, features, flip])
    with pytest.raises(UsageError, match=r"cannot mirror subject.body_face: leave .* keep= .* put icon_features"):
        Stream(root, "views", fields=NAMES, transforms=[pick, flip, features])
    with pytest.raises(UsageError, match=r"cannot mirror noisy_normal_f, subject.body_face|subject.body_face, noisy"):
        Stream(root, "views", fields=NAMES, transforms=[flip, pick, features])
    kept = load_transform("random_flip", keep=["subject.body_face"])
    Stream(root, "views", fields=NAMES, transforms=[pick, kept, features])


def test_a_crop_leaves_all_features_as_they_are():
    whole, arrays, _ = record_of(3)
    transform = load_transform("icon_features", features=ALL, assets=arrays)
    image = Field("image", "uint8", ("height", "width", 3), "png")
    crop = load_transform("random_crop", size=8, resize=(0.3, 0.3), ratio=1.5)
    crop.bind({"image": image, "calib": FIELDS["calib"]} | {entry.name: entry for entry in transform.writes})
    record = transform(of_body(whole)) | {"image": np.zeros((20, 24, 3), np.uint8)}
    cut = crop(record, np.random.default_rng(0))
    assert cut["image"].shape == (8, 8, 3) and not np.allclose(cut["calib"], record["calib"])
    for name in ALL:
        np.testing.assert_array_equal(cut[f"icon_{name}"], record[f"icon_{name}"], err_msg=name)
