"""Files as THuman2.0 publishes them: OBJ, MTL, and fits as pickles that name trimesh's array class."""

import pickle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .clothes import Clothed
from .texture import Textured

Floats = NDArray[np.float64]
MTL = "newmtl material0\nKa 1.000000 1.000000 1.000000\nKd 1.000000 1.000000 1.000000\nKs 0.400000 0.400000 0.400000\n"
MTL += "Ns 10.000000\nillum 2\nmap_Kd material0.jpeg\n"


def write_scan(folder: Path, name: str, vertices: Floats, surface: Clothed, textured: Textured, picture: bytes) -> None:
    """`<name>.obj`, `material0.mtl`, `material0.jpeg` in a folder; vertices (V, 3) in raw units."""
    folder.mkdir(parents=True)
    faces = np.stack([surface.faces, textured.face_uv], -1).reshape(-1, 6) + 1
    with (folder / f"{name}.obj").open("w") as file:
        file.write("mtllib material0.mtl\n")
        np.savetxt(file, vertices, "v %.6f %.6f %.6f")
        np.savetxt(file, textured.uv, "vt %.6f %.6f")
        file.write("usemtl material0\n")
        np.savetxt(file, faces, "f %d/%d %d/%d %d/%d")
    (folder / "material0.mtl").write_text(MTL)
    (folder / "material0.jpeg").write_bytes(picture)


def write_fit(
    path: Path, parameters: dict[str, NDArray[np.float32]], scale: float, translation: Floats, stand_in: str
) -> None:
    """A fit: the parameters, scale and translation as tracked arrays, and what body it was made with."""
    from trimesh.caching import TrackedArray

    path.parent.mkdir(parents=True, exist_ok=True)
    fit = {**parameters, "scale": np.array(scale).view(TrackedArray), "translation": translation.view(TrackedArray),
           "tessera_stand_in": stand_in}  # fmt: skip
    path.write_bytes(pickle.dumps(fit, protocol=3))
