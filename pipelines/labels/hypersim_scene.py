"""The labels of a Hypersim frame that need its whole scene, and those of the scene itself."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...datasets.schema import Column, Field, Reference
from ...datasets.storage import Linear, Octahedral, Rounded
from ...datasets.visibility import pack_visibility, unpack_visibility
from ..keyed import keyed_rng
from ..readers.hypersim.frame import Frame
from ..recipe import Label
from . import covisibility, normals, octree, octree_seen, probes, queries, scene_sdf, surfels, visibility, voxels
from .resample import VERSION as RESAMPLED
from .scene import Scene, SceneParts, frame_points

Made = Mapping[str, Any]
HW = ("height", "width")
PAIRS, SURFACE, LIGHTS = {"neighbours", "scene"}, {"points", "probes", "octree_seen", "scene"}, {"probes", "scene"}


def scene_parts(on: set[str], cube_side: float, depth: int) -> SceneParts:
    """What of a scene the labels need that are on."""
    return SceneParts(bool(on & PAIRS), bool(on & SURFACE), bool(on & LIGHTS), cube_side, depth)


def neighbours(frame: Frame, options: Any) -> Made:
    """The four best other frames of the scene, and what of this frame each of them sees."""
    scene, number = frame.scene, frame.number
    if scene is None or number is None or not len(scene.neighbours[number]):
        return {"neighbours": []}
    others = [scene.views[other] for other in scene.neighbours[number]]
    packed, shared = covisibility.frame_visibility(scene.views[number], others)
    best = np.argsort(-shared, kind="stable")  # they were chosen by a sample of pixels, which may order them otherwise
    visibility = pack_visibility(unpack_visibility(packed, len(others))[best])
    return {"neighbours": [others[k].key for k in best], "covisibility": shared[best], "visibility": visibility}


def points(frame: Frame, options: Any) -> Made:
    """Query points in the frame's cube, and what the scene knows of each."""
    scene, number = frame.scene, frame.number
    if scene is None or number is None or scene.grid is None or scene.cubes is None or scene.surfels is None:
        return {"surfel_spacing": None}
    if not len(scene.surfels.key):  # no frame of the scene has normals
        return {"surfel_spacing": None}
    rng, cube = keyed_rng(scene.seed, frame.key, "points"), scene.cubes[number]
    made = queries.frame_queries(scene.surfels, scene.index, scene.grid, cube, scene.parts.depth, rng)
    return {"points": made.points, "sdf": made.sdf, "sdf_valid": made.valid.view(np.uint8), "voxel_state": made.state,
            "points_strata": made.strata, "surfel_spacing": scene.surfels.spacing}  # fmt: skip


def light_probes(frame: Frame, options: Any) -> Made:
    """Probes in free space before the camera, lit by what the other frames saw."""
    scene, number = frame.scene, frame.number
    if scene is None or number is None or scene.grid is None or scene.lights is None or scene.cubes is None:
        return {}
    if not len(scene.lights.key):  # no frame of the scene has both light and normals
        return {}
    view, voxel, rng = scene.views[number], scene.parts.voxel, keyed_rng(scene.seed, frame.key, "probes")
    position = probes.place_probes(view, scene.grid, voxel, scene.probe_scene, scene.cubes[number], rng)
    if position is None:
        return {}
    colour, lit = scene.lights.colour, np.ones(len(scene.lights.key), np.bool_)
    if frame.hdr is not None and frame.surface_normals is not None:
        own = frame_points(view, frame.surface_normals)
        own_light = frame.hdr.reshape(-1, 3)[own.pixels].astype(np.float32)
        colour, lit = probes.from_others(scene.lights, own.points, own.normals, own.weights, own_light)
    light = scene.probe_scene.light(position, colour, lit)
    if not light.mask.any():  # nobody else saw anything around: the scene has but this frame
        return {}
    return {"probe_position": position, "probe_radiance": light.radiance, "probe_mask": light.mask}


def octree_supervision(frame: Frame, options: Any) -> Made:
    """Which nodes of the frame's octree may be supervised, and which the scene occupies."""
    scene, number = frame.scene, frame.number
    if scene is None or number is None or scene.grid is None or scene.cubes is None:
        return {}
    cube, depth, full_depth = scene.cubes[number], options.octree_depth, options.octree_full_depth
    split = octree.build_octree(frame.points, None, None, cube, depth, full_depth).split
    states, surface = scene.grid.cube_seen(cube, depth), octree_seen.leaf_keys(scene.occupied, cube, depth)
    observed, occupied = octree_seen.octree_supervision(split, depth, full_depth, states, surface)
    return {"octree_observed": observed, "octree_occupied": occupied}


def whole_scene(scene: Scene, options: Any) -> Made:
    """What belongs to the scene rather than to one of its frames."""
    made: dict[str, Any] = {"frames": [view.key for view in scene.views], "covisibility": scene.covisibility}
    if scene.grid is not None:
        blocks, states = scene.grid.export()
        made |= {"voxel_blocks": blocks, "voxel_states": states, "voxel_size": np.float64(scene.parts.voxel)}
    if scene.lights is not None and len(scene.lights.key):
        made |= {"surface_points": scene.lights.position, "surface_normals": scene.lights.normal}
        made |= {"surface_color": scene.lights.colour.clip(-65504, 65504).astype(np.float16)}
    return made | {"surface_spacing": scene.lights.spacing if scene.lights is not None else None}


_FUSED = surfels.VERSION + voxels.VERSION + octree.VERSION + normals.VERSION + RESAMPLED
FRAME_LABELS = (
    Label("neighbours", covisibility.VERSION + visibility.VERSION, neighbours, (
        Field("covisibility", "float32", ("neighbours",), "npz", meaning="share of pixels that a neighbour and this "
              "frame see of each other, the smaller of both ways, for each of `neighbours`", optional=True),
        Field("visibility", "uint8", HW, "blosc", meaning="bits 2k, 2k + 1: what neighbour k says of the pixel's "
              "surface: 0 unknown, 1 visible, 2 occluded, 3 inconsistent (datasets/visibility.py)", optional=True),
    ), references=(Reference("neighbours", "frames", True, "seeing the same surfaces, best first"),), joint=True),
    Label("points", queries.VERSION + scene_sdf.VERSION + _FUSED, points, (
        Field("points", "float32", ("points", 3), "npy", "", "cube", "query points, -1 to 1 along each side of `cube`; "
              "world = centre + side / 2 x point", Linear(-1, 1), optional=True),
        Field("sdf", "float16", ("points",), "npy", "metre", "cube", "signed distance to the surface that the scene's "
              "frames saw, negative inside, not clipped", optional=True),
        Field("sdf_valid", "uint8", ("points",), "npy", meaning="1: no surface that nobody saw can be nearer, and the "
              "sign is known", optional=True),
        Field("voxel_state", "uint8", ("points",), "npy", meaning="of the voxel around the point, over all frames: 0 "
              "unobserved, 1 occluded, 2 surface, 3 free", optional=True),
        Field("points_strata", "int32", (10,), "npz", meaning="first point of each part, and the end: near the surface "
              "(1 cm), near (5 cm), in the cube (half of them in voxels known to be free or surface); each inside, "
              "outside, not valid; shuffled", optional=True, options={"strata": [*queries.STRATA]}),
    ), (Column("surfel_spacing", "float64", "metres between points of the surface that `sdf` is the distance to"),),
       joint=True),
    Label("probes", probes.VERSION + _FUSED, light_probes, (
        Field("probe_position", "float32", (8, 3), "npz", "metre", "world", "probes in free space", optional=True),
        Field("probe_radiance", "float16", (8, 16, 32, 3), "blosc", "radiance, linear", "world", "light from each "
              "direction as other frames saw it, equirectangular, z up (datasets/envmap.py)", Rounded(8),
              optional=True),
        Field("probe_mask", "uint8", (8, 16, 32), "blosc", meaning="1: the direction was seen", optional=True),
    ), joint=True),
    Label("octree_seen", octree_seen.VERSION + _FUSED, octree_supervision, tuple(
        Field(name, "uint8", ("octree_bytes",), "npz", "bit", "cube", meaning, optional=True) for name, meaning in (
            ("octree_observed", "laid out as octree_split: frames saw to every voxel's centre, so train the node"),
            ("octree_occupied", "laid out as octree_split: the node holds surface that any frame of the scene saw"),
        )
    ), joint=True),
)  # fmt: skip
SCENE_LABELS = (
    Label("scene", covisibility.VERSION + visibility.VERSION + _FUSED, whole_scene, (
        Field("covisibility", "float32", ("views", "views"), "npy", meaning="of all pairs of `frames`, from a grid of "
              "about 768 pixels of each"),
        Field("voxel_size", "float64", (), "npz", "metre", "", "side of a voxel", optional=True),
        Field("voxel_blocks", "int32", ("blocks", 3), "blosc", "8 voxels", "world", "blocks of 8 x 8 x 8 voxels "
              "(datasets/voxels.py)", optional=True),
        Field("voxel_states", "uint8", ("blocks", 128), "blosc", meaning="two bits a voxel: 0 unobserved, 1 occluded, "
              "2 surface, 3 free", optional=True),
        Field("surface_points", "float32", ("surface", 3), "npy", "metre", "world", "surface, fused", optional=True),
        Field("surface_normals", "float32", ("surface", 3), "npy", "unit vector", "world", "outwards",
              Octahedral(14), optional=True),
        Field("surface_color", "float16", ("surface", 3), "npy", "radiance, linear", "", "mean over the frames",
              Rounded(8), optional=True),
    ), (Column("surface_spacing", "float64", "metres between points of the surface"),),
       references=(Reference("frames", "frames", True, "frames of the scene with a distance"),), joint=True),
)  # fmt: skip
