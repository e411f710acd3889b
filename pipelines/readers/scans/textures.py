"""Pictures on meshes: decoded with their sizes checked first, and several put into one."""

import io
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ....datasets.errors import FormatError
from .mesh import NO_UV

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
MOST_PIXELS = 1 << 27  # such as 8192 x 16384
GUTTER = 4  # pixels around each picture of several, so that what lies between pixels takes nothing of its neighbour
OUTSIDE = 1e-3  # of a picture, by which texture coordinates may miss it for rounding

Pixels = NDArray[np.uint8]


def decode_picture(data: bytes, source: str) -> Pixels:
    """(H, W, 3) uint8 sRGB of a picture file, top row first; an alpha channel is dropped.

    Args:
        data: the file.
        source: what it is called in messages.

    Raises:
        FormatError: it is none of FORMATS, is too large, damaged, or has more than 8 bits.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # it is compared with MOST_PIXELS here
            opened = Image.open(io.BytesIO(data), formats=FORMATS)
        with opened as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise FormatError(f"{source}: {picture.width} x {picture.height} pixels; refused as too many")
            if picture.mode[0] in "IF":
                raise FormatError(f"{source}: a picture of {picture.mode}; a texture has 8 bits a channel")
            return np.array(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FormatError(f"{source}: no picture, or a damaged one ({error}); fetch it again") from error


def pack(
    pictures: Sequence[Pixels],
    of_face: NDArray[np.integer],
    uv: NDArray[np.floating],
    face_uv: NDArray[np.int32],
    source: str,
) -> tuple[Pixels, NDArray[np.float32], NDArray[np.int32]]:
    """Put the pictures of several materials above each other into one, and turn texture coordinates accordingly.

    A picture of one pixel is a colour: its faces need no texture coordinates.

    Args:
        pictures: (H, W, 3) uint8 each.
        of_face: (F,) picture of each face.
        uv: (T, 2) texture coordinates, v up, in [0, 1].
        face_uv: (F, 3) texture coordinate of each corner, -1 for none.
        source: what the mesh is called in messages.

    Returns:
        The picture, uv and face_uv of it.

    Raises:
        FormatError: they are too large together, or one is repeated over its faces, which one picture cannot hold.
    """
    heights = np.array([len(picture) + 2 * GUTTER for picture in pictures])
    width = max(picture.shape[1] for picture in pictures) + 2 * GUTTER
    height, tops = int(heights.sum()), np.cumsum(heights) - heights
    if width * height > MOST_PIXELS:
        raise FormatError(f"{source}: textures of {width} x {height} pixels together; refused as too many")
    atlas = np.zeros((height, width, 3), np.uint8)
    for picture, top in zip(pictures, tops, strict=True):
        padded = np.pad(picture, ((GUTTER, GUTTER), (GUTTER, GUTTER), (0, 0)), mode="edge")
        atlas[top : top + len(padded), : padded.shape[1]] = padded
    plain = np.array([picture.shape[:2] == (1, 1) for picture in pictures])
    corners = np.where(plain[of_face][:, None], len(uv), face_uv)  # one more coordinate: the middle of any picture
    coordinates = np.concatenate([uv.astype(np.float64), [[0.5, 0.5]]])
    pairs = np.repeat(of_face.astype(np.int64), 3) * (len(coordinates) + 1) + corners.reshape(-1) + 1
    used, where = np.unique(pairs, return_inverse=True)
    picture_of, coordinate = np.divmod(used, len(coordinates) + 1)
    there = coordinate > 0  # -1 before
    local = coordinates[coordinate[there] - 1]
    if local.size and not -OUTSIDE <= local.min() <= local.max() <= 1 + OUTSIDE:
        raise FormatError(f"{source}: a texture that is repeated, beside others; bake its materials into one picture")
    sizes = np.array([picture.shape[:2] for picture in pictures])[picture_of[there]]
    columns = GUTTER + local[:, 0] * sizes[:, 1]
    rows = tops[picture_of[there]] + GUTTER + (1 - local[:, 1]) * sizes[:, 0]
    turned = np.stack([columns / width, 1 - rows / height], 1).astype(np.float32)
    numbers = np.where(there, np.cumsum(there) - 1, NO_UV).astype(np.int32)
    return atlas, turned, numbers[where.reshape(-1)].reshape(-1, 3)
