"""What the engine `implicit` asks of a data set."""

from collections.abc import Iterator
from typing import Any

from ....datasets.catalog import Catalog
from ....datasets.pool_draws import icon_balance
from ....datasets.transforms import load_transform
from ...engine import Request
from .config import ImplicitConfig

OF_BODY = ("body_face", "body_bary", "body_sdf", "body_normals")
LABELS = {
    "orientation": "--with orientation", "orientation_confidence": "--with orientation",
    "subject.body_volume": "--with voxels", "subject.grid": "--with grid", "subject.grid_body_face": "--with grid",
    "subject.grid_body_bary": "--with grid", "subject.grid_body_sdf": "--with grid",
    "normal_f": "label normals", "normal_b": "label normals", "body_normal_f": "label body_normals (scans with fits)",
    "body_normal_b": "label body_normals (scans with fits)", "body_visible": "label body_visible (scans with fits)",
    **{f"subject.{name}": "--body-models (fits are used, not --fits ignore)" for name in OF_BODY},
}  # fmt: skip


def request(config: ImplicitConfig, catalog: Catalog, training: bool) -> Request:
    """Fields, draws and transforms.

    Args:
        config: the engine's settings.
        catalog: the data set.
        training: whether bodies are random and features noisy.
    """
    fields = ["mask", "calib", *pictures(config), *_camera(catalog)]
    sampled = ["subject.grid", "subject.cube_half_side"] if config.grid else ["subject.points", "subject.sdf"]
    noise = training and config.body == "random" and config.with_body
    if noise:
        fields += [f"noisy_{name.removeprefix('body_')}" for name in fields if name.startswith("body_normal")]
    if config.about_body:
        sampled += [f"subject.{name}" for name in _looked_up(config)]
        fields += ["body_visible"] if "vis" in config.about_body else []
    if config.with_volume:
        fields += ["subject.body_volume", "subject.cube_half_side"]
    drawn = {} if config.grid else {"subject.points": icon_balance(config.points)}
    asked = tuple(dict.fromkeys([*fields, *sampled]))
    return Request("views", asked, drawn, tuple(_transforms(config, training, noise)), LABELS)


def _transforms(config: ImplicitConfig, training: bool, noise: bool) -> Iterator[Any]:
    """Of records: the block of the grid, the body, noise, features."""
    if config.grid:
        yield load_transform("grid_block", side=config.grid)
    if noise or several_bodies(config):
        yield load_transform("pick_body", body="random" if noise else 0, **({"noisy": config.noisy} if noise else {}))
    if training and config.sdf_noise and "sdf" in config.geometry:
        yield load_transform("sdf_noise", sigma=config.sdf_noise, fields="subject.body_sdf")
    if config.about_body:
        yield load_transform("icon_features", features=config.about_body, clip=config.feature_clip)
    if training and config.normal_noise:
        shown = [name for name in pictures(config) if "normal" in name]
        yield load_transform("normal_noise", sigma=config.normal_noise, fields=shown)


def several_bodies(config: ImplicitConfig) -> bool:
    """Whether fields are asked for that are of the fit and of its variants."""
    of_vertices = "norm" in config.geometry or "vis" in config.about_body
    return config.with_volume or of_vertices or (bool(config.about_body) and not config.grid)


def pictures(config: ImplicitConfig) -> list[str]:
    """Fields that the inputs are made of."""
    names: list[str] = [name for name in config.inputs if config.normals == "given" or not name.startswith("normal_")]
    if config.normals == "predicted":
        names += ["image", *(f"body_{name}" for name in ("normal_f", "normal_b") if name in config.inputs)]
    if "orientation" in names:
        names.append("orientation_confidence")
    return list(dict.fromkeys(names))


def _camera(catalog: Catalog) -> list[str]:
    return ["intrinsics", "world_from_camera"] if perspective(catalog) else []


def perspective(catalog: Catalog) -> bool:
    """Whether the pictures are perspective; `calib` alone does not project into them then."""
    return catalog.options.get("camera") == "perspective"


def _looked_up(config: ImplicitConfig) -> list[str]:
    wanted = config.about_body
    names = ["body_sdf"] if {"sdf", "cmap"} & {*wanted} else []
    names += ["body_face", "body_bary"] if {"cmap", "norm", "vis", "part"} & {*wanted} else []
    names = [f"grid_{name}" for name in names] if config.grid else names
    return names + (["body_normals"] if "norm" in wanted else [])
