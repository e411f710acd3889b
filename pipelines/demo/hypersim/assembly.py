"""From furniture items to one triangle mesh whose faces know their node, instance and class."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .arrays import Array, Bools
from .materials import Material, mean_albedo
from .surfaces import Patch, moved

WALL, FLOOR, CABINET, BED, CHAIR, SOFA, TABLE, DOOR, WINDOW, BOOKSHELF = range(1, 11)
PICTURE, DESK, SHELVES, CURTAIN, DRESSER, PILLOW, FLOOR_MAT, CEILING, BOOKS = 11, 14, 15, 16, 17, 18, 20, 22, 23
BOX, NIGHT_STAND, LAMP, OTHER_STRUCTURE, OTHER_FURNITURE, OTHER_PROP = 29, 32, 35, 38, 39, 40
UNCOUNTED = frozenset({WALL, FLOOR, CEILING, OTHER_STRUCTURE})


@dataclass(frozen=True)
class Part:
    """One render entity: surface patches of one material."""

    name: str
    material: Material
    patches: list[Patch]


@dataclass(frozen=True)
class Item:
    """One object of the room: parts that belong to one class and (unless structural) one semantic instance.

    Attributes:
        name: lower case, without a number.
        semantic: NYU40 class, 1..40.
        parts: in the item's own frame: metres, floor at z = 0, front towards -y.
        yaw: radians about +z from the item's frame to the room.
        at: metres, the item's origin in the room.
    """

    name: str
    semantic: int
    parts: list[Part]
    yaw: float = 0.0
    at: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def placed(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> "Item":
        """The item turned by `yaw` radians about the origin, then moved: rigid motions compose."""
        c, s = np.cos(yaw), np.sin(yaw)
        at = (float(c * self.at[0] - s * self.at[1] + x), float(s * self.at[0] + c * self.at[1] + y), self.at[2] + z)
        return Item(self.name, self.semantic, self.parts, self.yaw + yaw, at)


@dataclass(frozen=True)
class Entity:
    """What `render_entity_id` and the metadata tables say about one part.

    `instance` is the semantic instance id (>= 1) or -1; `yaw` is that of the item, radians.
    """

    name: str
    item: str
    semantic: int
    instance: int
    yaw: float
    material: Material


@dataclass(frozen=True)
class Mesh:
    """The room as triangles; world frame, metres, z up.

    Attributes:
        vertices: (V, 3) float64.
        normals: (V, 3) float64 smooth unit normals.
        st: (V, 2) float64 surface coordinates in metres.
        faces: (F, 3) int32, counter-clockwise seen from outside.
        entity: (F,) int16 entity id of each face, from 1.
        patches: in vertex order, already in the world frame.
        first: (P,) int32 first vertex of each patch; the others follow row by row.
        entities: `entities[i]` describes entity id i + 1.
    """

    vertices: Array
    normals: Array
    st: Array
    faces: NDArray[np.int32]
    entity: NDArray[np.int16]
    patches: list[Patch]
    first: NDArray[np.int32]
    entities: list[Entity]
    face_normals: Array = field(init=False)

    def __post_init__(self) -> None:
        """Derives (F, 3) float64 unit face normals."""
        normal = _cross(self.vertices, self.faces)
        object.__setattr__(self, "face_normals", normal / np.linalg.norm(normal, axis=1, keepdims=True))

    def semantics(self) -> NDArray[np.int16]:
        """NYU40 class of each face, (F,) int16."""
        return np.array([0] + [e.semantic for e in self.entities], np.int16)[self.entity]

    def albedos(self) -> NDArray[np.float32]:
        """Mean albedo of each face, (F, 3) float32."""
        return np.stack([np.zeros(3, np.float32)] + [mean_albedo(e.material) for e in self.entities])[self.entity]


def _cross(vertices: Array, faces: NDArray[np.int32]) -> Array:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


@lru_cache(maxsize=256)
def _cells(rows: int, cols: int) -> NDArray[np.int32]:
    """Two triangles for each cell of a grid of rows x cols points, (T, 3) int32."""
    index = np.arange(rows * cols, dtype=np.int32).reshape(rows, cols)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    return np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], axis=2).reshape(-1, 3)


def _sound(vertices: Array, normals: Array, faces: NDArray[np.int32]) -> Bools:
    """Turns faces (in place) to the side that the vertex normals face; tells which did not collapse (at poles)."""
    cross = _cross(vertices, faces)
    toward = normals[faces[:, 0]] + normals[faces[:, 1]] + normals[faces[:, 2]]
    away = np.einsum("ij,ij->i", toward, cross) < 0
    faces[away] = faces[away][:, ::-1]
    return np.linalg.norm(cross, axis=1) > 1e-12


def _surface(patch: Patch) -> Array:
    out = np.empty((len(patch.rows), len(patch.cols), 2))
    out[..., 0], out[..., 1] = patch.rows[:, None], patch.cols
    return out.reshape(-1, 2)


def _describe(items: list[Item]) -> list[Entity]:
    """Numbers items of one name (`chair_02`) and counts semantic instances from 1 in order."""
    entities: list[Entity] = []
    seen: dict[str, int] = {}
    instance = 0
    for item in items:
        seen[item.name] = seen.get(item.name, 0) + 1
        instance += item.semantic not in UNCOUNTED
        name = f"{item.name}_{seen[item.name]:02d}"
        number = -1 if item.semantic in UNCOUNTED else instance
        for part in item.parts:
            entities.append(Entity(f"{name}_{part.name}", name, item.semantic, number, item.yaw, part.material))
    return entities


def assemble(items: list[Item]) -> Mesh:
    """One mesh of all items; entity ids follow the order of items and parts."""
    parts = [(item, part) for item in items for part in item.parts]
    patches = [moved(patch, item.yaw, item.at) for item, part in parts for patch in part.patches]
    owner = np.repeat(np.arange(1, len(parts) + 1), [len(part.patches) for _, part in parts])
    sizes = np.array([p.points.shape[:2] for p in patches])
    base = np.concatenate([[0], np.cumsum(sizes.prod(axis=1))]).astype(np.int32)
    cells = [_cells(int(rows), int(cols)) for rows, cols in sizes]
    patch = np.repeat(np.arange(len(patches), dtype=np.int32), [len(c) for c in cells])
    vertices = np.concatenate([p.points.reshape(-1, 3) for p in patches])
    normals = np.concatenate([p.normals.reshape(-1, 3) for p in patches])
    faces = np.concatenate(cells) + base[patch, None]
    kept = _sound(vertices, normals, faces)
    return Mesh(
        vertices, normals, np.concatenate([_surface(p) for p in patches]), faces[kept],
        owner[patch[kept]].astype(np.int16), patches, base[:-1], _describe(items),
    )  # fmt: skip
