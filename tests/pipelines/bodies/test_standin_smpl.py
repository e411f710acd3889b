"""The stand-in for SMPL: a file as those of SMPL are, with the surface and the joints of the stand-in for SMPL-X."""

import shutil

import numpy as np
import pytest
import trimesh
from tessera.pipelines.bodies import standin_smpl
from tessera.pipelines.bodies.joints import SMPLX_JOINTS
from tessera.pipelines.bodies.standin import MARK
from tessera.pipelines.native import import_open3d

SHAPES = {
    "v_template": (6890, 3), "f": (13776, 3), "shapedirs": (6890, 3, 10), "posedirs": (6890, 3, 207),
    "J_regressor": (24, 6890), "kintree_table": (2, 24), "weights": (6890, 24),
}  # fmt: skip
SPREAD = (0, -2.0, 2.0)  # standard deviations of a shape


@pytest.fixture(scope="module")
def file(smpl_models):
    with np.load(smpl_models / "smpl" / "SMPL_NEUTRAL.npz", allow_pickle=False) as found:
        return dict(found)


@pytest.fixture(scope="module")
def smplx_file(smpl_models):
    with np.load(smpl_models / "smplx" / "SMPLX_NEUTRAL.npz", allow_pickle=False) as found:
        return dict(found)


def mesh(file):
    return trimesh.Trimesh(file["v_template"], file["f"].astype(np.int64), process=False)


def distance(file, points):
    """Unsigned distance to a model's surface, as open3d says it."""
    o3d = import_open3d()
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.core.Tensor(file["v_template"].astype(np.float32)), o3d.core.Tensor(file["f"].astype(np.uint32))
    )
    return scene.compute_distance(o3d.core.Tensor(points.astype(np.float32))).numpy()


def test_arrays_are_those_of_smpl(file, smplx_file):
    assert {name: value.shape for name, value in file.items() if name != MARK} == SHAPES
    assert all(np.isfinite(value).all() for name, value in file.items() if name != MARK)
    assert str(file[MARK]) == str(smplx_file[MARK]).replace("SMPL-X", "SMPL")
    parents = file["kintree_table"][0]
    assert parents[0] == 2**32 - 1
    assert parents[1:].tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]


def test_it_is_one_closed_skin(file):
    found = mesh(file)
    assert found.is_watertight and found.is_winding_consistent and found.euler_number == 2 and found.body_count == 1
    assert 0.03 < found.volume < 0.12  # cubic metres, and positive: faces look outwards
    assert set(np.unique(file["f"])) == set(range(6890)) and found.area_faces.min() > 0


def test_its_surface_is_that_of_the_other_stand_in(file, smplx_file):
    """But for the mouth, and the eyeballs, which lie behind the lids."""
    there = distance(smplx_file, file["v_template"])
    nose = file["v_template"][332]
    mouth = np.linalg.norm(file["v_template"] - nose, axis=1) < 0.12
    assert there[~mouth].max() < 1e-5 and (there > 1e-3).sum() < 10
    face = [SMPLX_JOINTS.index(name) for name in ("left_eye", "right_eye", "jaw")]
    back = distance(file, smplx_file["v_template"][smplx_file["weights"][:, face].sum(1) < 0.1])
    assert back.max() < 2e-3 and back.mean() < 2e-4  # with fewer faces


def test_joints_are_those_of_the_other_stand_in_whatever_the_shape(file, smplx_file):
    for number in range(10):
        for weight in SPREAD:
            ours, other = (x["J_regressor"] @ (x["v_template"] + weight * x["shapedirs"][..., number])
                           for x in (file, smplx_file))  # fmt: skip
            assert np.linalg.norm(ours[:22] - other[:22], axis=1).max() < 5e-4
    joints = dict(zip(SMPLX_JOINTS, smplx_file["J_regressor"] @ smplx_file["v_template"], strict=True))
    hands = (file["J_regressor"] @ file["v_template"])[22:]
    for hand, side, x in zip(hands, ("left", "right"), (1, -1), strict=True):
        assert 0.05 < (hand - joints[f"{side}_wrist"])[0] * x < 0.13
        assert np.linalg.norm(hand - joints[f"{side}_middle1"]) < 0.03


def test_weights_and_regressors_are_means(file, smplx_file):
    for name in ("weights", "J_regressor"):
        assert (file[name] >= 0).all() and np.abs(file[name].sum(1) - 1).max() < 1e-6
    x, y = file["v_template"][:, 0], file["v_template"][:, 1]
    wrist = (file["J_regressor"] @ file["v_template"])[20, 0]
    for hand, outwards in ((22, x), (23, -x)):
        assert (file["weights"][outwards > x.max() - 0.05, hand] > 0.99).all()
        assert not file["weights"][outwards < wrist - 0.02, hand].any()  # jaw and eyes are the head's
    assert (file["weights"][y > y.max() - 0.05, 15] > 0.99).all()


def test_numbers_of_vertices_that_users_know_are_where_they_are_on_smpl(file, smplx_file):
    from smplx.vertex_ids import vertex_ids

    for name, number in vertex_ids["smplh"].items():
        other = smplx_file["v_template"][vertex_ids["smplx"][name]]
        assert np.linalg.norm(file["v_template"][number] - other) < 0.005, name


def test_it_is_never_made_of_smplx_itself(smplx_file, tmp_path, monkeypatch):
    """A folder of the user's own models has the same names."""
    monkeypatch.setattr(standin_smpl, "stand_in", lambda: smplx_file)
    (tmp_path / "smplx").mkdir()
    np.savez(tmp_path / "smplx" / "SMPLX_NEUTRAL.npz", v_template=np.zeros((10475, 3)))
    standin_smpl.write_stand_in_smpl(tmp_path)
    written = {path.name: path.read_bytes() for path in (tmp_path / "smpl").iterdir()}
    assert set(written) == {f"SMPL_{gender}.npz" for gender in ("NEUTRAL", "MALE", "FEMALE")}
    assert len(set(written.values())) == 1


def test_it_is_the_same_each_time(smpl_models, tmp_path):
    shutil.copytree(smpl_models / "smplx", tmp_path / "smplx")
    standin_smpl.write_stand_in_smpl(tmp_path)
    first, second = (np.load(folder / "smpl" / "SMPL_MALE.npz") for folder in (smpl_models, tmp_path))
    for name in SHAPES:
        np.testing.assert_array_equal(first[name], second[name])
