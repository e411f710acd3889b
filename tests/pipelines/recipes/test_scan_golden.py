"""A golden hash per label of scanned people (see test_hypersim_golden.py): output that changes raises its version.

After a change that is meant: raise the label's version, then print new hashes with
`python -m pytest tests/pipelines/recipes/test_scan_golden.py -s -n 0`.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy._core._multiarray_umath import __cpu_features__
from tessera.datasets.body_params import BODY_PARAMS
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.labels import scan_subject
from tessera.pipelines.labels.scan_camera import scan_camera
from tessera.pipelines.labels.scan_pool import KINDS, scan_pool
from tessera.pipelines.labels.subject import Bodies, Subject, SubjectView
from tessera.pipelines.labels.texture import Paint

GOLDEN = Path(__file__).with_name("golden_scans.json")
LEVEL = "avx512" if __cpu_features__.get("AVX512F") else "avx2" if __cpu_features__.get("AVX2") else "baseline"
EXTRA = "sides,relit,orientation,grid,voxels"


def ball(subdivisions: int, half_sides: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.icosphere(subdivisions)
    return np.asarray(mesh.vertices) * half_sides, np.asarray(mesh.faces, np.int32)


@pytest.fixture(scope="module")
def subject() -> Subject:
    """A textured ellipsoid and two smaller ones in it, from closed formulas."""
    vertices, faces = ball(4, (0.35, 0.85, 0.25))
    skin, body_faces = ball(3, (0.3, 0.8, 0.2))
    number = np.arange(64 * 64 * 3).reshape(64, 64, 3)
    uv = (vertices[:, :2] / (0.7, 1.7) + 0.5).astype(np.float32)
    parameters = {name: np.arange(2.0 * n).reshape(2, n) / 100 for name, n in BODY_PARAMS["smplx"].items()}
    bodies = Bodies(
        kind="smplx", gender="male", stand_in="", faces=body_faces, parts=(np.arange(len(skin)) % 24).astype(np.uint8),
        face_vertices=np.arange(len(skin)) % 7 == 0, canonical=skin / (0.6, 1.6, 0.4) + 0.5, parameters=parameters,
        scale=1.02, translation=np.array([0.1, 0.2, 0.3]), reference_scale=105.0,
        reference_translation=np.array([1.0, 2.0, 3.0]), distance=0.05, outside=0.01,
        vertices=np.stack([skin, skin * 1.1 + [0.02, 0, 0.01]]).astype(np.float32),
        joints=(np.arange(2 * 55 * 3).reshape(2, 55, 3) / 1000).astype(np.float32),
    )  # fmt: skip
    made = Subject(
        "golden", 5, vertices, faces, Paint(faces, uv, faces, (number * 7919 % 256).astype(np.uint8)), 1.7, 1.06,
        np.eye(4), bodies,
    )  # fmt: skip
    counts = dict.fromkeys(KINDS, 500)
    made.__dict__["pool"] = scan_pool(made.scan.surface, made.half_side, made.rng("points"), made.regions, counts)
    return made


def test_golden_hash_of_each_label(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_subject, "GRID", 12)
    monkeypatch.setattr(scan_subject, "SURFACE_SAMPLES", 500)
    monkeypatch.setattr("tessera.pipelines.labels.body_volume.body_volume.__defaults__", (12,))
    recipe = load_recipe("thuman2")
    options = recipe.options(size=64, with_=EXTRA)
    views = [
        SubjectView("golden-030", subject, scan_camera(30, 1.7, 64)),
        SubjectView("golden-200", subject, scan_camera(200, 1.7, 64, 15, "perspective")),
    ]
    found = {}
    for table, data in (("views", views), ("subjects", [subject])):
        for label in recipe.labels(table, options):
            digest, filled = hashlib.sha256(), 0
            for each in data:
                for name, value in sorted(label.make(each, options).items()):
                    code = value.tobytes() if isinstance(value, np.ndarray | np.generic) else repr(value).encode()
                    digest.update(name.encode() + b"\0" + code)
                    filled += 1
            assert filled >= len(label.fields) * len(data), f"{label.name} gives nothing: its hash would hold for ever"
            found[label.name] = {"version": label.version, "sha256": digest.hexdigest()}
    print(json.dumps({LEVEL: found}, indent=1))
    golden = json.loads(GOLDEN.read_text()).get(LEVEL)
    if golden is None:
        pytest.skip(f"no golden hashes for CPU features of level {LEVEL}")
    assert found == golden
