"""Body models: what is read of their files, and how they are posed."""

import pickle

import numpy as np
import pytest
from tessera.datasets.errors import FormatError, UsageError
from tessera.pipelines.bodies.model import load_model, model_path
from tessera.pipelines.bodies.noise import JOINTS, noisy


def parameters(seed=0):
    rng = np.random.default_rng(seed)
    sizes = {"betas": 10, "expression": 10, "global_orient": 3, "body_pose": 63, "jaw_pose": 3, "leye_pose": 3,
             "reye_pose": 3, "transl": 3}  # fmt: skip
    return {name: rng.normal(size=size) * 0.2 for name, size in sizes.items()}


def test_it_poses_as_the_smplx_package_does(body, body_models):
    """As THuman2.0's fits are read: male, twelve numbers a hand, relative to the mean hand."""
    import smplx
    import torch

    given = parameters()
    hands = {"left_hand_pose": np.linspace(-1, 1, 12), "right_hand_pose": np.linspace(1, -1, 12)}
    plain = smplx.create(str(body_models), "smplx", gender="male", use_pca=True, num_pca_comps=12,
                         flat_hand_mean=False, ext="npz", dtype=torch.float64)  # fmt: skip
    out = plain(**{name: torch.tensor(value[None]) for name, value in (given | hands).items()})
    full = {name: body.hand_pose(name.split("_")[0], value, False) for name, value in hands.items()}
    posed = body.pose(given | full)
    np.testing.assert_allclose(posed.vertices, out.vertices[0].detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(posed.joints, out.joints[0, :55].detach().numpy(), atol=1e-12)


def test_a_body_at_rest_is_the_template(body):
    rest = body.pose({})
    np.testing.assert_allclose(rest.vertices, body.template, atol=1e-12)
    turned = body.pose({"global_orient": np.array([0, np.pi / 2, 0])})
    around = rest.joints[0]
    expected = (rest.vertices - around) @ np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0.0]]).T + around
    np.testing.assert_allclose(turned.vertices, expected, atol=1e-7)  # the package adds 1e-8 to axis and angle


def test_it_says_that_it_is_a_stand_in(body):
    assert body.stand_in is not None and "not SMPL-X" in body.stand_in


def test_noise_moves_what_icon_moves_and_nothing_else():
    given = parameters()
    found = noisy(given, np.random.default_rng(0))
    moved = np.flatnonzero(found["body_pose"] != given["body_pose"])
    np.testing.assert_array_equal(np.unique(moved // 3 + 1), JOINTS)
    assert len(moved) == 36 and np.abs(found["body_pose"] - given["body_pose"]).max() < 0.05 * np.pi
    assert 0 < np.abs(found["betas"] - given["betas"]).max() < 0.5
    assert all(found[name] is given[name] for name in given if name not in ("body_pose", "betas"))


def test_an_absent_model_says_where_it_comes_from(tmp_path):
    with pytest.raises(UsageError, match=r"register at https://smpl-x.*smplx/SMPLX_MALE.npz as --body-models"):
        model_path(tmp_path, "male")
    with pytest.raises(UsageError, match="gender 'other'"):
        model_path(tmp_path, "other")


def test_published_files_hold_pickles_that_are_not_opened(body_models, tmp_path):
    """`joint2num` and `part2num` of SMPL-X v1.1 are dicts in object arrays."""

    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle ran",))

    with np.load(body_models / "smplx" / "SMPLX_MALE.npz") as file:
        arrays = dict(file)
    path = tmp_path / "SMPLX_MALE.npz"
    np.savez(path, **arrays, joint2num=np.array(Bomb(), object))
    assert len(load_model(path).faces) == 20908


@pytest.mark.parametrize("name", ["v_template", "weights", "f", "hands_meanl"])
def test_what_is_no_body_model_is_refused(body_models, tmp_path, name):
    with np.load(body_models / "smplx" / "SMPLX_MALE.npz") as file:
        arrays = {key: file[key] for key in file.files if key != "posedirs"}
    arrays["posedirs"] = np.zeros((10475, 3, 486), np.float32)
    for change in (lambda x: None, lambda x: x[..., None]):
        value = change(arrays[name])
        path = tmp_path / f"{'gone' if value is None else 'other'}.npz"
        np.savez(path, **{key: x for key, x in (arrays | {name: value}).items() if x is not None})
        with pytest.raises(FormatError, match=f"{name} .*no SMPL-X model"):
            load_model(path)


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "SMPLX_MALE.npz"
    path.write_bytes(b"something else")
    with pytest.raises(FormatError, match="cannot be read as a SMPL-X model"):
        load_model(path)
    path.write_bytes(pickle.dumps({"v_template": 1}))
    with pytest.raises(FormatError, match="cannot be read as a SMPL-X model"):
        load_model(path)
