"""Hypersim: indoor scenes with tone-mapped and HDR images, distance, normals, boundaries and octrees per frame."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from ...datasets.schema import Column, Field, Reference
from ...datasets.storage import Octahedral, Rounded
from ..demo.hypersim import generate
from ..labels import hypersim as make
from ..labels.hypersim_scene import FRAME_LABELS, SCENE_LABELS, scene_parts
from ..labels.scene import SceneFusion
from ..raw import Raw
from ..rawfiles import RawFiles
from ..readers.hypersim.frame import View
from ..readers.hypersim.plan import SELECTING, SelectionOptions, parse_size, plan_scenes
from ..readers.hypersim.scene import read_scene
from ..recipe import Label, Plan, Recipe, Reject, Sample, TableSpec, Unit

HW, HW3 = ("height", "width"), ("height", "width", 3)
COLUMNS = Column("camera", "string"), Column("frame", "int64")
LIT, EXACT, UNIT = Rounded(8), Rounded(10), Octahedral(14)


@dataclass(frozen=True)
class HypersimOptions(SelectionOptions):
    """Options of the Hypersim recipe.

    Attributes:
        size: height x width of the records.
        normals: geometric normals, or those of bump maps.
        max_constant: a frame is rejected where one depth or luminance fills more than this share of it.
        boundary_tau: threshold of the occlusion boundary: second difference of inverse depth, relative.
        octree_depth: finest level of the octree.
        octree_full_depth: level down to which all nodes are there.
        cube_side: side of the octree's cube in metres.
    """

    size: str = "384x512"
    normals: Literal["geometric", "bump"] = "geometric"
    max_constant: float = 0.3
    boundary_tau: float = 0.05
    octree_depth: int = 7
    octree_full_depth: int = 4
    cube_side: float = 10.24


def plan(raw: Raw, options: HypersimOptions) -> Plan:
    """Scenes of RAW under the options."""
    make.check_options(options, scene_parts(_on(options) | _on(options, "scenes"), 1.0, 1).surface)
    found = plan_scenes(raw, options, parse_size(options.size), "semantic" in _on(options))
    scenes = _on(options, "scenes")
    return replace(found, units=tuple(replace(x, summaries={x.name: {}} if scenes else {}) for x in found.units))


def read(unit: Unit, files: RawFiles, options: HypersimOptions) -> Iterator[Sample | Reject]:
    """Frames of one scene, with the modalities that the labels need, after what they know together."""
    on, normals = _on(options), "normal" if options.normals == "geometric" else "normal_bump"
    parts = scene_parts(on | _on(options, "scenes"), options.cube_side, options.octree_depth)
    view = View(
        size=parse_size(options.size), colour=bool(on & {"image", "hdr", "octree"}) or parts.lights,
        distance=bool(on & {"distance", "flags", "octree"}),
        normals=normals if on & {"normal", "flags", "octree"} else None,
        intrinsic="intrinsic" in on, semantic="semantic" in on, max_constant=options.max_constant,
    )  # fmt: skip
    yield from read_scene(unit, files, view, SceneFusion(parts, unit.seed, files.stages) if parts.any else None)


def _on(options: HypersimOptions, table: str = "frames") -> set[str]:
    return {label.name for label in RECIPE.labels(table, options)}


def record_bytes(options: HypersimOptions) -> int:
    """Expected bytes of a record, for the number of groups."""
    return make.record_bytes(_on(options), *parse_size(options.size))


def dimensions(options: HypersimOptions) -> dict[str, int | None]:
    """Sizes of the records."""
    height, width = parse_size(options.size)
    return {"height": height, "width": width, "octree_bytes": None, "leaves": None, "neighbours": None,
            "points": None, "views": None, "blocks": None, "surface": None}  # fmt: skip


LABELS = (
    Label("camera", make.VERSIONS["camera"], make.camera, (
        Field("intrinsics", "float64", (3, 3), "npz", "pixel", "camera", "corner origin, pixel centres at +0.5"),
        Field("world_from_camera", "float64", (4, 4), "npz", "metre", "world", "OpenCV camera axes, world z up"),
        Field("raw_cam_from_uv", "float64", (3, 3), "npz", "", "raw camera",
              "M_cam_from_uv of the raw camera (x right, y up, looks along -z), uv in [-1, 1], v up"),
    )),
    Label("image", make.VERSIONS["image"], make.image, (
        Field("image", "uint8", HW3, "jpg", meaning="tone-mapped sRGB, one exposure for the trajectory",
              options={"quality": 95}, optional=True),
        Field("tone_scale", "float32", (), "npz", meaning="exposure of the trajectory: image = (scale hdr)^(1/2.2)",
              optional=True),
        Field("frame_tone_scale", "float32", (), "npz", meaning="exposure of this frame alone", optional=True),
    ), joint=True),
    Label("hdr", make.VERSIONS["hdr"], make.hdr, (
        Field("hdr", "float16", HW3, "blosc", "radiance, linear", meaning="colour, mean over each pixel's footprint",
              storage=LIT, optional=True),
    ), (Column("nonfinite", "int64", "raw colour values that were infinite or NaN"),)),
    Label("distance", make.VERSIONS["distance"], make.distance, (
        Field("distance", "float16", HW, "blosc", "metre", "camera", "Euclidean, along each pixel's ray",
              optional=True, nan="not measured"),
    ), (Column("mean_distance", "float64", "metres, over valid pixels"),)),
    Label("flags", make.VERSIONS["flags"], make.flags, (
        Field("flags", "uint8", HW, "blosc", meaning="bits of PixelFlag: 1 valid, 2 normal valid, 4 normal flipped, "
              "8 boundary, 16 occluder side, 32 boundary ignore"),
    ), (Column("valid_share", "float64", "share of valid pixels"),
        Column("flipped_share", "float64", "share of flipped normals"),
        Column("boundary_share", "float64", "share of boundary pixels"))),
    Label("normal", make.VERSIONS["normal"], make.normal, (
        Field("normal", "float32", HW3, "blosc", "unit vector", "camera", "faces the camera; zero where not valid",
              storage=UNIT, optional=True),
    )),
    Label("octree", make.VERSIONS["octree"], make.octree, (
        Field("cube", "float64", (4,), "npz", "metre", "world", "centre x y z and side", optional=True),
        Field("octree_split", "uint8", ("octree_bytes",), "npz", "bit", "cube", "split bits by depth, "
              "full depth first, each depth in whole bytes (datasets/octree.py rebuilds the keys)", optional=True),
        Field("octree_color", "float16", ("leaves", 3), "blosc", "radiance, linear", "cube", "mean HDR colour of each "
              "occupied leaf, in key order", storage=LIT, optional=True),
        Field("octree_normal", "float32", ("leaves", 3), "blosc", "unit vector", "world", "mean normal of each leaf",
              storage=UNIT, optional=True),
        Field("octree_alpha", "float16", ("leaves",), "blosc", "", "cube", "opacity of each leaf", optional=True),
    ), (Column("octree_dropped", "int64", "valid points outside the cube"),)),
    Label("intrinsic", make.VERSIONS["intrinsic"], make.intrinsic, tuple(
        Field(name, "float16", HW3, "blosc", unit, meaning=meaning, storage=EXACT, optional=True)
        for name, unit, meaning in (
            ("albedo", "", "diffuse reflectance"),
            ("illumination", "radiance, linear", "diffuse illumination, mean weighted by albedo"),
            ("residual", "radiance, linear", "hdr - albedo x illumination"),
        )
    ), default=False),
    Label("semantic", make.VERSIONS["semantic"], make.semantic, (
        Field("semantic", "int8", HW, "blosc", meaning="NYU40 class, -1 unknown", optional=True),
        Field("instance", "int16", HW, "blosc", meaning="instance id in the scene, -1 unknown", optional=True),
    ), default=False),
    *FRAME_LABELS,
)  # fmt: skip

RECIPE = Recipe(
    name="hypersim",
    summary="Hypersim indoor scenes: images, geometry, octree, query points, probes and neighbours of every frame.",
    options=HypersimOptions,
    tables={"frames": TableSpec(LABELS, dimensions, COLUMNS, (Reference("scene", "scenes"),)),
            "scenes": TableSpec(SCENE_LABELS, dimensions)},
    plan=plan, read=read, record_bytes=record_bytes, demo=generate, selecting=SELECTING,
)  # fmt: skip
