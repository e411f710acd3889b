"""Ray-traced light probes of the demo's rooms: the renderer's own shading, called from a probe instead of a camera."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from tessera.datasets.envmap import gather, texel_rays
from tessera.pipelines.demo.hypersim.assembly import assemble
from tessera.pipelines.demo.hypersim.bake import bake
from tessera.pipelines.demo.hypersim.painter import Painter
from tessera.pipelines.demo.hypersim.scenes import SCALES, SCENES
from tessera.pipelines.demo.hypersim.stage import Tracer

TILE = 1 << 14
BLACK = 1e-3  # radiance below which a ratio says nothing


@dataclass(frozen=True)
class Traced:
    """What rays from P probes see, `gather`ed; the sky does not count, as no frame measures its distance.

    Attributes:
        radiance: (P, height, width, 3) float64 mean over the rays that hit the room.
        share: (P, height, width) float64 share of each texel's solid angle that hits the room.
        spread: (P, height, width) float64 relative spread of luminance within each texel.
    """

    radiance: np.ndarray
    share: np.ndarray
    spread: np.ndarray


class TracedRoom:
    """One demo scene, lit as it was for the demo's raw data.

    Args:
        name: such as `ai_900_001`.
        scale: of the demo data, `small` or `full`.
        seed: of the demo data.
    """

    def __init__(self, name: str, scale: str = "small", seed: int = 0) -> None:
        index = [scene.name for scene in SCENES].index(name)
        self._room = SCENES[index].build(np.random.default_rng([seed, index]))
        self._mesh = assemble(self._room.items)
        self._bake = (SCALES[scale].quality, [seed, index])
        self.tracer = Tracer(self._mesh)

    @cached_property
    def painter(self) -> Painter:
        atlas, light = bake(self.tracer, self._mesh, self._room.lights, *self._bake)
        return Painter(self._mesh, self.tracer, self._room.sky, atlas, light)

    def distances(self, positions: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Exact distances (P, R) along directions (R, 3) from positions (P, 3); inf for the sky."""
        ways = directions.astype(np.float32)
        return np.stack([self.tracer.cast(position.astype(np.float32), ways)[0] for position in positions])

    def traced(self, positions: np.ndarray, height: int = 16, width: int = 32, fine: int = 8) -> Traced:
        """Exact environment maps at positions (P, 3)."""
        rays = texel_rays(height, width, fine)
        ways = rays.direction.astype(np.float32)
        colour = np.empty((len(positions), len(ways), 3))
        hit = np.empty(colour.shape[:2], bool)
        for p, position in enumerate(positions):
            for start in range(0, len(ways), TILE):
                part = slice(start, start + TILE)
                noise = np.zeros_like(ways[part])
                seen = self.painter.shade(position.astype(np.float32), ways[part], noise, np.pi / height / fine)
                colour[p, part] = seen.albedo * seen.light + seen.residual
                hit[p, part] = ~seen.missed
        mean, share = gather(colour, hit, rays, height * width)
        square, _ = gather(colour**2, hit, rays, height * width)
        spread = np.sqrt(np.maximum(square - mean**2, 0).mean(axis=-1)) / np.maximum(mean.mean(axis=-1), BLACK)
        shape = (len(positions), height, width)
        return Traced(mean.reshape(*shape, 3), share.reshape(shape), spread.reshape(shape))


def compare(radiance: np.ndarray, mask: np.ndarray, exact: Traced) -> dict[str, Any]:
    """Figures of probes (P, height, width, 3) with masks (P, height, width) against exact ones.

    Returns:
        `masked`: share of texels known; `known`: share of those known among those that see the room wholly;
        `sky`: share of the known texels that in truth see mostly sky (leaks through windows);
        `median`, `p90`: of |log(ours / exact)| of the mean over colours, all known texels that see the room;
        `smooth_median`, `smooth_p90`: those of texels whose light varies by less than 20 %;
        `energy`: ours over exact, sums over known texels weighted by solid angle.
    """
    height = mask.shape[1]
    known = mask > 0
    room = known & (exact.share > 0.5)
    ours, true = radiance.astype(float).mean(axis=-1), exact.radiance.mean(axis=-1)
    ratio = np.abs(np.log(np.maximum(ours, BLACK) / np.maximum(true, BLACK)))
    smooth = room & (exact.spread < 0.2)
    angle = np.broadcast_to(np.sin((np.arange(height) + 0.5) * np.pi / height)[:, None], ours.shape)[room]
    return {
        "masked": known.mean(),
        "known": known[exact.share == 1].mean(),
        "sky": (known & (exact.share < 0.5)).sum() / max(known.sum(), 1),
        "median": np.median(ratio[room]),
        "p90": np.quantile(ratio[room], 0.9),
        "smooth_median": np.median(ratio[smooth]),
        "smooth_p90": np.quantile(ratio[smooth], 0.9),
        "energy": (ours[room] * angle).sum() / (true[room] * angle).sum(),
    }
