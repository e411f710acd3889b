"""What the network sees, made of a batch: pictures, places of points in them, features of points."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, one_hot

from .config import ImplicitConfig

Batch = dict[str, Any]
VIEW = (1.0, -1.0, -1.0)  # from our camera's axes to ICON's: x right, y up, z towards the camera


def picture(batch: Batch, name: str, size: int = 0) -> Tensor:
    """One picture (b, c, h, w) float32, -1 to 1, 0 where the mask is not.

    Args:
        batch: of the stream, pictures (b, h, w, 3).
        name: of `config.Picture`.
        size: pixels of a side that it is reduced to; 0 for as it is.
    """
    mask = batch["mask"].float()[:, None]
    if name == "image":
        made = (batch["image"].float() / 127.5 - 1).permute(0, 3, 1, 2) * mask
    elif name == "orientation":
        made = _orientation(batch) * mask
    elif name == "body_parts":
        made = one_hot(batch["body_parts"].long(), 25).permute(0, 3, 1, 2).float()
    else:
        turn = torch.tensor(VIEW, device=mask.device)
        made = (batch[name].float() * turn).permute(0, 3, 1, 2)
    if size and made.shape[-1] != size:
        made = interpolate(made, (size, size), mode="area")
    return made


def _orientation(batch: Batch) -> Tensor:
    """(b, 3, h, w): an angle of a line as sine and cosine of twice of it, and how sure it is."""
    angle = batch["orientation"].float()
    sure = torch.nan_to_num(batch["orientation_confidence"].float())
    angle = torch.nan_to_num(angle)
    return torch.stack([torch.cos(2 * angle) * sure, torch.sin(2 * angle) * sure, sure], 1)


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
