"""The labels of a Hypersim frame: which of its arrays go through which label function into which field."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...datasets.errors import UsageError
from ...datasets.octree import MAX_DEPTH
from ..readers.hypersim.frame import Frame
from . import boundary as boundary_label
from . import flags as flags_label
from . import normals as normals_label
from . import octree as octree_label
from . import resample, tone

Made = Mapping[str, Any]
MAX_SCENE_DEPTH = 8  # 17 million voxels a cube, held in bytes

# A label's version rises with that of every function that its output goes through.
VERSIONS = {
    "camera": 1,
    "image": tone.VERSION + resample.VERSION + 1,
    "hdr": resample.VERSION,
    "distance": resample.VERSION,
    "flags": flags_label.VERSION + boundary_label.VERSION + normals_label.VERSION + resample.VERSION,
    "normal": normals_label.VERSION + resample.VERSION,
    "octree": octree_label.VERSION + normals_label.VERSION + resample.VERSION,
    "intrinsic": resample.VERSION,
    "semantic": resample.VERSION,
}


def camera(frame: Frame, options: Any) -> Made:
    """Matrices of the stored camera and the raw one."""
    return {
        "intrinsics": frame.intrinsics,
        "world_from_camera": frame.world_from_camera,
        "raw_cam_from_uv": frame.cam_from_uv,
    }


def image(frame: Frame, options: Any) -> Made:
    """The picture at the trajectory's exposure, and both exposures."""
    if frame.hdr is None:
        return {}
    picture = tone.tone_map(frame.hdr.astype(np.float32), frame.tone_scale)
    scales = {"tone_scale": frame.tone_scale, "frame_tone_scale": frame.frame_tone_scale}
    return {"image": picture} | {name: np.float32(value) for name, value in scales.items()}


def hdr(frame: Frame, options: Any) -> Made:
    """Linear radiance."""
    return {"hdr": frame.hdr, "nonfinite": frame.nonfinite}


def distance(frame: Frame, options: Any) -> Made:
    """Euclidean distance, and its mean over valid pixels."""
    mean = None
    if frame.distance is not None and frame.valid.any():
        mean = float(frame.distance[frame.valid].mean(dtype=np.float64))
    return {"distance": frame.distance, "mean_distance": mean}


def flags(frame: Frame, options: Any) -> Made:
    """The bit field; what was not measured has no bit but BOUNDARY_IGNORE."""
    nothing = np.zeros(frame.size, np.bool_)
    edges = boundary_label.Boundary(nothing, nothing, ~nothing)
    if frame.distance is not None:
        edges = boundary_label.boundary(frame.distance.astype(np.float32), frame.rays, options.boundary_tau)
    normals = frame.normals
    packed = flags_label.pack_flags(
        valid=frame.valid,
        normal_valid=normals.valid if normals else nothing,
        normal_flipped=normals.flipped if normals else nothing,
        boundary=edges.boundary,
        occluder=edges.occluder,
        boundary_ignore=edges.ignore,
    )
    shares = {"valid_share": frame.valid, "flipped_share": normals.flipped if normals else nothing}
    shares["boundary_share"] = edges.boundary
    return {"flags": packed} | {name: float(mask.mean()) for name, mask in shares.items()}


def normal(frame: Frame, options: Any) -> Made:
    """Unit normals towards the camera, in the stored camera's frame."""
    return {"normal": frame.normals.normal if frame.normals else None}


def octree(frame: Frame, options: Any) -> Made:
    """Octree of the frame's visible points in a cube that follows the world's axes.

    The points are those that the record gives back: rounded distance along the stored camera's rays.
    """
    if frame.distance is None or not frame.valid.any():
        return {"octree_dropped": 0}
    valid, points = frame.valid, frame.points
    cube = frame.cube(options.cube_side, options.octree_depth)
    colour = None if frame.hdr is None else frame.hdr[valid].astype(np.float32)
    normals = None
    if frame.normals is not None:
        normals = frame.normals.normal[valid] @ frame.world_from_camera[:3, :3].T.astype(np.float32)
    built = octree_label.build_octree(points, colour, normals, cube, options.octree_depth, options.octree_full_depth)
    return {
        "cube": cube,
        "octree_split": built.split,
        "octree_color": None if colour is None else built.leaf_colour.astype(np.float16),
        "octree_normal": None if normals is None else built.leaf_normal,
        "octree_alpha": built.leaf_alpha.astype(np.float16),
        "octree_dropped": built.dropped,
    }


def intrinsic(frame: Frame, options: Any) -> Made:
    """Albedo, illumination and residual, whose composition is the HDR image."""
    names = ("albedo", "illumination", "residual")
    arrays = frame.intrinsic or (None, None, None)
    return {
        n: None if a is None else a.clip(-65504, 65504).astype(np.float16) for n, a in zip(names, arrays, strict=True)
    }


def semantic(frame: Frame, options: Any) -> Made:
    """NYU40 classes and instances."""
    return {"semantic": frame.semantic, "instance": frame.instance}


def check_options(options: Any, fused: bool) -> None:
    """Refuse label options that cannot be.

    Args:
        options: of the recipe.
        fused: whether a label is on that fuses the scene's voxels.

    Raises:
        UsageError: with the option's name.
    """
    depth, full_depth, side = options.octree_depth, options.octree_full_depth, options.cube_side
    if not 1 <= full_depth <= depth <= MAX_DEPTH:
        raise UsageError(f"--octree-depth {depth}, --octree-full-depth {full_depth}: 1 <= full <= depth <= {MAX_DEPTH}")
    if depth > MAX_SCENE_DEPTH and fused:
        how = "or --without points,probes,octree_seen,scene"
        raise UsageError(f"--octree-depth {depth}: at most {MAX_SCENE_DEPTH} where scenes are fused, {how}")
    if not 0 < side < 1000:
        raise UsageError(f"--cube-side {side}: metres between 0 and 1000")
    if not options.boundary_tau > 0:
        raise UsageError(f"--boundary-tau {options.boundary_tau}: more than 0")
    if not 0 < options.max_constant <= 1:
        raise UsageError(f"--max-constant {options.max_constant}: a share of the frame, more than 0, at most 1")


def record_bytes(on: set[str], height: int, width: int) -> int:
    """Bytes of a frame's record with these labels on; measured on demo data with rendering noise."""
    by_pixel = {"image": 0.5, "hdr": 3.0, "distance": 0.6, "flags": 0.1, "normal": 0.5, "octree": 0.6, "intrinsic": 9.0,
                "semantic": 0.1, "neighbours": 0.1}  # fmt: skip
    fixed = {"points": 330_000, "probes": 25_000, "octree_seen": 16_000}
    return int(8192 + sum(height * width * by_pixel.get(name, 0) + fixed.get(name, 0) for name in on))
