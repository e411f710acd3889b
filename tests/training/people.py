"""A tiny data set in the shape of the recipe `thuman2`: ellipsoids as people, smaller ellipsoids as their bodies."""

import hashlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tessera.datasets import Catalog, Schema, ShardWriter
from tessera.datasets.catalog import scan_shards
from tessera.datasets.joints import JOINT_SETS
from tessera.datasets.surface.surface import Surface
from tessera.pipelines.recipes.thuman2 import RECIPE, Thuman2Options
from tessera.pipelines.shared import npz

SIZE, HALF, RINGS, ROUND, SIDE = 32, 1.0, 7, 12, 16
VERTICES = 2 + RINGS * ROUND
OPTIONS = Thuman2Options(views=4, size=SIZE, variants=2, with_="voxels,orientation")
SPLITS = {"train": {0: (0, 1, 2), 1: (3, 4)}, "val": {0: (5, 6, 7)}, "test": {0: (8,)}}
YAWS = {"train": (0, 90, 200), "val": (0, 90), "test": (0, 90, 180, 270)}
SHELLS = {"near_1cm": 0.02, "near_5cm": 0.1, "face": 0.02, "hands": 0.01, "feet": 0.02, "uniform": 0.0}
KEPT = {
    "views": {"intrinsics", "world_from_camera", "calib", "image", "mask", "normal_f", "normal_b", "body_normal_f",
              "body_normal_b", "noisy_normal_f", "noisy_normal_b", "body_parts", "body_visible", "orientation",
              "orientation_confidence"},
    "subjects": {"cube_half_side", "points", "sdf", "points_strata", "body_vertices", "body_normals", "body_face",
                 "body_bary", "body_sdf", "scan_surface", "scan_surface_normal", "body_volume"},
}  # fmt: skip


@cache
def schemas() -> dict[str, Schema]:
    """The recipe's own schemas, of bodies of few vertices and of small volumes."""
    sizes = {"vertices": VERTICES, "vertex_bytes": -(-VERTICES // 8), "grid": SIDE}
    made = {}
    for name, schema in RECIPE.schemas(OPTIONS).items():
        fields = tuple(x for x in schema.fields if x.name in KEPT[name])
        assert len(fields) == len(KEPT[name]), KEPT[name] - {x.name for x in fields}
        used = {side for x in fields for side in x.shape if isinstance(side, str)}
        dimensions = {key: sizes.get(key, size) for key, size in schema.dimensions.items() if key in used}
        made[name] = replace(schema, fields=fields, dimensions=dimensions)
    return made


@cache
def sphere() -> tuple[np.ndarray, np.ndarray]:
    """Vertices of the unit sphere, and outward faces."""
    polar = np.pi * np.arange(1, RINGS + 1) / (RINGS + 1)
    turn = 2 * np.pi * np.arange(ROUND) / ROUND
    rings = np.stack([np.sin(polar)[:, None] * np.sin(turn), np.broadcast_to(np.cos(polar)[:, None], (RINGS, ROUND)),
                      np.sin(polar)[:, None] * np.cos(turn)], -1).reshape(-1, 3)  # fmt: skip
    faces = []
    for i in range(ROUND):
        j = (i + 1) % ROUND
        faces.append((0, 1 + i, 1 + j))
        for ring in range(RINGS - 1):
            a, b, c, d = (1 + (ring + k) * ROUND + x for k in (0, 1) for x in (i, j))
            faces += [(a, c, b), (b, c, d)]
        faces.append((VERTICES - 1, 1 + (RINGS - 1) * ROUND + j, 1 + (RINGS - 1) * ROUND + i))
    return np.concatenate([[[0, 1, 0]], rings, [[0, -1, 0]]]), np.array(faces, np.int32)


def axes(number: int) -> np.ndarray:
    """Half axes of a person, metres."""
    rng = np.random.default_rng(100 + number)
    return np.array([0.35, 0.8, 0.3]) * rng.uniform(0.85, 1.15, 3)


def bodies(number: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(centre, half axes) of the fit and of the two variants."""
    rng = np.random.default_rng(200 + number)
    near = [(rng.uniform(-0.04, 0.04, 3), 0.9 * axes(number) * rng.uniform(0.9, 1.1, 3)) for _ in range(2)]
    return [(np.zeros(3), 0.9 * axes(number)), *near]


def distance(points: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Signed distance to an ellipsoid, to first order; its sign is exact."""
    level = np.linalg.norm(points / half, axis=-1)
    return (level - 1) * level / np.maximum(np.linalg.norm(points / half**2, axis=-1), 1e-9)


def camera(yaw: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intrinsics, world from camera, calib of an orthographic camera two metres away."""
    a = np.radians(yaw)
    right, down, ahead = (np.cos(a), 0, -np.sin(a)), (0, -1, 0), (-np.sin(a), 0, -np.cos(a))
    turn, world = np.stack([right, down, ahead], 1), np.eye(4)
    world[:3, :3], world[:3, 3] = turn, -2 * np.array(ahead)
    calib = np.eye(4)
    calib[:3, :3] = np.diag([1, 1, -1]) @ turn.T / HALF
    k = SIZE / 2 / HALF
    return np.array([[k, 0, SIZE / 2], [0, k, SIZE / 2], [0, 0, 1]]), world, calib


def rays(yaw: float, centre: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mask, and normals of the first and of the last hit in the camera's frame."""
    _, world, _ = camera(yaw)
    at = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    x, y = np.meshgrid(at * HALF, at * HALF)
    begin = x[..., None] * world[:3, 0] + y[..., None] * world[:3, 1] - centre
    o, d = begin / half, world[:3, 2] / half
    a, b, c = (d * d).sum(), (o * d).sum(-1), (o * o).sum(-1) - 1
    root = b * b - a * c
    mask, found = root > 0, []
    for sign in (-1, 1):
        t = (-b + sign * np.sqrt(np.maximum(root, 0))) / a
        normal = (begin + t[..., None] * world[:3, 2]) / half**2
        normal = normal / np.linalg.norm(normal, axis=-1, keepdims=True) @ world[:3, :3]
        found.append(np.where(mask[..., None], normal, 0).astype(np.float32))
    return mask, found[0], found[1]


def subject(number: int) -> dict[str, Any]:
    """Fields of one person."""
    rng, half = np.random.default_rng(number), axes(number)
    entry = schemas()["subjects"].by_name
    strata, pool = [0], []
    for name in entry["points_strata"].options["strata"]:
        kind, side = name.rsplit("_", 1)
        some = rng.normal(size=(4000, 3))
        some = some / np.linalg.norm(some, axis=1, keepdims=True) * half
        some += rng.normal(scale=SHELLS[kind] or 0.3, size=some.shape)
        some = entry["points"].storage.unpack(entry["points"].storage.pack(some.clip(-1, 1)), np.dtype(np.float32))
        sdf = distance(some, half).astype(np.float16)
        pool.append(some[(sdf < 0) == (side == "inside")][:300])
        strata.append(strata[-1] + len(pool[-1]))
    points = np.concatenate(pool)
    on = rng.normal(size=(4000, 3))
    on = on / np.linalg.norm(on, axis=1, keepdims=True) * half
    normal = on / half**2
    ball, faces = sphere()
    made: dict[str, list[Any]] = {}
    for centre, size in bodies(number):
        posed = (ball * size + centre).astype(np.float32)
        found = Surface(posed, faces, method="winding").signed_distance(points.astype(np.float64))
        out = ball / size
        level = np.linalg.norm((lattice() - centre) / size, axis=-1)
        colour = (127 + 120 * lattice()).clip(1, 255).astype(np.uint8)
        each = {
            "body_vertices": posed, "body_normals": (out / np.linalg.norm(out, axis=1, keepdims=True)),
            "body_face": found.face.astype(np.uint16), "body_bary": found.bary.astype(np.float32),
            "body_sdf": found.distance.astype(np.float16),
            "body_volume": np.where(level[..., None] < 1, colour, 0).astype(np.uint8),
        }  # fmt: skip
        for name, value in each.items():
            made.setdefault(name, []).append(value)
    axis = {"body_face": 1, "body_bary": 1, "body_sdf": 1}
    stacked = {name: np.stack(values, axis.get(name, 0)) for name, values in made.items()}
    return stacked | {
        "cube_half_side": np.float64(HALF), "points": points, "sdf": distance(points, half).astype(np.float16),
        "points_strata": np.array(strata, np.int32), "scan_surface": on.astype(np.float32),
        "scan_surface_normal": (normal / np.linalg.norm(normal, axis=1, keepdims=True)).astype(np.float32),
        "body_normals": stacked["body_normals"].astype(np.float32),
    }  # fmt: skip


@cache
def lattice() -> np.ndarray:
    """Centres of the cells of a volume, (x, y, z, 3)."""
    at = ((np.arange(SIDE) + 0.5) / SIDE * 2 - 1) * HALF
    return np.stack(np.meshgrid(at, at, at, indexing="ij"), -1)


def view(number: int, yaw: float) -> dict[str, Any]:
    """Fields of one view."""
    rng = np.random.default_rng([number, int(yaw)])
    k, world, calib = camera(yaw)
    mask, front, back = rays(yaw, np.zeros(3), axes(number))
    made: dict[str, Any] = {"intrinsics": k, "world_from_camera": world, "calib": calib, "mask": mask}
    shade = np.abs(front[..., 2:]) * rng.uniform(120, 250, 3)
    made |= {"image": shade.astype(np.uint8), "normal_f": front, "normal_b": back}
    seen, noisy = [], []
    for count, (centre, half) in enumerate(bodies(number)):
        there, *sides = rays(yaw, centre, half)
        if count == 0:
            made |= {"body_normal_f": sides[0], "body_normal_b": sides[1]}
            made["body_parts"] = np.where(there, 1 + np.arange(SIZE)[:, None] * 24 // SIZE, 0).astype(np.uint8)
        else:
            noisy.append(sides)
        seen.append((sphere()[0] / half) @ world[:3, 2] < 0)
    angle = np.where(mask, rng.uniform(0, 3.1, mask.shape), np.nan).astype(np.float16)
    return made | {
        "noisy_normal_f": np.stack([x[0] for x in noisy]), "noisy_normal_b": np.stack([x[1] for x in noisy]),
        "body_visible": np.packbits(np.stack(seen), axis=1, bitorder="little"), "orientation": angle,
        "orientation_confidence": np.where(mask, 0.5, 0).astype(np.float16),
    }  # fmt: skip


def scalars(schema: Schema, **given: Any) -> dict[str, Any]:
    """Values of all columns."""
    blank = {"string": "", "int64": 0, "float64": 0.0, "bool": False}
    return {x.name: blank[x.type] for x in schema.columns} | given


def write_people(root: Path, splits: dict[str, dict[int, tuple[int, ...]]] = SPLITS, **changes: Any) -> Path:
    """Write the data set; `changes` are of the catalog, `shift` is added to the subjects' numbers in their names."""
    known = changes.pop("schemas", schemas())
    ball, faces = sphere()
    body = npz({"faces": faces, "canonical": ((ball + 1) / 2).astype(np.float32),
                "part": (np.arange(VERTICES) * 24 // VERTICES).astype(np.uint8)})  # fmt: skip
    (root / "assets").mkdir(parents=True)
    (root / "assets" / "body.npz").write_bytes(body)
    for split, groups in splits.items():
        for group, numbers in groups.items():
            _write_group(root / split, split, group, numbers, known)
    joints = JOINT_SETS["smplx55"]
    blank = Catalog(
        name="people", recipe="thuman2", state="building", labels={"points": 1}, options={"size": SIZE, "variants": 2},
        selection={}, seed=0, groups={split: len(groups) for split, groups in splits.items()}, shard_bytes=1 << 20,
        tables=known, code_version="0", joint_sets={joints.name: joints.to_json()},
        assets={"assets/body.npz": hashlib.sha256(body).hexdigest()},
    )  # fmt: skip
    replace(blank.with_shards(scan_shards(root, blank), 0, "complete"), **changes).write(root, "run")
    return root


def _write_group(folder: Path, split: str, group: int, numbers: tuple[int, ...], known: dict[str, Schema]) -> None:
    with (
        ShardWriter(folder, "views", split, group, known["views"], run="run") as views,
        ShardWriter(folder, "subjects", split, group, known["subjects"], run="run") as subjects,
    ):
        for number in numbers:
            name = f"{number:04d}"
            views.begin(name)
            subjects.begin(name)
            made = {key: value for key, value in subject(number).items() if key in known["subjects"].by_name}
            subjects.add(name, made, scalars(known["subjects"]))
            for yaw in YAWS[split]:
                given = scalars(known["views"], subject=name, yaw=float(yaw), pitch=0.0, body_model="smplx")
                made = {key: value for key, value in view(number, yaw).items() if key in known["views"].by_name}
                views.add(f"{name}-{yaw:03d}", made, given)
        for writer in (views, subjects):
            writer.commit(dict.fromkeys([f"{x:04d}" for x in numbers], "f"), [], {"labels": {"points": 1}})
