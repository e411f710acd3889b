"""Settings of the engine `normals`."""

from dataclasses import dataclass
from typing import Literal

from ....datasets.errors import UsageError
from ...config import EngineConfig

Side = Literal["f", "b"]


@dataclass(frozen=True)
class NormalsConfig(EngineConfig):
    """Networks from the picture and the body's normals to the normals of the clothed person, front and back.

    Attributes:
        sides: f, b, or both.
        body: whether the body's normals are seen beside the picture.
        size: pixels of a side that pictures are reduced to; 0 for as they are stored.
        filters: channels of the first layer.
        downs: halvings.
        blocks: residual blocks.
        norm: of the layers.
        noise: bodies in training: fit, or random for any noise variant.
        l1: weight of the smooth L1 loss (ICON: 5).
        angle: weight of 1 - cosine of the angle to the truth, which ICON does not have.
    """

    sides: tuple[Side, ...] = ("f", "b")
    body: bool = True
    size: int = 0
    filters: int = 64
    downs: int = 4
    blocks: int = 9
    norm: Literal["instance", "batch", "group"] = "instance"
    noise: Literal["fit", "random"] = "fit"
    l1: float = 5.0
    angle: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        if not self.sides or len({*self.sides}) < len(self.sides):
            raise UsageError(f"--model.sides {' '.join(self.sides)}: f, b, or f b")
        if self.l1 < 0 or self.angle < 0 or not self.l1 + self.angle > 0:
            raise UsageError("--model.l1, --model.angle: 0 or more, one of them more than 0")
