"""The stand-in is a file as those of SMPL-X are, and a person."""

import numpy as np
import pytest
from tessera.datasets.surface.surface import Surface
from tessera.pipelines.bodies.joints import SMPLX_JOINTS, SMPLX_PARENTS
from tessera.pipelines.bodies.standin import MARK

SHAPES = {
    "v_template": (10475, 3), "f": (20908, 3), "shapedirs": (10475, 3, 20), "posedirs": (10475, 3, 486),
    "J_regressor": (55, 10475), "kintree_table": (2, 55), "weights": (10475, 55), "hands_componentsl": (45, 45),
    "hands_componentsr": (45, 45), "hands_meanl": (45,), "hands_meanr": (45,), "lmk_faces_idx": (51,),
    "lmk_bary_coords": (51, 3), "dynamic_lmk_faces_idx": (79, 17), "dynamic_lmk_bary_coords": (79, 17, 3),
}  # fmt: skip


@pytest.fixture(scope="module")
def file(body_models):
    with np.load(body_models / "smplx" / "SMPLX_NEUTRAL.npz", allow_pickle=False) as found:
        return dict(found)


def test_arrays_are_those_of_smplx(file):
    assert {name: value.shape for name, value in file.items() if name != MARK} == SHAPES
    assert str(file[MARK]).startswith("stand-in of anny") and str(file[MARK]).endswith("not SMPL-X")
    assert file["kintree_table"][0, 0] == 2**32 - 1 and (file["kintree_table"][0, 1:] == SMPLX_PARENTS[1:]).all()
    assert all(np.isfinite(value).all() for name, value in file.items() if name != MARK)


def test_the_smplx_package_loads_it_as_one_of_its_own(body_models):
    import smplx

    model = smplx.create(str(body_models), "smplx", gender="male", use_pca=True, num_pca_comps=12, ext="npz",
                         use_face_contour=True)  # fmt: skip
    out = model()
    assert out.vertices.shape == (1, 10475, 3) and out.joints.shape == (1, 144, 3)


def test_it_is_as_open_as_smplx_is(file):
    """Two eyeballs of their own, and a hole of thirty faces in the mouth."""
    report = Surface(file["v_template"], file["f"].astype(np.int64)).report
    assert (report.parts, report.open_edges, report.crowded_edges, report.turned_faces) == (3, 32, 0, 0)
    assert report.method == "winding"
    assert set(np.unique(file["f"])) == set(range(10475))


def test_it_stands_in_the_t_pose_with_joints_inside(file):
    vertices, joints = file["v_template"], file["J_regressor"] @ file["v_template"]
    height = np.ptp(vertices[:, 1])
    assert 1.5 < height < 2.0 and 0.8 < np.ptp(vertices[:, 0]) / height < 1.1
    named = dict(zip(SMPLX_JOINTS, joints, strict=True))
    for side, x in (("left", 1), ("right", -1)):
        chain = np.stack([named[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist", "middle1")])
        assert (np.diff(chain[:, 0]) * x > 0.05).all() and np.ptp(chain[:, 1]) < 0.02 and np.ptp(chain[:, 2]) < 0.02
        assert named[f"{side}_foot"][2] > named[f"{side}_ankle"][2] + 0.05  # toes to the front
    distance = Surface(vertices, file["f"].astype(np.int64)).signed_distance(joints).distance
    clear = [i for i, name in enumerate(SMPLX_JOINTS) if name[-1] not in "123" or name.startswith("spine")]
    assert (distance[clear] < -0.002).all() and (distance < 0).all()
    deep = [SMPLX_JOINTS.index(name) for name in ("pelvis", "spine1", "spine2", "spine3", "left_hip", "left_knee")]
    assert (distance[deep] < -0.03).all()


def test_it_is_alike_on_both_sides(file):
    vertices = file["v_template"]
    mirrored = Surface(vertices * [-1, 1, 1], file["f"][:, ::-1].astype(np.int64)).signed_distance(vertices)
    assert np.abs(mirrored.distance).max() < 0.006


def test_weights_and_regressors_are_means(file):
    for name in ("weights", "J_regressor"):
        assert (file[name] >= 0).all() and np.abs(file[name].sum(1) - 1).max() < 1e-6
    for side in "lr":
        rows = file[f"hands_components{side}"]
        np.testing.assert_allclose(rows @ rows.T, np.eye(45), atol=1e-12)


def test_shapes_are_those_of_people(file):
    """The first direction is height; none of the directions at two deviations makes a monster."""
    heights = []
    for number in range(10):
        for weight in (-2.0, 2.0):
            vertices = file["v_template"] + file["shapedirs"][..., number] * weight
            heights.append(np.ptp(vertices[:, 1]))
    assert min(heights) > 1.3 and max(heights) < 2.2 and abs(heights[0] - heights[1]) == max(np.abs(np.diff(heights)))
    moved = np.linalg.norm(file["shapedirs"][..., 10:], axis=1).max(0)
    assert (moved > 0.0015).all() and (moved < 0.06).all()  # expressions
    still = file["v_template"][:, 1] < 0.3
    assert np.abs(file["shapedirs"][still][..., 10:]).max() < 1e-3


def test_numbers_of_vertices_that_users_know_are_where_they_are_on_smplx(file):
    from smplx.vertex_ids import vertex_ids

    at = {name: file["v_template"][number] for name, number in vertex_ids["smplx"].items()}
    named = dict(zip(SMPLX_JOINTS, file["J_regressor"] @ file["v_template"], strict=True))
    for letter, side, x in (("l", "left", 1), ("r", "right", -1)):
        for finger in ("thumb", "index", "middle", "ring", "pinky"):
            assert 0.01 < np.linalg.norm(at[letter + finger] - named[f"{side}_{finger}3"]) < 0.05
        assert np.linalg.norm(at[f"{letter}eye"] - named[f"{side}_eye"]) < 0.03
        assert at[f"{letter}ear"][0] * x > 0.06
        toe, small, heel = (at[letter.upper() + name] for name in ("BigToe", "SmallToe", "Heel"))
        assert toe[2] > heel[2] + 0.15 and (small[0] - toe[0]) * x > 0.04
    assert at["nose"][2] > named["head"][2] + 0.08 and abs(at["nose"][0]) < 0.01


def test_marks_of_the_face_are_in_front_of_the_head(file):
    corners = file["v_template"][file["f"][file["lmk_faces_idx"].astype(int)].astype(int)]
    marks = np.einsum("nk,nki->ni", file["lmk_bary_coords"], corners)
    named = dict(zip(SMPLX_JOINTS, file["J_regressor"] @ file["v_template"], strict=True))
    assert (marks[:, 2] > named["head"][2]).all() and np.ptp(marks[:, 0]) < 0.16 and np.ptp(marks[:, 1]) < 0.2
    assert (marks[:5, 0] < 0).all() and (marks[5:10, 0] > 0).all()  # brows
