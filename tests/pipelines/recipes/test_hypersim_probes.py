"""Light probes of the demo's records against probes that the demo's renderer traces at the same places."""

import numpy as np
import pytest
from tessera.datasets import Dataset, Record
from tessera.datasets.camera import project, transform
from tessera.datasets.envmap import texel_rays
from tessera.pipelines.labels.probes import ProbeScene
from tessera.pipelines.labels.scene import LIGHT_SPACING
from tessera.pipelines.labels.scene_view import SceneView
from tessera.pipelines.labels.surfels import SurfelBuilder

from .conftest import FULL
from .probe_oracle import TracedRoom, compare

SCENE = "ai_900_001"

pytestmark = pytest.mark.parametrize("dataset", [FULL], indirect=True)


@pytest.fixture(scope="module")
def room() -> TracedRoom:
    return TracedRoom(SCENE, "small")


@pytest.fixture(scope="module")
def records(dataset: Dataset) -> list[Record]:
    """The scene's records that have probes: all but a few have."""
    every = [record for record in dataset.table("frames") if record.unit == SCENE]
    some = [record for record in every if "probe_position" in record]
    assert len(some) >= len(every) - 1
    return some


def stacked(records: list[Record], field: str) -> np.ndarray:
    return np.concatenate([record[field] for record in records])


def test_probes_stand_in_free_space_of_the_exact_room(records: list[Record], room: TracedRoom) -> None:
    clear = room.tracer.clearance(stacked(records, "probe_position"))
    assert clear.min() > 0.1 and np.median(clear) > 0.3


def test_probes_stand_where_the_frame_looks(records: list[Record]) -> None:
    for record in records:
        height, width = record["distance"].shape
        local = transform(record["probe_position"].astype(float), np.linalg.inv(record["world_from_camera"]))
        pixel, depth = project(local, record["intrinsics"])
        assert (depth > 0).all() and (pixel >= 0).all() and (pixel < (width, height)).all()
        seen = record["distance"][tuple(pixel.astype(int).T[::-1])].astype(float)
        assert (np.linalg.norm(local, axis=1) < seen).all()
        assert (np.abs(record["probe_position"] - record["cube"][:3]) < record["cube"][3] / 2).all()


def test_probes_see_what_the_renderer_traces(records: list[Record], room: TracedRoom) -> None:
    exact = room.traced(stacked(records, "probe_position"))
    found = compare(stacked(records, "probe_radiance"), stacked(records, "probe_mask"), exact)
    assert found["masked"] > 0.4 and found["sky"] < 0.01, found
    assert found["median"] < 0.04 and found["p90"] < 0.25, found
    assert found["smooth_median"] < 0.02 and found["smooth_p90"] < 0.15, found
    assert 0.95 < found["energy"] < 1.05, found


def test_nothing_shines_through_what_was_seen(records: list[Record], room: TracedRoom) -> None:
    """Known directions end where exact rays do; further away only behind what no frame saw."""
    builder = SurfelBuilder(LIGHT_SPACING)
    for record in records:
        view = SceneView(record.key, record["intrinsics"], record["world_from_camera"], record["distance"])
        valid = np.isfinite(view.distance) & (np.abs(record["normal"]).sum(axis=-1) > 0)
        points = view.centre + view.distance[valid].astype(np.float32)[:, None] * view.world_rays()[valid]
        normals = record["normal"][valid] @ view.world_from_camera[:3, :3].T.astype(np.float32)
        builder.add(points, normals, np.ones(len(points), np.float32), record["hdr"][valid].astype(np.float32))
    rays = texel_rays(16, 32, 4)
    positions = stacked(records, "probe_position")
    surfel, distance = ProbeScene(builder.finish()).hits(positions, rays.direction)
    exact = room.distances(positions, rays.direction)
    seen = (surfel >= 0) & np.isfinite(exact)
    gap, exact = np.where(seen, distance, 1) - np.where(seen, exact, 1), np.where(seen, exact, 1)
    weight = np.broadcast_to(rays.solid_angle, exact.shape)

    def share(where: np.ndarray) -> float:
        return float(weight[seen & where].sum() / weight[seen].sum())

    error = np.abs(gap / exact)[seen]
    assert np.median(error) < 2e-3 and np.quantile(error, 0.9) < 0.02
    assert share((gap > 0.1) & (gap > 0.1 * exact)) < 0.015
    assert share((gap < -0.1) & (gap < -0.1 * exact)) < 0.03
