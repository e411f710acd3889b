"""The losses of the data set's users in torch, as they would write them: predictions and fields in, scalar out."""

from collections.abc import Mapping

import numpy as np
import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional

Depths = Mapping[int, "torch.Tensor"]


def psi(x):
    """Colours of a high dynamic range, compressed."""
    return torch.log1p(x)


def split_loss(logits: Depths, occupied: Depths, observed: Depths):
    """Cross-entropy of (N_d, 2) logits, averaged over the observed nodes of each depth, added up over depths."""
    return sum(F.cross_entropy(x[observed[d]], occupied[d][observed[d]].long()) for d, x in logits.items())


def layer_loss(predicted: Depths, wanted: Depths, split: Depths):
    """Squared error of colour and opacity (N_d, 4) on the split nodes of each depth, added up over depths."""
    return sum(((psi(x) - psi(wanted[d]))[split[d]] ** 2).sum(dim=1).mean() for d, x in predicted.items())


def leaf_loss(predicted, wanted):
    """Reading A of the direct loss: L1 of the leaves' colour and opacity (L, 4)."""
    return (psi(predicted) - psi(wanted)).abs().sum(dim=1).mean()


def masked_mean(values, mask):
    """Mean over a mask; what lies outside may be NaN and has no gradient."""
    return values[mask].mean()


def depth_loss(predicted, wanted):
    """Reading B, depth: |log| of depths (h, w); where the wanted one is finite."""
    known = torch.isfinite(wanted)
    return (predicted[known].log() - wanted[known].log()).abs().mean()


def normal_loss(predicted, wanted, valid):
    """Reading B, normals (h, w, 3): one minus cosine."""
    return masked_mean(1 - (predicted * wanted).sum(dim=-1), valid)


def photometric_loss(rendered, wanted, mask):
    """L1 of compressed colours (R, 3) on a mask (R,)."""
    return masked_mean((psi(rendered) - psi(wanted)).abs().sum(dim=1), mask)


def occupancy_loss(logits, sdf, valid):
    """Binary cross-entropy of "inside" (Q,), on points whose side is known."""
    return F.binary_cross_entropy_with_logits(logits[valid], (sdf[valid] < 0).float())


def distance_loss(predicted, sdf, valid, limit: float):
    """L1 of signed distances (Q,), both truncated at `limit` metres."""
    return masked_mean((predicted.clamp(-limit, limit) - sdf.clamp(-limit, limit)).abs(), valid)


def gaussian(size: int = 11, sigma: float = 1.5):
    """(size, size) weights that add up to 1."""
    row = torch.exp(-((torch.arange(size).double() - size // 2) ** 2) / (2 * sigma**2))
    return torch.outer(row, row) / row.sum() ** 2


def ssim(a, b):
    """Structural similarity of two pictures (3, h, w) in [0, 1], a map (h - 10, w - 10) (Wang et al., 2004)."""
    weights = gaussian()[None, None]
    a, b = a.double()[:, None], b.double()[:, None]

    def blur(x):
        return F.conv2d(x, weights)

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, both = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    alike = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return (alike / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean(dim=(0, 1))


class Perceptual(torch.nn.Module):
    """LPIPS with AlexNet's layers (Zhang et al., 2018); random weights, as trained ones are not for tests to fetch."""

    LAYERS = ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1))
    SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.weights = [
            torch.randn(outputs, inputs, size, size, generator=draw) * (2 / (inputs * size**2)) ** 0.5
            for inputs, outputs, size, _, _ in self.LAYERS
        ]

    def features(self, picture):
        """Features of each layer, of a picture (1, 3, h, w) in [-1, 1], of unit length in each place."""
        x = (picture - torch.tensor(self.SHIFT)[:, None, None]) / torch.tensor(self.SCALE)[:, None, None]
        for number, (weight, (*_, stride, padding)) in enumerate(zip(self.weights, self.LAYERS, strict=True)):
            x = F.max_pool2d(x, 3, 2) if number in (1, 2) else x
            x = F.relu(F.conv2d(x, weight, stride=stride, padding=padding))
            yield F.normalize(x, dim=1)

    def forward(self, a, b):
        """Distance of two pictures (1, 3, h, w)."""
        pairs = zip(self.features(a), self.features(b), strict=True)
        return sum(((x - y) ** 2).mean(dim=1).mean() for x, y in pairs)


def tensors(arrays: Mapping[int, np.ndarray]) -> dict[int, "torch.Tensor"]:
    return {d: torch.from_numpy(np.array(array)) for d, array in arrays.items()}
