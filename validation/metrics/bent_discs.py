"""A piece of surface around each of many samples: a disc at right angles to its normal, bent as its neighbours show.

A flat disc leaves a curved surface by r^2 / 2R at the distance r, and the closest of several discs is the one that
leaves it most; a paraboloid through the neighbours' normals leaves it in the third order only (as F. Cazals and
M. Pouget, "Estimating differential quantities using polynomial fitting of osculating jets", 2005). Discs end where a
neighbour's begins: they leave no gap, and those close to an edge are smaller, so that they reach little over it.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NEIGHBOURS = 8
REACH = 1.2  # of a disc whose neighbours do not end it, in distances to the last of them
CREASED = 0.5  # of that, where a neighbour is across a crease: less is reached over it, and less of it covered
OPPOSITE = -0.5  # cosine of the angle of two normals: below, a neighbour is of another sheet and ends nothing
SAME = 0.5  # the same: below, samples are across a crease, and do not show how one side of it is bent
STEEPEST = 0.5  # slope at a disc's rim: what is bent more is no smooth surface at this spacing
SINGULAR = 0.1  # determinant: close to the centre of curvature all places are as close
RIDGE = 1e-3  # keeps fits of neighbours that lie in one line from running away


class BentDiscs:
    """Discs around samples.

    Args:
        points: (n, 3) places, any unit.
        normals: (n, 3) unit normals, or zero: the disc is then its centre.
        away: (n, k + 1) distances of each sample to its nearest ones in order, itself first.
        near: (n, k + 1) which these are.
    """

    def __init__(self, points: Floats, normals: Floats, away: Floats, near: NDArray[np.int64]) -> None:
        self._points, self._normals = points, normals
        self._across = _frames(normals)
        self._radius = np.where(normals.any(1), REACH * away[:, -1], 0.0)
        self._bends, self._ends = self._looked_up(near[:, 1:])

    def _looked_up(self, near: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """(n, 3) bends and (n, k, 2) ends of the discs, of which `near` (n, k) are the neighbours."""
        away = self._points[near] - self._points[:, None]
        places = np.einsum("nai,nki->nka", self._across, away)
        facing = np.einsum("ni,nki->nk", self._normals, self._normals[near])
        self._radius *= np.where(((facing > OPPOSITE) & (facing < SAME)).any(1), CREASED, 1.0)
        square = np.einsum("nki,nki->nk", away, away)
        ending = (facing > OPPOSITE) & (square > 0)
        ends = places * np.divide(2.0, square, out=np.zeros_like(square), where=ending)[..., None]
        used = (facing > SAME)[..., None]
        tilts = -np.einsum("nai,nki->nka", self._across, self._normals[near])
        slopes = np.divide(tilts, facing[..., None], out=np.zeros_like(tilts), where=used)
        return self._limited(_bends(places * used, slopes)), ends

    def _limited(self, bends: Floats) -> Floats:
        """Bends that are no steeper than `STEEPEST` at the rim."""
        slope = np.sqrt(bends[:, 0] ** 2 + 2 * bends[:, 1] ** 2 + bends[:, 2] ** 2) * self._radius
        return bends * (STEEPEST / np.maximum(slope, STEEPEST))[:, None]

    def distance(self, points: Floats, near: NDArray[np.int64]) -> Floats:
        """(m, k) distances of points (m, 3) to the discs (m, k) around some samples."""
        away = points[:, None] - self._points[near]
        flat = np.einsum("mkai,mki->mka", self._across[near], away)
        height = np.einsum("mki,mki->mk", self._normals[near], away)
        bends = self._bends[near]
        foot = self._within(_foot(flat, height, bends), near)
        x, y = foot[..., 0], foot[..., 1]
        up = height - (bends[..., 0] * x * x + 2 * bends[..., 1] * x * y + bends[..., 2] * y * y) / 2
        found: Floats = np.sqrt(((flat - foot) ** 2).sum(-1) + up**2)
        # A sample without a normal has no frame: its distance is that to the point.
        return np.where(self._radius[near] > 0, found, np.sqrt(np.einsum("mki,mki->mk", away, away)))

    def _within(self, foot: Floats, near: NDArray[np.int64]) -> Floats:
        """Places (m, k, 2) on discs, or where the way to them leaves the disc: half way to a neighbour, or the rim."""
        length, radius = np.hypot(foot[..., 0], foot[..., 1]), self._radius[near]
        beyond = np.divide(length, radius, out=np.zeros_like(length), where=radius > 0)
        beyond = np.maximum(beyond, np.einsum("mkja,mka->mkj", self._ends[near], foot).max(-1))
        return foot / np.maximum(beyond, 1.0)[..., None]


def _bends(places: Floats, slopes: Floats) -> Floats:
    """(n, 3) second derivatives xx, xy, yy of heights, by least squares of slopes (n, k, 2) at places (n, k, 2)."""
    u, v, p, q = places[..., 0], places[..., 1], slopes[..., 0], slopes[..., 1]
    uu, uv, vv = (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)
    ridge, matrix = RIDGE * (uu + vv) + 1e-300, np.zeros((len(u), 3, 3))
    matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, 2, 2] = uu + ridge, uu + vv + 2 * ridge, vv + ridge
    matrix[:, 0, 1] = matrix[:, 1, 0] = matrix[:, 1, 2] = matrix[:, 2, 1] = uv
    right = np.stack([(u * p).sum(1), (v * p + u * q).sum(1), (v * q).sum(1)], 1)
    found: Floats = np.linalg.solve(matrix, right[..., None])[..., 0]
    return found


def _foot(flat: Floats, height: Floats, bends: Floats) -> Floats:
    """(m, k, 2) where bent discs are closest to points above places `flat`: (1 - height B) foot = flat.

    Beyond the centre of curvature that is the farthest place instead; there it is the place itself.
    """
    a, b, d = 1 - height * bends[..., 0], -height * bends[..., 1], 1 - height * bends[..., 2]
    det = a * d - b * b
    regular = (det > SINGULAR) & (a + d > 0)
    u, v = flat[..., 0], flat[..., 1]
    turned = np.stack([d * u - b * v, a * v - b * u], -1)
    found: Floats = np.where(regular[..., None], turned / np.where(regular, det, 1.0)[..., None], flat)
    return found


def _frames(normals: Floats) -> Floats:
    """(n, 2, 3) unit vectors at right angles to unit normals (n, 3) and to each other."""
    helper = np.eye(3)[np.abs(normals).argmin(1)]
    one = np.cross(normals, helper)
    length = np.linalg.norm(one, axis=1, keepdims=True)
    one = np.divide(one, length, out=np.zeros_like(one), where=length > 0)
    return np.stack([one, np.cross(normals, one)], 1)
