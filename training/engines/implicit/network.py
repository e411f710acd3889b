"""The network: pictures and points to a field, in the forms of PIFu, PaMIR and ICON."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ...models.global_generator import GlobalGenerator
from ...models.grid_conv import GridConv
from ...models.hourglass import StackedHourglass
from ...models.mixer import PointMixer
from ...models.pixel_features import sample_at, sample_volume
from ...models.point_mlp import PointMLP
from ...models.positional import SdfEncoding
from ...models.triplane import TriplaneFromVolume, sample_triplane
from ...models.triplane_image import TriplaneFromImage
from ...models.volume_encoder import VolumeEncoder
from ...people.pictures import picture
from . import inputs
from .config import CHANNELS, ImplicitConfig

Batch = dict[str, Any]


class Encoded:
    """What was made of a batch's pictures, for any number of points.

    Attributes:
        sides: feature maps of each stack, of the front (or of all pictures) and of the back.
        volume: features of the body's volume.
        planes: triplanes.
    """

    def __init__(self) -> None:
        self.sides: list[list[Tensor]] = []
        self.volume: Tensor | None = None
        self.planes: list[Tensor] = []


class ImplicitNetwork(nn.Module):
    """Modules by their names are what `--init-from` and `--freeze` know.

    Args:
        config: the settings.
    """

    def __init__(self, config: ImplicitConfig) -> None:
        super().__init__()
        self.config = config
        seen = config.channels(config.side("f") if config.by_visibility else config.inputs)
        self.image_encoder = self.volume_encoder = self.normals = None
        features = seen
        if config.encoder == "hourglass" and seen:
            self.image_encoder = StackedHourglass(seen, config.features, config.stacks, config.depth, config.width,
                                                  config.encoder_norm)  # fmt: skip
            features = config.features
        groups = [features] if seen else []
        groups += [self._channels(name) for name in config.geometry]
        if "volume" in config.geometry:
            self.volume_encoder = VolumeEncoder(3, config.volume_features, config.volume_width)
        self.sdf_encoding = SdfEncoding(config.encoding) if config.encoding else None
        self.triplanes = self._triplanes(features)
        groups += [config.plane_features] * len(self.triplanes)
        if config.normals == "predicted":
            self.normals = _normal_networks(config)
        self.head = _head(config, groups)

    def _channels(self, name: str) -> int:
        if name == "volume":
            return self.config.volume_features
        return 2 * self.config.encoding + 1 if name == "sdf" and self.config.encoding else CHANNELS[name]

    def _triplanes(self, features: int) -> nn.ModuleDict:
        kind, made = self.config.triplane, nn.ModuleDict()
        if kind in ("image", "both"):
            made["image"] = TriplaneFromImage(features, self.config.plane_features, self.config.plane_size)
        if kind in ("volume", "both"):
            made["volume"] = TriplaneFromVolume(3, self.config.plane_features, self.config.plane_size)
        return made

    def encode(self, batch: Batch) -> Encoded:
        """Look at the pictures of a batch."""
        config, made = self.config, Encoded()
        seen = self._pictures(batch)
        sides = [config.side("f"), config.side("b")] if config.by_visibility else [config.inputs]
        for names in sides:
            if names:
                together = torch.cat([seen[name] for name in names], 1)
                made.sides.append(self.image_encoder(together) if self.image_encoder else [together])
        if config.with_volume:
            volume = inputs.volume(batch)
            made.volume = self.volume_encoder(volume) if self.volume_encoder else None
            if "volume" in self.triplanes:
                made.planes.append(self.triplanes["volume"](volume))
        if "image" in self.triplanes:
            made.planes.append(self.triplanes["image"](made.sides[0][-1]))
        return made

    def _pictures(self, batch: Batch) -> dict[str, Tensor]:
        config = self.config
        given = [name for name in config.inputs if config.normals == "given" or not name.startswith("normal_")]
        seen: dict[str, Tensor] = {name: picture(batch, name, config.size) for name in given}
        if self.normals is not None:
            mask = interpolate(batch["mask"].float()[:, None], self._size(batch), mode="area")
            for name, network in self.normals.items():
                shown = [picture(batch, each, config.size) for each in ("image", f"body_{name}")]
                seen[name] = nn.functional.normalize(network(torch.cat(shown, 1)), dim=1) * (mask > 0)
        return seen

    def _size(self, batch: Batch) -> tuple[int, int]:
        height, width = batch["mask"].shape[1:3]
        return (self.config.size, self.config.size) if self.config.size else (height, width)

    def query(self, encoded: Encoded, batch: Batch, points: Tensor, progress: float = 1.0) -> list[Tensor]:
        """The field at points, for each stack: (b, outputs, n), the value first, 0 to 1, larger inside.

        Args:
            encoded: of `encode`.
            batch: with `calib` and the points' `icon_...`.
            points: (b, n, 3) world metres.
            progress: share of the training that is done, for the encoding.
        """
        cube = inputs.cube_points(points, batch["calib"])
        at = inputs.picture_places(batch, points, cube)
        made = inputs.point_features(self.config, batch, cube)
        if self.sdf_encoding is not None:
            made["sdf"] = self.sdf_encoding(made["sdf"], progress)
        if encoded.volume is not None:
            made["volume"] = sample_volume(encoded.volume, inputs.volume_places(batch, points))
        about = [made[name] for name in self.config.geometry]
        about += self._from_planes(encoded, batch, points, torch.cat([at, cube[..., 2:]], -1))
        stacks = len(encoded.sides[0]) if encoded.sides else 1
        out = []
        for stack in range(stacks):
            looked = self._looked(encoded, stack, batch, at)
            out.append(self.head(torch.cat([*looked, *about], 1)))
        return out

    def _looked(self, encoded: Encoded, stack: int, batch: Batch, at: Tensor) -> list[Tensor]:
        if not encoded.sides:
            return []
        found = [sample_at(side[stack], at) for side in encoded.sides]
        if len(found) == 1:
            return found
        visible = batch["icon_vis"][:, None] > 0.5
        return [torch.where(visible, found[0], found[1])]

    def _from_planes(self, encoded: Encoded, batch: Batch, points: Tensor, cube: Tensor) -> list[Tensor]:
        kinds = [name for name in ("volume", "image") if name in self.triplanes]
        places = {"volume": inputs.volume_places(batch, points) if "volume" in kinds else cube, "image": cube}
        return [sample_triplane(planes, places[kind]) for kind, planes in zip(kinds, encoded.planes, strict=True)]


def _head(config: ImplicitConfig, groups: list[int]) -> nn.Module:
    """The network over the points' features."""
    outputs = 2 if config.uncertainty else 1
    if config.grid:
        return GridConv(sum(groups), config.hidden[-1], norm=config.norm, outputs=outputs)
    if config.head == "mixer":
        return PointMixer(groups, config.hidden[-1], dropout=config.dropout, outputs=outputs)
    return PointMLP(
        [sum(groups), *config.hidden, 1], config.skips, norm=config.norm, dropout=config.dropout,
        attention=config.attention, attention_layers=config.attention_layers or None, reduction=config.reduction,
        pool=config.attention_pool, shape=config.shape, outputs=outputs,
    )  # fmt: skip


def _normal_networks(config: ImplicitConfig) -> nn.ModuleDict:
    wanted = [name for name in ("normal_f", "normal_b") if name in config.inputs]
    return nn.ModuleDict({
        name: GlobalGenerator(6, 3, config.normals_filters, config.normals_downs, config.normals_blocks,
                              config.normals_norm)
        for name in wanted
    })  # fmt: skip
