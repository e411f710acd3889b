"""What the network sees, made of a batch: places of points in pictures, features of points, targets."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from .config import ImplicitConfig

Batch = dict[str, Any]


def cube_points(points: Tensor, calib: Tensor) -> Tensor:
    """World points (b, n, 3), metres, in the view's cube (b, n, 3): x right, y down, z towards the camera."""
    calib = calib.to(points.device).double()
    moved = points.double() @ calib[:, :3, :3].mT + calib[:, None, :3, 3]
    return moved.float()


def world_points(cube: Tensor, calib: Tensor) -> Tensor:
    """The way back: points (b, n, 3) of the cube in world metres, float32."""
    back = torch.linalg.inv(calib.double())
    return (cube.double() @ back[:, :3, :3].mT + back[:, None, :3, 3]).float()


def picture_places(batch: Batch, points: Tensor, cube: Tensor) -> Tensor:
    """Where points are in the picture (b, n, 2): x right, y down, -1 to 1 from edge to edge.

    Args:
        batch: with `intrinsics` and `world_from_camera` where the pictures are perspective.
        points: (b, n, 3) world metres.
        cube: (b, n, 3) the same in the cube.
    """
    if "intrinsics" not in batch:
        return cube[..., :2]
    into = torch.linalg.inv(batch["world_from_camera"].double())
    seen = points.double() @ into[:, :3, :3].mT + into[:, None, :3, 3]
    plane = seen @ batch["intrinsics"].double().mT
    height, width = batch["mask"].shape[1:3]
    size = torch.tensor([width, height], device=plane.device)
    return (2 * plane[..., :2] / plane[..., 2:] / size - 1).float()


def point_features(config: ImplicitConfig, batch: Batch, cube: Tensor) -> dict[str, Tensor]:
    """Features (b, c, n) of points by name, but those that a network makes.

    Args:
        config: which.
        batch: with `icon_...` of the points.
        cube: (b, n, 3) places in the view's cube.
    """
    made: dict[str, Tensor] = {}
    for name in config.geometry:
        if name == "z":
            made[name] = cube[..., 2][:, None]
        elif name in ("sdf", "vis"):
            made[name] = batch[f"icon_{name}"].float()[:, None]
        elif name in ("cmap", "norm"):
            made[name] = batch[f"icon_{name}"].float().mT
        elif name == "part":
            made[name] = one_hot(batch["icon_part"].long(), 24).mT.float()
    return made


def volume(batch: Batch) -> Tensor:
    """PaMIR's volume (b, 3, z, y, x) of the body, 0 to 1, in world axes."""
    return batch["subject.body_volume"].permute(0, 4, 3, 2, 1).float() / 255


def volume_places(batch: Batch, points: Tensor) -> Tensor:
    """World points (b, n, 3), metres, in the cube that the volume fills, -1 to 1, world axes."""
    half = batch["subject.cube_half_side"].reshape(-1, 1, 1).to(points.device).float()
    return points / half


def target(config: ImplicitConfig, sdf: Tensor) -> Tensor:
    """What is learnt of signed distances (b, n), metres, negative inside: 0 outside to 1 inside.

    Occupancy, or ICON's target: 1/2 on the surface, cut off at `clip` centimetres (of half the range each).
    """
    if config.target == "occupancy":
        return (sdf < 0).float()
    return (0.5 - sdf.float() * 50 / config.clip).clamp(0, 1)
