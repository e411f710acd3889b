"""ICON's calib, signed distance and target against its renderer's camera and an analytic sphere; occupancy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets.errors import SchemaError, UsageError
from tessera.datasets.transforms import load_transform

from .scene import copies, same

CENTRE, HEIGHT, YAW = np.array([0.1, 0.95, -0.2]), 1.75, 0.6  # of a scan published in metres
RADIUS = 0.6  # deep enough for points beyond the clip on both sides


def icon_files():
    """The two matrices that ICON's renderer writes for this scan (scan x 100, height 180, 512 pixels)."""
    scan_scale, ortho_ratio = 1.8 / HEIGHT, 0.4
    cos, sin = np.cos(YAW), np.sin(YAW)
    rotation = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    extrinsic, intrinsic = np.eye(4), np.eye(4)
    extrinsic[:3, :3], extrinsic[:3, 3] = rotation, -rotation @ (CENTRE * 100)
    scale = scan_scale / ortho_ratio
    intrinsic = np.diag([scale, -scale, scale, 1]) @ np.diag([1 / 256, 1 / 256, 1 / 256, 1])
    return extrinsic, intrinsic


def icon_projection(points, calib):
    """ICON's own `projection`: points times 100, R p + t."""
    return points * 100 @ calib[:3, :3].T + calib[:3, 3]


def record_calib(up=False):
    """The record's camera: metres to normalised device coordinates, written down on its own."""
    cos, sin = np.cos(YAW), np.sin(YAW)
    k = 180 / HEIGHT / 102.4  # 1.7 device units are 1.75 m
    linear = k * np.array([[cos, 0, sin], [0, 1 if up else -1, 0], [-sin, 0, cos]])
    calib = np.eye(4)
    calib[:3, :3], calib[:3, 3] = linear, -linear @ CENTRE
    return calib


def points_of(count=500):
    return CENTRE + np.random.default_rng(0).uniform(-0.8, 0.8, (count, 3))


@pytest.mark.parametrize("ndc_y", ["down", "up"])
def test_icon_s_calib_brings_scans_times_100_to_its_cube(ndc_y):
    extrinsic, intrinsic = icon_files()
    record = {"calib": record_calib(up=ndc_y == "up").astype(np.float32), "key": np.ones(1)}
    before = copies(record)
    added = load_transform("icon_calib", ndc_y=ndc_y)(record)
    assert added["icon_calib"].dtype == np.float32 and same(record, before) and list(added) == [*record, "icon_calib"]
    wanted = icon_projection(points_of(), intrinsic @ extrinsic)
    np.testing.assert_allclose(icon_projection(points_of(), added["icon_calib"]), wanted, atol=1e-6)


def test_trap_y_points_down_and_a_body_of_any_height_spans_the_same():
    """Head above feet in the world, below them in ICON's cube; every scan is 180 tall there: +-0.879."""
    calib = load_transform("icon_calib")({"calib": record_calib()})["icon_calib"]
    ends = CENTRE + np.array([[0, HEIGHT / 2, 0], [0, -HEIGHT / 2, 0]])
    np.testing.assert_allclose(icon_projection(ends, calib)[:, 1], [-0.879, 0.879], atol=1e-3)


def test_icon_s_feature_is_its_distance_between_projected_points():
    points = points_of()
    sdf = np.linalg.norm(points - CENTRE, axis=-1) - RADIUS  # ours: negative inside, metres
    extrinsic, intrinsic = icon_files()
    cube, middle = (icon_projection(x, intrinsic @ extrinsic) for x in (points, CENTRE[None]))
    rim = icon_projection(CENTRE[None] + [[0, RADIUS, 0]], intrinsic @ extrinsic)
    wanted = (np.linalg.norm(rim - middle) - np.linalg.norm(cube - middle, axis=-1)) / np.sqrt(3)
    wanted[np.abs(wanted) >= 0.15] = np.sign(wanted[np.abs(wanted) >= 0.15])
    found = load_transform("icon_sdf")({"sdf": sdf.astype(np.float32), "calib": record_calib()})["icon_sdf"]
    assert found.dtype == np.float32 and 0 < (np.abs(found) < 0.15).sum() < 500 and (found == 1).any()
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_trap_icon_is_positive_inside():
    calib = np.eye(4)
    found = load_transform("icon_sdf")({"sdf": np.array([-0.1, 0.1, -9, 9, 0], np.float16), "calib": calib})["icon_sdf"]
    np.testing.assert_allclose(found, [0.1 / np.sqrt(3), -0.1 / np.sqrt(3), 1, -1, 0], rtol=1e-3)


def test_trap_the_clip_is_in_its_own_units_and_includes_its_end():
    """0.15 after the division by sqrt(3), in device coordinates: 0.26 m and more for a metre that is one unit long."""
    limit = 0.15 * np.sqrt(3)
    sdf = np.array([-limit * 1.001, -limit * 0.999], np.float32)
    near = load_transform("icon_sdf")({"sdf": sdf, "calib": np.eye(4)})["icon_sdf"]
    np.testing.assert_allclose(near, [1, 0.14985], rtol=1e-4)
    narrow = load_transform("icon_sdf", clip=5)({"sdf": np.array([-0.1]), "calib": np.eye(4)})["icon_sdf"]
    assert narrow == [1]


def test_target_is_clipped_at_15_centimetres_and_one_inside():
    sdf = np.array([-1, -0.15, -0.075, 0, 0.03, 0.15, 2, np.nan], np.float32)
    found = load_transform("icon_sdf", form="target")({"sdf": sdf})["icon_sdf"]
    np.testing.assert_allclose(found, [1, 1, 0.75, 0.5, 0.4, 0, 0, np.nan], atol=1e-6)


def test_a_cropped_calib_has_no_one_scale():
    record = {"sdf": np.zeros(3), "calib": np.diag([2.0, 1, 1, 1])}
    with pytest.raises(SchemaError, match="put icon_sdf in front of the crop"):
        load_transform("icon_sdf")(record)


def test_occupancy_is_where_the_distance_is_negative():
    record = {"sdf": np.array([-0.1, 0, 0.1, np.nan, -1e-6], np.float32)}
    found = load_transform("occupancy")(record)["occupancy"]
    assert found.dtype == bool and found.tolist() == [True, False, False, False, True]
    behind = load_transform("occupancy", field="subject.sdf")
    assert behind.reads == ("subject.sdf",) and behind({"subject.sdf": record["sdf"]})["occupancy"].sum() == 2


@pytest.mark.parametrize("name", ["icon_sdf", "icon_calib", "occupancy"])
def test_missing_and_doubled_fields_are_named(name):
    transform = load_transform(name)
    record = {"sdf": np.zeros(2), "calib": np.eye(4)}
    with pytest.raises(SchemaError, match=f"lacks {transform.reads[0]}"):
        transform({})
    with pytest.raises(SchemaError, match=f"`{transform.writes[0].name}` already"):
        transform(record | {transform.writes[0].name: np.zeros(2)})


def test_options_that_make_no_sense_are_refused():
    for name, options in (("icon_sdf", {"form": "loss"}), ("icon_sdf", {"clip": 0}), ("icon_calib", {"ndc_y": "left"}),
                          ("icon_calib", {"units_per_metre": 0})):  # fmt: skip
        with pytest.raises(UsageError, match=name):
            load_transform(name, **options)


def similarity(seed):
    """From a scan's raw units, which are no metres, to a world that lies elsewhere."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    scan = np.eye(4)
    scan[:3, :3], scan[:3, 3] = turn * np.sign(np.linalg.det(turn)) * rng.uniform(0.1, 10), rng.normal(size=3)
    return scan


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_trap_icon_s_calib_is_for_the_published_units_times_100_not_for_metres(seed):
    scan, raw = similarity(seed), np.random.default_rng(seed).normal(size=(50, 3))
    record = {"calib": record_calib(), "subject.world_from_scan": scan}
    found = load_transform("icon_calib", scan="subject.world_from_scan")(record)["icon_calib"]
    world = raw @ scan[:3, :3].T + scan[:3, 3]
    wanted = world @ record["calib"][:3, :3].T + record["calib"][:3, 3]
    np.testing.assert_allclose(icon_projection(raw, found), wanted, rtol=1e-5, atol=1e-5)
    for ndc_y, sign in (("down", 1), ("up", -1)):  # the other options go with it
        transform = load_transform("icon_calib", units_per_metre=1, ndc_y=ndc_y, scan="subject.world_from_scan")
        thousand = transform(record)["icon_calib"]
        np.testing.assert_allclose(icon_projection(raw / 100, thousand), wanted * [1, sign, 1], rtol=1e-5, atol=1e-5)


def test_a_scan_published_in_the_record_s_frame_changes_nothing():
    record = {"calib": record_calib(), "scan": np.eye(4)}
    found = [load_transform("icon_calib", scan=scan)(record)["icon_calib"] for scan in (None, "scan")]
    np.testing.assert_array_equal(*found)
    assert load_transform("icon_calib").reads == ("calib",)


def test_a_missing_matrix_of_the_scan_is_named():
    transform = load_transform("icon_calib", scan="subject.world_from_scan")
    assert transform.reads == ("calib", "subject.world_from_scan")
    with pytest.raises(SchemaError, match=r"lacks subject.world_from_scan"):
        transform({"calib": np.eye(4)})
    with pytest.raises(SchemaError, match=r"`subject.world_from_scan` is \(3, 3\), not a matrix"):
        transform({"calib": np.eye(4), "subject.world_from_scan": np.eye(3)})
