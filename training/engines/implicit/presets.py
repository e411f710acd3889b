"""Presets: the published networks and settings, and small ones to try on a CPU."""

from ...config import OptimConfig
from ...engine import Preset
from .config import Geometry, ImplicitConfig

_ICON = OptimConfig(name="rmsprop", lr=1e-4, schedule="step", milestones=(3, 8))
_TINY = OptimConfig(name="adam", lr=1e-3, schedule="cosine", clip=1.0)
_GEOMETRY: tuple[Geometry, ...] = ("sdf", "cmap", "norm")

PRESETS = {
    "icon": Preset(
        ImplicitConfig(inputs=("image", "normal_f", "normal_b"), by_visibility=True, stacks=2, features=6,
                       geometry=_GEOMETRY, body="random"),
        _ICON, {"batch": 4}, {"max_epochs": 10}, "ICON with filter: 6 + 7 channels, front or back by visibility",
    ),
    "icon-nofilter": Preset(
        ImplicitConfig(inputs=("normal_f", "normal_b"), by_visibility=True, encoder="none", geometry=_GEOMETRY,
                       body="random"),
        _ICON, {"batch": 4}, {"max_epochs": 10}, "ICON without image network: normals as they are, 3 + 7 channels",
    ),
    "icon-mvp": Preset(
        ImplicitConfig(inputs=("normal_f", "normal_b"), encoder="none", geometry=("sdf",), body="random"),
        _ICON, {"batch": 12}, {"max_epochs": 10}, "ICON's smallest: two normals and the signed distance",
    ),
    "pifu": Preset(
        ImplicitConfig(inputs=("image",), stacks=4, features=256, geometry=("z",), hidden=(1024, 512, 256, 128),
                       skips=(1, 2, 3, 4), norm="none", points=5000),
        OptimConfig(name="rmsprop", lr=1e-3, schedule="step", milestones=(60, 80)), {"batch": 2}, {"max_epochs": 100},
        "PIFu: picture and depth, 256 + 1 channels",
    ),
    "pifu-icon": Preset(
        ImplicitConfig(inputs=("image", "normal_f", "normal_b"), stacks=2, features=12, geometry=("z",)),
        _ICON, {"batch": 8}, {"max_epochs": 10}, "PIFu as ICON's authors train it: normals too, 12 + 1 channels",
    ),
    "pamir": Preset(
        ImplicitConfig(inputs=("image",), stacks=4, depth=3, width=128, features=256, geometry=("volume",),
                       hidden=(1024, 512, 256, 128), skips=(1, 2, 3, 4), norm="none", points=5000, body="random"),
        OptimConfig(name="rmsprop", lr=2e-4, schedule="step", milestones=(2, 4, 6, 8), gamma=0.9), {"batch": 3},
        {"max_epochs": 10}, "PaMIR: picture and volume of the body (--with voxels), 256 + 32 channels",
    ),
    "pamir-icon": Preset(
        ImplicitConfig(inputs=("image", "normal_f", "normal_b"), features=6, geometry=("volume",), volume_features=7,
                       body="random"),
        _ICON, {"batch": 8}, {"max_epochs": 10}, "PaMIR as ICON's authors train it: 6 + 7 channels",
    ),
    "hilo": Preset(
        ImplicitConfig(inputs=("image", "normal_f", "normal_b"), by_visibility=True, features=6,
                       geometry=(*_GEOMETRY, "volume"), volume_features=6, encoding=14, attention="channel",
                       body="random"),
        OptimConfig(name="rmsprop", lr=1e-4, schedule="step", milestones=(3, 8)), {"batch": 2}, {"max_epochs": 10},
        "HiLo: positional encoding of the distance, volume, gates in the layers",
    ),
    "icon-tiny": Preset(
        ImplicitConfig(inputs=("image", "normal_f", "normal_b"), size=128, by_visibility=True, stacks=1, depth=2,
                       width=32, features=8, geometry=_GEOMETRY, hidden=(128, 64, 32), points=4000,
                       resolution=128),
        _TINY, {"batch": 2}, {"max_epochs": 10_000, "max_steps": 3000, "val_every": 500, "save_every": 500},
        "for two CPU cores",
    ),
    "pifu-tiny": Preset(
        ImplicitConfig(inputs=("image",), size=128, stacks=1, depth=2, width=32, features=16, geometry=("z",),
                       hidden=(128, 64, 32), points=4000, resolution=128),
        _TINY, {"batch": 2}, {"max_epochs": 10_000, "max_steps": 3000, "val_every": 500, "save_every": 500},
        "for two CPU cores",
    ),
}  # fmt: skip
