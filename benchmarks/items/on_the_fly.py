"""An item as ICON's data set and network make it from raw files, with the fastest libraries that do each step on a CPU.

After lib/dataset/PIFuDataset.py and lib/net/HGPIFuNet.py: the mesh is loaded, its normals computed, candidates drawn
and tested for being inside (trimesh with Embree); the body model is created and posed with noise, the visibility of its
vertices computed again for the noise, as later versions do; signed distance, closest place, canonical colour, normal
and visibility of the body are asked at each point. What the reference does on a GPU, with libraries without CPU version
(signed distance, rasteriser) is done here by Open3D, which is faster than the same on a CPU.
"""

import io
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import cKDTree

from ...datasets.safe_pickle import safe_loads
from ...pipelines.native import import_open3d
from .reference_files import PICTURES

POINTS = 8000
SIGMA, NOISE_POSE, NOISE_SHAPE, CLIP = 5.0, 0.05, 0.5, 0.15
NOISY = (4, 5, 7, 8, 13, 14, 16, 17, 18, 19, 20, 21)
Floats = NDArray[np.float64]


class OnTheFly:
    """Makes items.

    Args:
        raw: THuman2.0's layout, `body_models` in it.
        rendered: of `write_reference_files`.
    """

    def __init__(self, raw: Path, rendered: Path) -> None:
        self.raw, self.rendered = raw, rendered
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - start

    def make(self, key: str, rng: np.random.Generator) -> dict[str, Any]:
        """The item of a view, such as `0000-010`."""
        import trimesh

        subject = key.partition("-")[0]
        item: dict[str, Any] = {}
        with self._step("pictures"):
            for name in PICTURES:
                with Image.open(self.rendered / name / f"{key}.png") as file:
                    picture = np.asarray(file, np.float32)
                item[name] = (picture[..., :3] / 127.5 - 1) * (picture[..., 3:] / 255)
        calib = np.loadtxt(self.rendered / "calib" / f"{key}.txt")[:4]
        with self._step("mesh load"):
            path = self.raw / "scans" / subject / f"{subject}.obj"
            mesh: Any = trimesh.load(path, process=False, maintain_order=True, skip_materials=True)
        fit = safe_loads((self.raw / "fits" / subject / "smplx_param.pkl").read_bytes(), subject)
        to_world = np.load(self.rendered / f"{subject}.npy")
        mesh.vertices = np.asarray(mesh.vertices) * to_world[0, 0] + to_world[:3, 3]
        with self._step("normals"):
            mesh.vertex_normals, mesh.face_normals  # noqa: B018, computed when they are asked for
        with self._step("kd-tree, unused"):
            cKDTree(mesh.vertices)
        with self._step("point sampling"):
            candidates = self._candidates(mesh, calib, rng)
        with self._step("inside test"):
            inside = mesh.contains(candidates)
        chosen = self._balanced(candidates, inside, rng)
        item["points"], item["labels"] = chosen
        with self._step("body model"):
            body, faces, canonical = self._body(fit, to_world, rng)
        with self._step("visibility"):
            seen = self._visible(body, faces, calib)
        with self._step("body features"):
            item |= self._features(chosen[0], body, faces, canonical, seen, calib)
        return item

    def _candidates(self, mesh: Any, calib: Floats, rng: np.random.Generator) -> Floats:
        picked = rng.integers(0, len(mesh.vertices), 4 * POINTS)
        near = mesh.vertices[picked] + mesh.vertex_normals[picked] * rng.normal(
            scale=SIGMA / 100, size=(len(picked), 1)
        )
        cube = np.concatenate([rng.uniform(-1, 1, (POINTS // 4, 3)), np.ones((POINTS // 4, 1))], 1)
        uniform = (cube @ np.linalg.inv(calib).T)[:, :3]
        return rng.permutation(np.concatenate([near, uniform]))

    def _balanced(self, points: Floats, inside: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Floats, Floats]:
        within, without = points[inside][: POINTS // 2], points[~inside]
        without = without[: POINTS - len(within)]
        return np.concatenate([within, without]), np.concatenate([np.ones(len(within)), np.zeros(len(without))])

    def _body(
        self, fit: dict[str, Any], to_world: Floats, rng: np.random.Generator
    ) -> tuple[Floats, NDArray[np.int64], Floats]:
        import smplx
        import torch

        given = {name: torch.tensor(np.asarray(value), dtype=torch.float32) for name, value in fit.items()
                 if name not in ("scale", "translation") and np.asarray(value).dtype.kind == "f"}  # fmt: skip
        pose = given["body_pose"].reshape(-1)
        for joint in NOISY:
            pose[3 * joint - 3 : 3 * joint] += torch.tensor(rng.uniform(-np.pi, np.pi, 3) * NOISE_POSE).float()
        given["betas"] = given["betas"] + torch.tensor(rng.uniform(-NOISE_SHAPE, NOISE_SHAPE, 10)).float()
        with redirect_stdout(io.StringIO()), torch.no_grad():
            model = smplx.create(
                str(self.raw / "body_models"), "smplx", gender="male", ext="npz", use_pca=True, num_pca_comps=12
            )
            vertices = model(**given).vertices[0].numpy().astype(np.float64)
        raw = vertices * np.asarray(fit["scale"]).item() + np.asarray(fit["translation"]).reshape(3)
        template = model.v_template.numpy().astype(np.float64)
        canonical = (template - template.min(0)) / np.ptp(template, 0)
        return raw * to_world[0, 0] + to_world[:3, 3], model.faces.astype(np.int64), canonical

    def _visible(self, body: Floats, faces: NDArray[np.int64], calib: Floats) -> NDArray[np.bool_]:
        scene = _scene(body, faces)
        towards = np.linalg.inv(calib)[:3, 2]
        towards = towards / np.linalg.norm(towards)
        rays = np.concatenate([body + 1e-4 * towards, np.tile(towards, (len(body), 1))], 1).astype(np.float32)
        return ~scene.test_occlusions(import_open3d().core.Tensor(rays), nthreads=1).numpy()

    def _features(
        self, points: Floats, body: Floats, faces: NDArray[np.int64], canonical: Floats, seen: NDArray[np.bool_],
        calib: Floats,
    ) -> dict[str, Any]:  # fmt: skip
        import trimesh

        o3d = import_open3d()
        scene = _scene(body, faces)
        asked = o3d.core.Tensor(points.astype(np.float32))
        found = scene.compute_closest_points(asked, nthreads=1)
        face, uv = found["primitive_ids"].numpy().astype(np.int64), found["primitive_uvs"].numpy()
        bary = np.stack([1 - uv.sum(1), uv[:, 0], uv[:, 1]], 1)
        distance = np.linalg.norm(points - found["points"].numpy(), axis=1)
        inside = scene.compute_signed_distance(asked, nthreads=1).numpy() < 0
        sign = np.where(inside, 1.0, -1.0)
        mesh = trimesh.Trimesh(body, faces, process=False)
        corner = faces[face]
        sdf = sign * distance * np.linalg.norm(calib[0, :3]) / np.sqrt(3)
        far = np.abs(sdf) >= CLIP
        cmap = np.einsum("nk,nki->ni", bary, canonical[corner])
        return {
            "sdf": np.where(far, sign, sdf), "cmap": np.where(far[:, None], sign[:, None], cmap),
            "norm": np.einsum("nk,nki->ni", bary, mesh.vertex_normals[corner]),
            "vis": np.einsum("nk,nk->n", bary, seen[corner].astype(float)) >= 0.1,
        }  # fmt: skip


def _scene(vertices: Floats, faces: NDArray[np.int64]) -> Any:
    o3d = import_open3d()
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(o3d.core.Tensor(vertices.astype(np.float32)), o3d.core.Tensor(faces.astype(np.uint32)))
    return scene
