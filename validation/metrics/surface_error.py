"""Chamfer distance and point-to-surface distance of a predicted mesh: as published, and as they should be taken."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .surface_samples import Mesh, MeshSurface, OrientedSamples, Truth

PUBLISHED_SAMPLES = 1000
CUBE = "hundredth of the cube's half side"
CENTIMETRE = "centimetre"
SURE = 1.96  # standard errors on both sides of a mean that hold it in 95 of 100 cases


@dataclass(frozen=True)
class SurfaceError:
    """How far a predicted surface is from the truth.

    The half widths say how much sampling alone moves a number: it lies within them in 95 of 100 draws.

    Attributes:
        chamfer: half of `p2s` + `reverse_p2s`.
        p2s: mean distance from samples of the truth to the predicted surface, which ICON and its followers call P2S:
            large where the prediction lacks something.
        reverse_p2s: mean distance from samples of the prediction to the true surface, which PIFuHD calls P2S: large
            where the prediction has something that is not there.
        chamfer_within: half width of the 95 % confidence interval of `chamfer`; NaN with less than two samples.
        p2s_within: of `p2s`.
        reverse_p2s_within: of `reverse_p2s`.
        unit: of all of these.
        samples: how many were drawn from the truth, and from the prediction.
    """

    chamfer: float
    p2s: float
    reverse_p2s: float
    chamfer_within: float
    p2s_within: float
    reverse_p2s_within: float
    unit: str
    samples: tuple[int, int]


def published_error(
    predicted: Mesh, truth: Truth, rng: np.random.Generator, even: bool = False, samples: int = PUBLISHED_SAMPLES,
    half_sides: float = 1.0,
) -> SurfaceError:  # fmt: skip
    """The published numbers: Y. Xiu et al., "ICON", 2022, and those who took over its protocol.

    Papers print these as "cm", which they are not: they are the cube's coordinates times 100. The cube's half side
    is 102.4 units of a person who was scaled to 180, so that one of these is about 1.02 cm of a person of 1.80 m, and
    less of a smaller one. Not done here: PyTorch3D, which ICON took later, measures triangles of less than 5e-3 as if
    they were lines.

    Args:
        predicted: (V, 3) vertices in the cube [-1, 1]^3 and (F, 3) faces; the protocol keeps the largest part only.
        truth: a mesh or samples in the same cube.
        rng: what samples are drawn with. The references do not seed theirs, and draw anew for each mesh.
        even: as ICON drew them at first (`sample_surface_even`); later, and in all that followed, by area alone.
        samples: of each surface.
        half_sides: of the cube, that both surfaces' unit is long: for surfaces in metres, half sides a metre.

    Raises:
        ValueError: a mesh is empty, has no area, or is not finite.
    """
    return _measured(predicted, truth, samples, rng, even, 100.0 * half_sides, CUBE)


def fixed_error(predicted: Mesh, truth: Truth, samples: int = 10_000, seed: int = 0) -> SurfaceError:
    """Errors in real centimetres, the same in every run, from enough samples to tell methods apart.

    Args:
        predicted: (V, 3) vertices in metres and (F, 3) faces.
        truth: a mesh or samples in the same frame, metres.
        samples: of each surface; of `OrientedSamples` no more than there are.
        seed: of the draw. The same for all methods that are compared: the samples of the truth are then the same, too.

    Raises:
        ValueError: a mesh is empty, has no area, or is not finite; or `samples` is less than 1.
    """
    return _measured(predicted, truth, samples, np.random.default_rng(seed), False, 100.0, CENTIMETRE)


def _measured(
    predicted: Mesh, truth: Truth, samples: int, rng: np.random.Generator, even: bool, scale: float, unit: str
) -> SurfaceError:
    found = MeshSurface(*predicted, name="predicted mesh")
    real = truth if isinstance(truth, OrientedSamples) else MeshSurface(*truth, name="true mesh")
    of_truth = real.draw(samples, rng, even)  # first, so that it does not depend on the prediction
    of_found = found.draw(samples, rng, even)
    p2s, p2s_within = _mean(found.distance(of_truth) * scale)
    reverse, reverse_within = _mean(real.distance(of_found) * scale)
    within = float(np.hypot(p2s_within, reverse_within)) / 2
    counts = len(of_truth), len(of_found)
    return SurfaceError((p2s + reverse) / 2, p2s, reverse, within, p2s_within, reverse_within, unit, counts)


def _mean(distances: NDArray[np.float64]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % confidence interval."""
    spread = float(distances.std(ddof=1)) if len(distances) > 1 else float("nan")
    return float(distances.mean()), SURE * spread / float(np.sqrt(len(distances)))
