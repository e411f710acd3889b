"""Scans and fits in one frame: scales, origins, the references' units, and fits that do not belong to their scan."""

from dataclasses import replace

import numpy as np
import pytest
from tessera.datasets.errors import RawDataError
from tessera.datasets.surface.surface import Surface
from tessera.pipelines.bodies.fitted import check_fit, parameters, posed, scan_frame
from tessera.pipelines.readers.scans.fit import thuman2_fit

SCALE, TRANSLATION = 0.43, np.array([0.01, -0.02, 0.03])


@pytest.fixture(scope="module")
def fit(body):
    rng = np.random.default_rng(0)
    sizes = {"betas": 10, "expression": 10, "global_orient": 3, "body_pose": 63, "left_hand_pose": 12,
             "right_hand_pose": 12, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3}  # fmt: skip
    values = {name: (0.15 * rng.normal(size=(1, size))).astype(np.float32) for name, size in sizes.items()}
    values |= {"scale": np.float64(SCALE), "translation": TRANSLATION, "tessera_stand_in": body.stand_in}
    return thuman2_fit(values)


def raw_body(body, fit):
    return posed(body, parameters(fit, body), fit.scale, fit.translation)


def test_trap_scale_comes_before_translation(body, fit):
    """verts * scale + translation; the same as transl = translation / scale, then times scale."""
    vertices, joints = raw_body(body, fit)
    other = body.pose(parameters(fit, body) | {"transl": fit.translation / fit.scale})
    np.testing.assert_allclose(vertices, other.vertices * fit.scale, atol=1e-12)
    np.testing.assert_allclose(joints, other.joints * fit.scale, atol=1e-12)


def test_metres_are_those_of_the_fit(body, fit):
    vertices, joints = raw_body(body, fit)
    frame = scan_frame(vertices, 1 / fit.scale, joints[0])
    scale, translation = frame.placed(fit)
    assert scale == pytest.approx(1)
    in_world = posed(body, parameters(fit, body), scale, translation)[0]
    np.testing.assert_allclose(in_world, frame.to_world(vertices), atol=1e-12)
    homogeneous = np.concatenate([vertices, np.ones((len(vertices), 1))], 1)
    np.testing.assert_allclose(in_world, (homogeneous @ frame.world_from_scan.T)[:, :3], atol=1e-12)
    assert in_world[:, 1].max() == pytest.approx(-in_world[:, 1].min()) == pytest.approx(frame.height / 2)
    pelvis = frame.to_world(joints[0])
    assert pelvis[0] == pytest.approx(0) and pelvis[2] == pytest.approx(0)


def test_in_the_references_frame_every_scan_is_180_units_tall(body, fit):
    vertices, joints = raw_body(body, fit)
    frame = scan_frame(vertices, 1 / fit.scale, joints[0])
    scale, translation = frame.placed_by_references(fit)
    units = posed(body, parameters(fit, body), scale, translation)[0]
    assert np.ptp(units[:, 1]) == pytest.approx(180)
    np.testing.assert_allclose(units, (vertices - frame.centre) * 100 * (1.8 / np.ptp(vertices[:, 1])), atol=1e-9)


def test_a_scan_without_a_fit_stands_over_its_median():
    vertices = np.random.default_rng(0).normal(size=(101, 3)) * [20, 60, 10] + [5, 90, 3]
    frame = scan_frame(vertices, 0.01)
    np.testing.assert_allclose(frame.centre[[0, 2]], np.median(vertices, 0)[[0, 2]])
    assert frame.height == pytest.approx(np.ptp(vertices[:, 1]) / 100)


def test_a_scan_without_height_is_refused():
    with pytest.raises(RawDataError, match="no person"):
        scan_frame(np.zeros((3, 3)), 1.0)


@pytest.mark.parametrize(("wrong", "good"), [(1.0, True), (1.02, True), (1.5, False), (0.5, False), (100.0, False)])
def test_a_fit_far_from_its_scan_is_refused_with_the_distance(body, fit, wrong, good):
    vertices, joints = raw_body(body, fit)
    frame = scan_frame(vertices, 1 / SCALE, joints[0])
    scan = Surface(frame.to_world(vertices), body.faces)
    moved = raw_body(body, replace(fit, scale=fit.scale * wrong))[0]
    if good:
        assert check_fit(scan, frame.to_world(moved))[0] < 0.03
        return
    with pytest.raises(RawDataError, match=r"off its scan: \d+\.\d cm in the mean, \d+\.\d cm for one.*--fits ignore"):
        check_fit(scan, frame.to_world(moved))


def test_a_real_fit_met_with_the_stand_in_is_refused(body, fit):
    with pytest.raises(RawDataError, match=r"made with SMPL-X, the body model is a stand-in of anny"):
        parameters(replace(fit, stand_in=None), body)
    with pytest.raises(RawDataError, match=r"made with a stand-in of anny .*, the body model is SMPL-X"):
        parameters(fit, replace(body, stand_in=None))
    with pytest.raises(RawDataError, match="of smpl, not of SMPL-X"):
        parameters(replace(fit, model="smpl"), body)


def test_shapes_that_are_left_out_are_told(body, fit):
    longer = replace(fit, betas=np.append(fit.betas, [0.0, 0.0]))
    np.testing.assert_array_equal(parameters(longer, body)["betas"], fit.betas)
    with pytest.raises(RawDataError, match="11 numbers of betas; 10 are used"):
        parameters(replace(fit, betas=np.append(fit.betas, 0.5)), body)
