"""A golden hash per label: output that changes without a raised label version makes shards that lie about themselves.

The hashes hold for one level of CPU features (sums and powers round differently); on another level the test is skipped
by name. After a change that is meant: raise the label's version, then print new hashes with
`python -m pytest tests/pipelines/recipes/test_hypersim_golden.py -s -n 0`.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_features__
from tessera.datasets import Octahedral, Rounded
from tessera.datasets.camera import pixel_rays
from tessera.datasets.members import encode_record
from tessera.datasets.stages import Stages
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.labels.normals import Normals, clean_normals
from tessera.pipelines.labels.scene import SceneFusion, SceneParts
from tessera.pipelines.labels.scene_view import SceneView
from tessera.pipelines.readers.hypersim.frame import Frame

GOLDEN = Path(__file__).with_name("golden_hypersim.json")
LEVEL = "avx512" if __cpu_features__.get("AVX512F") else "avx2" if __cpu_features__.get("AVX2") else "baseline"
SIZE = (48, 64)


def look(intrinsics: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, Normals, np.ndarray, np.ndarray]:
    """Distance, normals and colours of a sphere over a floor with a hole in it, and a counter of the colours."""
    rays = pixel_rays(intrinsics, *size)
    floor = np.where(rays[..., 1] > 0.02, 1.5 / np.maximum(rays[..., 1], 0.02), np.nan)
    centre = np.array([0.2, 0.9, 3.0])
    along = rays @ centre
    inside = along**2 - centre @ centre + 0.36
    ball = np.where(inside > 0, along - np.sqrt(np.maximum(inside, 0)), np.nan)
    distance = np.fmin(floor, ball)
    normal = np.where((ball == distance)[..., None], rays * distance[..., None] - centre, [0.0, 1.0, 0.0])
    normal[~np.isfinite(distance)] = np.nan
    counter = np.arange(size[0] * size[1] * 3).reshape(*size, 3)
    hdr = ((counter * 7919 % 1021) / 512).astype(np.float16)
    return distance.astype(np.float16), clean_normals(normal, rays), hdr, counter


@pytest.fixture(scope="module")
def frame() -> Frame:
    """A frame from closed formulas; colours and ids by integer arithmetic. Its scene has a second, finer frame."""
    intrinsics = np.array([[60.0, 0.5, 31.0], [0, 61.0, 25.0], [0, 0, 1]])
    pose = np.eye(4)
    pose[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    pose[:3, 3] = 0.25, -4.0, 1.5
    distance, normals, hdr, counter = look(intrinsics, SIZE)
    shares = tuple((counter * k % 509 / 509).astype(np.float32) for k in (31, 37, 41))
    ids = (counter[..., 0] * 13 % 40 + 1).astype(np.int16)
    fusion = SceneFusion(SceneParts(True, True, True, 10.24, 7), 5, Stages())
    fusion.add(SceneView("frame", intrinsics, pose, distance), normals, hdr)
    finer = np.diag([8.0, 8.0, 1.0]) @ intrinsics
    fine, fine_normals, fine_hdr, _ = look(finer, (8 * SIZE[0], 8 * SIZE[1]))
    fusion.add(SceneView("other", finer, pose, fine), fine_normals, fine_hdr)
    return Frame(
        key="frame", intrinsics=intrinsics, world_from_camera=pose, cam_from_uv=np.eye(3), size=SIZE, hdr=hdr,
        nonfinite=2, tone_scale=0.7, frame_tone_scale=0.9, distance=distance, normals=normals,
        intrinsic=shares, semantic=ids.astype(np.int8), instance=ids, surface_normals=normals, scene=fusion.finish(),
    )  # fmt: skip


def test_golden_hash_of_each_label(frame: Frame) -> None:
    recipe = load_recipe("hypersim")
    options = recipe.options(size="48x64", with_="intrinsic,semantic")
    found = {}
    for label in (*recipe.labels("frames", options), *recipe.labels("scenes", options)):
        digest, filled = hashlib.sha256(), 0
        data = frame.scene if label in recipe.tables["scenes"].labels else frame
        for name, value in sorted(label.make(data, options).items()):
            if value is not None:
                code = value.tobytes() if isinstance(value, np.ndarray | np.generic) else repr(value).encode()
                digest.update(name.encode() + b"\0" + code)
                filled += 1
        assert filled >= len(label.fields), f"{label.name} gives nothing here: its hash would hold for ever"
        found[label.name] = {"version": label.version, "sha256": digest.hexdigest()}
    print(json.dumps({LEVEL: found}, indent=1))
    golden = json.loads(GOLDEN.read_text()).get(LEVEL)
    if golden is None:
        pytest.skip(f"no golden hashes for CPU features of level {LEVEL}")
    assert found == golden


def test_stored_error_stays_below_the_noise_floor(frame: Frame) -> None:
    """What encoding loses, against the accuracy of the raw float16 values and of rendering."""
    recipe = load_recipe("hypersim")
    options = recipe.options(size="48x64", with_="intrinsic,semantic")
    schema = recipe.schemas(options)["frames"]
    values = {}
    for label in recipe.labels("frames", options):
        made = label.make(frame, options)
        values.update({name: value for name, value in made.items() if name in schema.by_name})
    assert len(encode_record(schema, "key", values).data) > 1000
    for name, value in values.items():
        storage = schema.by_name[name].storage
        if storage is None or not isinstance(storage, Rounded | Octahedral):
            continue
        back = storage.unpack(storage.pack(value), value.dtype).astype(np.float64)
        if isinstance(storage, Rounded):
            limit = 2.0 ** -(storage.mantissa + 1)
            small = np.abs(value.astype(float)) < 1e-4  # float16's own step is larger there
            assert (np.abs(back - value) <= limit * np.abs(value.astype(float)) + 1e-7)[~small].all(), name
        else:
            lit = np.linalg.norm(value, axis=-1) > 0
            angle = np.degrees(2 * np.arcsin(np.linalg.norm(back - value, axis=-1)[lit] / 2))
            assert angle.max() < 0.022, name  # what float16 components lose
