"""Settings of the engine `implicit`: PIFu, PaMIR, ICON and what their users change in them."""

from dataclasses import dataclass
from typing import Literal

from ....datasets.errors import UsageError
from ...config import EngineConfig

Picture = Literal["image", "normal_f", "normal_b", "body_normal_f", "body_normal_b", "orientation", "body_parts"]
Geometry = Literal["z", "sdf", "cmap", "norm", "vis", "part", "volume"]
CHANNELS: dict[str, int] = {
    "image": 3, "normal_f": 3, "normal_b": 3, "body_normal_f": 3, "body_normal_b": 3, "orientation": 3,
    "body_parts": 25, "z": 1, "sdf": 1, "cmap": 3, "norm": 3, "vis": 1, "part": 24,
}  # fmt: skip


def check_resolution(cells: int, option: str) -> None:
    """Refuse a number of cells that an octree does not halve down to its coarse lattice.

    Raises:
        UsageError: with the option.
    """
    if cells not in (8, 16) and (cells < 32 or cells % 32 or (cells // 32) & (cells // 32 - 1)):
        raise UsageError(f"{option} {cells}: 8, 16, 32, 64, 128, 256, 512, ...")


@dataclass(frozen=True)
class ImplicitConfig(EngineConfig):
    """The network, what it sees, and how it is trained.

    Attributes:
        inputs: pictures that are looked at.
        size: pixels of a side that pictures are reduced to; 0 for as they are stored.
        by_visibility: look at front and back pictures separately, and give each point the side that sees it (ICON).
        encoder: network over the pictures; none takes the pictures' own values at the points.
        stacks: hourglasses.
        depth: scales inside each of them.
        width: channels inside.
        features: channels of each point from the pictures.
        encoder_norm: norm of the picture network.
        geometry: features of the points themselves: depth, and those about the body.
        encoding: bands of the positional encoding of the body's sdf; 0 for none.
        volume_features: channels from PaMIR's volume of the body.
        volume_width: channels inside its network.
        triplane: three planes of features, from the pictures, from the body's volume, or both.
        plane_features: channels of these.
        plane_size: pixels of their sides.
        head: network over the points' features.
        hidden: its layers.
        skips: layers that see the features again.
        shape: of the layers: plain, narrow in the middle (u) or wide (n).
        norm: of the layers.
        dropout: share.
        attention: squeeze and excitation of the layers.
        attention_layers: layers that have it, from 0; all but the last by default.
        reduction: of the channels inside it.
        attention_pool: over nothing but the point itself, or over all points of the batch's record.
        grid: points in k x k x k blocks of the stored grid, with 3-D convolutions over them; 0 for free points.
        target: occupancy, or the signed distance.
        clip: centimetres at which the signed distance is cut off, as a target.
        feature_clip: ICON's sdf_clip, beyond which the body's distance is only a sign.
        uncertainty: predict how sure each point is, too.
        points: of each record and step.
        body: fit, or random: any of its noise variants.
        noisy: share of records with a noise variant.
        sdf_noise: metres of noise on the body's distances in training.
        normal_noise: radians of noise on pictures of normals in training.
        normals: given by the data set, or predicted by a network (module `normals`, see --init-from).
        normals_filters: channels of that network.
        normals_downs: its halvings.
        normals_blocks: its residual blocks.
        normals_norm: its norm.
        resolution: cells of a side when the surface is extracted.
    """

    inputs: tuple[Picture, ...] = ("image", "normal_f", "normal_b")
    size: int = 0
    by_visibility: bool = False
    encoder: Literal["hourglass", "none"] = "hourglass"
    stacks: int = 2
    depth: int = 2
    width: int = 256
    features: int = 12
    encoder_norm: Literal["group", "batch", "instance"] = "group"
    geometry: tuple[Geometry, ...] = ("z",)
    encoding: int = 0
    volume_features: int = 32
    volume_width: int = 16
    triplane: Literal["none", "image", "volume", "both"] = "none"
    plane_features: int = 16
    plane_size: int = 64
    head: Literal["mlp", "mixer"] = "mlp"
    hidden: tuple[int, ...] = (512, 256, 128)
    skips: tuple[int, ...] = (2, 3, 4)
    shape: Literal["plain", "u", "n"] = "plain"
    norm: Literal["batch", "group", "instance", "layer", "none"] = "batch"
    dropout: float = 0.0
    attention: Literal["none", "channel", "spatial", "scse"] = "none"
    attention_layers: tuple[int, ...] = ()
    reduction: int = 4
    attention_pool: Literal["none", "points"] = "none"
    grid: int = 0
    target: Literal["occupancy", "sdf"] = "occupancy"
    clip: float = 15.0
    feature_clip: float = 15.0
    uncertainty: bool = False
    points: int = 8000
    body: Literal["fit", "random"] = "fit"
    noisy: float = 1.0
    sdf_noise: float = 0.0
    normal_noise: float = 0.0
    normals: Literal["given", "predicted"] = "given"
    normals_filters: int = 64
    normals_downs: int = 4
    normals_blocks: int = 9
    normals_norm: Literal["instance", "batch", "group"] = "instance"
    resolution: int = 256

    def __post_init__(self) -> None:
        """Refuse settings that do not go together."""
        if len({*self.inputs}) < len(self.inputs) or len({*self.geometry}) < len(self.geometry):
            raise UsageError(f"--model.inputs {' '.join(self.inputs)} .geometry {' '.join(self.geometry)}: each once")
        if not self.inputs and not self.geometry:
            raise UsageError("the network sees nothing: give --model.inputs or --model.geometry")
        if self.by_visibility and self.channels(self.side("f")) != self.channels(self.side("b")):
            raise UsageError("--model.by-visibility: front and back pictures go in pairs (normal_f with normal_b, ...)")
        if self.by_visibility and not any(name.endswith("_f") for name in self.inputs):
            raise UsageError("--model.by-visibility: needs pictures of front and back, such as normal_f normal_b")
        if self.encoding and "sdf" not in self.geometry:
            raise UsageError(f"--model.encoding {self.encoding}: needs sdf among --model.geometry")
        if self.normals == "predicted" and not {"normal_f", "normal_b"} & {*self.inputs}:
            raise UsageError("--model.normals predicted: needs normal_f or normal_b among --model.inputs")
        check_resolution(self.resolution, "--model.resolution")
        if self.grid and (self.head != "mlp" or self.dropout or self.attention != "none" or self.shape != "plain"):
            raise UsageError("--model.grid has a head of its own: leave head, dropout, attention and shape as they are")
        if self.head == "mixer" and (self.attention != "none" or self.shape != "plain"):
            raise UsageError("--model.head mixer has layers of its own: leave attention and shape as they are")
        if self.normal_noise and not any("normal" in name for name in self.inputs):
            raise UsageError("--model.normal-noise: needs pictures of normals among --model.inputs")
        if self.points < 1 or self.size < 0 or not 0 <= self.noisy <= 1 or self.grid < 0:
            raise UsageError("--model.points, .resolution, .size, .noisy or .grid is out of range")
        if self.grid and (
            not 8 <= self.grid <= 64 or self.body == "random" or self.norm not in ("batch", "layer", "none")
        ):
            raise UsageError("--model.grid: 8 to 64, with --model.body fit (the grid has no noise variants) and "
                             "--model.norm batch, layer or none")  # fmt: skip
        if self.body == "random" and "body_parts" in self.inputs:
            raise UsageError("--model.body random: body_parts is of the fit alone, and would show it beside the noisy "
                             "body; leave it out of --model.inputs, or train with --model.body fit")  # fmt: skip
        if self.triplane in ("image", "both") and not self.inputs:
            raise UsageError("--model.triplane image: needs --model.inputs")

    @staticmethod
    def channels(names: tuple[str, ...]) -> int:
        """Channels of some pictures together."""
        return sum(CHANNELS[name] for name in names)

    def side(self, side: str) -> tuple[str, ...]:
        """Pictures of one side (`f`, `b`), with those that have none."""
        other = {"f": "_b", "b": "_f"}[side]
        return tuple(name for name in self.inputs if not name.endswith(other))

    @property
    def about_body(self) -> tuple[str, ...]:
        """ICON's features that the points need."""
        wanted = [name for name in ("sdf", "cmap", "norm", "vis", "part") if name in self.geometry]
        return tuple(dict.fromkeys([*wanted, *(["vis"] if self.by_visibility else [])]))

    @property
    def with_volume(self) -> bool:
        """Whether PaMIR's volume of the body is needed."""
        return "volume" in self.geometry or self.triplane in ("volume", "both")

    @property
    def with_body(self) -> bool:
        """Whether a body is needed at all."""
        seen = any(name.startswith("body_normal") for name in self.inputs) or self.normals == "predicted"
        return bool(self.about_body) or self.with_volume or seen
