"""The `_detail` folder of a scene: cameras, unit, render nodes, semantic objects, boxes; and the exact mesh."""

from pathlib import Path

import numpy as np

from .arrays import Array
from .assembly import Mesh
from .encode import write_array
from .metadata import write_table
from .previews import palette

NULL_OBJECT = "_NULL_OBJECT"
BOX_FILE = "metadata_semantic_instance_bounding_box_object_aligned_2d_{}.hdf5"


def _nodes(mesh: Mesh) -> list[dict[str, object]]:
    """One node for each entity, and a last one (the sky, never hit) that has no object."""
    rows: list[dict[str, object]] = [
        {"node_id": k, "node_name": f"{e.name}@node_{k:03d}", "object_id": k - 1, "object_name": e.name}
        for k, e in enumerate(mesh.entities, start=1)
    ]
    last = len(rows) + 1
    return [*rows, {"node_id": last, "node_name": f"sky@node_{last:03d}", "object_id": -1, "object_name": NULL_OBJECT}]


def _strings(mesh: Mesh) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for k, entity in enumerate(mesh.entities, start=1):
        rows.append({"node_id": k, "path": "<root>", "string": f"{entity.name}@node_{k:03d}"})
        rows.append({"node_id": k, "path": "<root>.material", "string": entity.material.name})
    return rows


def boxes(mesh: Mesh) -> tuple[Array, Array, Array]:
    """Upright boxes of all semantic instances, turned as their items stand; row 0 (no instance) is inf.

    Returns:
        extents (K + 1, 3) metres, orientations (K + 1, 3, 3) R_world_from_box, centres (K + 1, 3) metres.
    """
    instance = np.array([-1] + [e.instance for e in mesh.entities])
    yaw = {e.instance: e.yaw for e in mesh.entities}
    count = int(instance.max()) + 1
    extents, centres = np.full((count, 3), np.inf), np.full((count, 3), np.inf)
    turns = np.full((count, 3, 3), np.inf)
    for k in range(1, count):
        c, s = np.cos(yaw[k]), np.sin(yaw[k])
        turns[k] = [[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]
        local = mesh.vertices[np.unique(mesh.faces[instance[mesh.entity] == k])] @ turns[k]
        low, high = local.min(axis=0), local.max(axis=0)
        extents[k], centres[k] = high - low, turns[k] @ ((low + high) / 2)
    return extents, turns, centres


def write_detail(root: Path, scene: str, mesh: Mesh, unit: float, cameras: list[str]) -> None:
    """Writes `_detail` of a scene except the camera folders.

    Args:
        root: raw folder.
        scene: its name.
        mesh: the room, metres.
        unit: metres per asset unit.
        cameras: names to list, whether or not they have a folder.
    """
    folder = root / scene / "_detail"
    write_table(folder / "metadata_cameras.csv", ["camera_name"], [{"camera_name": name} for name in cameras])
    write_table(folder / "metadata_scene.csv", ["parameter_name", "parameter_value"],
                [{"parameter_name": "meters_per_asset_unit", "parameter_value": unit}])  # fmt: skip
    write_table(folder / "metadata_nodes.csv", ["node_id", "node_name", "object_id", "object_name"], _nodes(mesh))
    write_table(folder / "metadata_node_strings.csv", ["node_id", "path", "string"], _strings(mesh))
    inner = folder / "mesh"
    write_table(inner / "metadata_objects.csv", ["object_name"], [{"object_name": e.name} for e in mesh.entities])
    for name, column in (("si", [e.semantic for e in mesh.entities]), ("sii", [e.instance for e in mesh.entities])):
        write_array(inner / f"mesh_objects_{name}.hdf5", np.array(column, np.int64)[:, None])
    extents, turns, centres = boxes(mesh)
    write_array(inner / BOX_FILE.format("extents"), extents / unit)
    write_array(inner / BOX_FILE.format("orientations"), turns)
    write_array(inner / BOX_FILE.format("positions"), centres / unit)
    write_array(inner / "metadata_semantic_colors.hdf5", palette(41))
    write_array(inner / "metadata_semantic_instance_colors.hdf5", palette(len(extents)))


def write_exact_mesh(root: Path, scene: str, mesh: Mesh) -> None:
    """Writes `exact_meshes/<scene>.npz` for tests: what was rendered, in metres, world frame."""
    folder = root / "exact_meshes"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{scene}.npz", vertices=mesh.vertices, faces=mesh.faces, face_entity=mesh.entity,
             face_semantic=mesh.semantics(), face_albedo=mesh.albedos())  # fmt: skip
