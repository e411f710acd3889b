"""A free stand-in for SMPL: a file of exactly its format, made of the stand-in for SMPL-X.

Not SMPL: neither its vertices nor its shape space. Surface, people and joints are those of the other stand-in, but for
its eyeballs and the hole in its mouth, which SMPL does not have.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...datasets.errors import FormatError
from ...datasets.surface.mesh_nearest import nearest
from ...datasets.surface.mesh_topology import topology
from ...datasets.surface.mesh_tree import mesh_tree
from .joints import SMPLX_JOINTS, SMPLX_PARENTS
from .standin import MARK, decimated, stand_in

VERTICES, FACES, SHAPES = 6890, 13776, 10  # of SMPL
BODY = 22  # joints that SMPL and SMPL-X begin with; SMPL has one for each hand behind them, SMPL-X face and fingers
SIDES = ("left", "right")
PARENTS = (*SMPLX_PARENTS[:BODY], *(SMPLX_JOINTS.index(f"{side}_wrist") for side in SIDES))
KNUCKLES = ("index1", "middle1", "pinky1", "ring1")  # SMPL has the joint of a hand between them
Floats = NDArray[np.float64]
Faces = NDArray[np.int32]


def smpl_stand_in(smplx: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays of a SMPL model file; takes some seconds.

    Args:
        smplx: arrays of the stand-in for SMPL-X (`stand_in`).

    Returns:
        The keys of `SMPL_NEUTRAL.npz` (v_template (6890, 3), f (13776, 3), shapedirs (6890, 3, 10), posedirs
        (6890, 3, 207) of zeros, J_regressor, kintree_table, weights), metres, y up, looking along +z; and
        `tessera_stand_in`, what it is made of.

    Raises:
        FormatError: there is no closed mesh with so many vertices and faces.
    """
    skin, rim = _closed(smplx["v_template"], smplx["f"].astype(np.int32))

    def filled(values: Floats) -> Floats:
        """Values of the vertices (10475, ...), and behind them of the one that closes the mouth."""
        return np.concatenate([values, values[rim].mean(0, keepdims=True)])

    whole = filled(smplx["v_template"])
    coarse, faces = decimated(whole, skin, FACES)
    if len(coarse) != VERTICES or len(faces) != FACES or not topology(coarse, faces.astype(np.int32)).watertight:
        raise FormatError(f"the stand-in has {len(coarse)} vertices and {len(faces)} faces; another version of open3d?")
    order = _vertex_order(coarse, smplx["v_template"])
    faces = np.argsort(order)[faces]
    found = nearest(mesh_tree(whole, skin), coarse[order])

    def moved(values: Floats) -> Floats:
        """Values of the other stand-in's vertices (10475, ...) at the vertices of this one."""
        return np.einsum("nk,nk...->n...", found.bary, filled(values)[skin[found.face]])

    template, weights = moved(smplx["v_template"]), moved(_weights(smplx["weights"]))
    return {
        "v_template": template,
        "f": faces.astype(np.uint32),
        "shapedirs": moved(smplx["shapedirs"][..., :SHAPES]),
        "posedirs": np.zeros((VERTICES, 3, 9 * (len(PARENTS) - 1))),
        "J_regressor": _regressor(smplx, template, faces.astype(np.int32)),
        "kintree_table": np.array([PARENTS, range(len(PARENTS))], np.int64) % (1 << 32),
        "weights": weights / weights.sum(1, keepdims=True),
        MARK: np.array(str(smplx[MARK]).replace("SMPL-X", "SMPL")),
    }


def write_stand_in_smpl(folder: Path) -> None:
    """Write the stand-in as the model files of all genders: `smpl/SMPL_{NEUTRAL,MALE,FEMALE}.npz` in `folder`.

    Args:
        folder: of body models; where it holds the stand-in for SMPL-X, that one is taken, which saves half a minute.
    """
    data = io.BytesIO()
    arrays: dict[str, Any] = smpl_stand_in(_smplx_in(folder) or stand_in())
    np.savez_compressed(data, **arrays)
    (folder / "smpl").mkdir(parents=True, exist_ok=True)
    for gender in ("NEUTRAL", "MALE", "FEMALE"):
        (folder / "smpl" / f"SMPL_{gender}.npz").write_bytes(data.getvalue())


def _smplx_in(folder: Path) -> dict[str, NDArray[Any]] | None:
    """The stand-in for SMPL-X in a folder; None where there is no file, or SMPL-X itself."""
    path = folder / "smplx" / "SMPLX_NEUTRAL.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        return dict(file) if MARK in file.files else None


def _closed(vertices: Floats, faces: Faces) -> tuple[Faces, NDArray[np.int64]]:
    """Faces of the skin, closed.

    Returns:
        skin: (F, 3); its hole, the mouth, is filled by faces about one more vertex, behind the others.
        rim: vertices about the hole.
    """
    component = topology(vertices, faces).component
    skin = faces[component == np.bincount(component).argmax()]  # others are the eyeballs
    edges = skin[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).astype(np.int64)
    there, back = edges @ [len(vertices), 1], edges @ [1, len(vertices)]
    hole = edges[~np.isin(there, back)]
    middle = np.full((len(hole), 1), len(vertices))
    return np.concatenate([skin, np.concatenate([hole[:, ::-1], middle], 1)]).astype(np.int32), hole[:, 0]


def _vertex_order(vertices: Floats, smplx: Floats) -> NDArray[np.int64]:
    """(V,) an order that puts finger tips, toes, heels, nose, eyes and ears at the numbers where SMPL has them.

    Args:
        vertices: (V, 3).
        smplx: (10475, 3) vertices of the other stand-in, which has them at SMPL-X's numbers.
    """
    from scipy.spatial import cKDTree
    from smplx.vertex_ids import vertex_ids

    numbers = vertex_ids["smplh"]  # the package has SMPL's under this name
    at = list(numbers.values())
    _, chosen = cKDTree(vertices).query(smplx[[vertex_ids["smplx"][name] for name in numbers]])
    order, everyone = np.empty(len(vertices), np.int64), np.arange(len(vertices))
    order[at] = chosen
    order[np.setdiff1d(everyone, at)] = np.setdiff1d(everyone, chosen)
    return order


def _weights(weights: Floats) -> Floats:
    """(V, 24) skinning weights of (V, 55): the head moves what jaw and eyes do, a hand what its fingers do."""
    owner = list(range(BODY))
    for name in SMPLX_JOINTS[BODY:]:
        finger = name[-1] in "123"
        owner.append(BODY + SIDES.index(name.split("_")[0]) if finger else SMPLX_JOINTS.index("head"))
    out = np.zeros((len(weights), len(PARENTS)))
    np.add.at(out.T, owner, weights.T)
    return out


def _regressor(smplx: Mapping[str, NDArray[Any]], template: Floats, faces: Faces) -> Floats:
    """(24, V) the joints of the other stand-in, whose vertices are taken for where they lie on this surface."""
    rows = smplx["J_regressor"]
    hands = [rows[[SMPLX_JOINTS.index(f"{side}_{name}") for name in KNUCKLES]].mean(0) for side in SIDES]
    wanted = np.concatenate([rows[:BODY], np.stack(hands)])
    found = nearest(mesh_tree(template, faces), smplx["v_template"])
    out = np.zeros((len(wanted), len(template)))
    for corner in range(3):
        np.add.at(out.T, faces[found.face, corner], (wanted * found.bary[:, corner]).T)
    return out
