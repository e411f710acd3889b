"""Reading the HDF5 files of one Hypersim frame: `decode_hdf5` beside plain h5py, file kind by file kind.

The frame is made here: a furnished room seen by the standard camera, with the shapes, dtypes, chunks, gzip level and
background of the real files (768 x 1024, float16 and int16, chunks of 96 x 128). Its files weigh about what real ones
do, some 20 MB together. Both ways read the file from disk (from the page cache, after the first round).
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

from ..datasets.camera import pixel_rays
from ..pipelines.readers.hdf5 import decode_hdf5

HEIGHT, WIDTH = 768, 1024
INTRINSICS = np.array([[886.81, 0, 512], [0, 886.81, 384], [0, 0, 1]])
CM_PER_METRE = 100
OBJECTS = 60
PLANES = ("depth_meters", "render_entity_id", "semantic", "semantic_instance")
ROOM = np.array([[-4.0, -1.4, -3.5], [4.0, 1.4, 5.0]])  # metres around the camera

Arrays = dict[str, NDArray]
Row = dict[str, str | float]
Times = tuple[list[float], list[float]]  # milliseconds: h5py, ours


def tables() -> dict[str, list[Row]]:
    """The benchmark's table, by title."""
    return {"HDF5 files of a frame, milliseconds (best of 5)": run()}


def run(rounds: int = 5) -> list[Row]:
    """Times both ways, interleaved, over the 14 files of a frame.

    Args:
        rounds: times that every file is read each way.

    Returns:
        A row a file kind and one for the frame: `what`; `h5py_ms`, `tessera_ms` and their `ratio`, best of all rounds;
        the same as medians; the file's size in MB and the decoded `tessera_mb_s`.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = write_frame(Path(folder))
        times: dict[str, Times] = {name: ([], []) for name in paths}
        for _ in range(rounds):
            for name, path in paths.items():
                for way, kept in zip((_with_h5py, _with_tessera), times[name], strict=True):
                    kept.append(_milliseconds(way, path))
        sizes = {name: path.stat().st_size for name, path in paths.items()}
    plain, ours = ([sum(each) for each in zip(*(times[name][way] for name in times), strict=True)] for way in (0, 1))
    decoded = {name: HEIGHT * WIDTH * 2 * (1 if name in PLANES else 3) for name in times}
    rows = [_row(name, times[name], sizes[name], decoded[name]) for name in times]
    return [*rows, _row("frame", (plain, ours), sum(sizes.values()), sum(decoded.values()))]


def write_frame(folder: Path) -> dict[str, Path]:
    """Writes the 14 HDF5 files of one made-up frame; returns modality -> path."""
    paths = {}
    for name, array in make_frame(np.random.default_rng(7)).items():
        paths[name] = folder / f"frame.0000.{name}.hdf5"
        with h5py.File(paths[name], "w") as file:
            chunks = (96, 128, 1)[: array.ndim]
            file.create_dataset("dataset", data=array, chunks=chunks, compression="gzip", compression_opts=9)
    return paths


def make_frame(rng: np.random.Generator) -> Arrays:
    """The modalities of a frame, (768, 1024) or (768, 1024, 3), float16 or int16, invalid values as in real files."""
    rays = pixel_rays(INTRINSICS, HEIGHT, WIDTH)
    tilt = cv2.Rodrigues(np.array([0.3, -0.5, 0.2]))[0]  # world from camera
    distance, normals, entity = _cast(rays @ tilt.T, rng)
    points = (rays @ tilt.T * distance[..., None] + [1.3, -0.7, 1.5]) * CM_PER_METRE
    bumped = normals + 0.05 * _smooth(rng, 4) * _smooth(rng, 64).clip(0)
    bumped /= np.linalg.norm(bumped, axis=-1, keepdims=True)
    grain = 0.1 * _smooth(rng, 2) * (entity % 3 == 0)[..., None]
    albedo = rng.uniform(0.1, 0.9, (OBJECTS + 8, 3))[entity] * (1 + grain)
    light = (1.2 + 0.5 * _smooth(rng, 128)).clip(0.05) * (0.6 + 0.4 * np.abs(normals[..., 2:]))
    light *= 1 + 0.01 * rng.standard_normal(light.shape)
    shine = 0.05 * (_smooth(rng, 32).clip(0)) * (1 + 0.02 * rng.standard_normal(light.shape))
    shine *= (entity % 4 < 2)[..., None]
    outside = entity == 0
    frame = {"color": albedo * light + shine, "diffuse_illumination": light, "diffuse_reflectance": albedo}
    frame |= {"residual": shine, "depth_meters": distance, "position": points}
    frame |= {"normal_cam": normals @ tilt, "normal_world": normals}
    frame |= {"normal_bump_cam": bumped @ tilt, "normal_bump_world": bumped, "tex_coord": points / 250 % 1}
    for name in ("depth_meters", "position", *(name for name in frame if name.startswith("normal"))):
        frame[name] = np.where(outside if name in PLANES else outside[..., None], np.nan, frame[name])
    halves = {name: array.astype(np.float16) for name, array in frame.items()}
    instance = np.where(outside, -1, entity).astype(np.int16)
    classes = np.where(outside, -1, 1 + entity % 40).astype(np.int16)
    return halves | {"render_entity_id": instance, "semantic": classes, "semantic_instance": instance}


def _cast(rays: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray, NDArray, NDArray[np.int64]]:
    """Distance (metres), normal and object number (0: the window) of the nearest wall, box or ball along each ray."""
    far = np.where(rays > 0, ROOM[1], ROOM[0]) / rays
    axis = far.argmin(axis=-1)
    distance, normals = far.min(axis=-1), _facing(rays, axis)
    entity = 1 + axis * 2 + (np.take_along_axis(rays, axis[..., None], -1)[..., 0] > 0)
    entity[np.abs(rays @ [0.9, 0.3, 0.3] - 0.2) < 0.05] = 0
    for number in range(OBJECTS):
        middle = rng.uniform(ROOM[0] * 0.9, ROOM[1] * 0.9)
        enter, outward = (_box if number % 2 else _ball)(rays, middle, rng.uniform(0.1, 0.4, 3))
        hit = (enter > 0.3) & (enter < distance)
        distance, normals = np.where(hit, enter, distance), np.where(hit[..., None], outward, normals)
        entity = np.where(hit, 7 + number, entity)
    return distance, normals, entity


def _facing(rays: NDArray[np.float64], axis: NDArray[np.int64]) -> NDArray[np.float64]:
    """Unit vectors along an axis, against the ray."""
    return np.eye(3)[axis] * -np.sign(np.take_along_axis(rays, axis[..., None], -1))


def _box(rays: NDArray[np.float64], middle: NDArray, half: NDArray) -> tuple[NDArray, NDArray]:
    """Distance (inf: missed) and normal of a box."""
    ends = (middle - half) / rays, (middle + half) / rays
    near, leave = np.minimum(*ends), np.maximum(*ends).min(axis=-1)
    enter = near.max(axis=-1)
    return np.where(enter < leave, enter, np.inf), _facing(rays, near.argmax(axis=-1))


def _ball(rays: NDArray[np.float64], middle: NDArray, half: NDArray) -> tuple[NDArray, NDArray]:
    """Distance (inf: missed) and normal of a ball."""
    along = rays @ middle
    inside = along**2 - middle @ middle + half[0] ** 2
    enter = along - np.sqrt(inside.clip(0))
    return np.where(inside > 0, enter, np.inf), (rays * enter[..., None] - middle) / half[0]


def _smooth(rng: np.random.Generator, cell: int) -> NDArray:
    """(768, 1024, 3) noise of unit strength that changes over `cell` pixels."""
    coarse = rng.standard_normal((HEIGHT // cell + 2, WIDTH // cell + 2, 3)).astype(np.float32)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def _with_h5py(path: Path) -> NDArray:
    with h5py.File(path) as file:
        return file["dataset"][()]


def _with_tessera(path: Path) -> NDArray:
    return decode_hdf5(path.read_bytes(), source=path.name, shapes=None, dtypes=["f2", "i2"])


def _milliseconds(way: Callable[[Path], NDArray], path: Path) -> float:
    start = perf_counter()
    way(path)
    return (perf_counter() - start) * 1e3


def _row(what: str, times: Times, size: int, decoded: int) -> Row:
    """One line of the table."""
    plain, ours = map(min, times)
    plain_median, ours_median = map(median, times)
    return {
        "what": what,
        "h5py_ms": plain,
        "tessera_ms": ours,
        "ratio": plain / ours,
        "h5py_median_ms": plain_median,
        "tessera_median_ms": ours_median,
        "median_ratio": plain_median / ours_median,
        "file_mb": size / 1e6,
        "tessera_mb_s": decoded / ours / 1e3,
    }
