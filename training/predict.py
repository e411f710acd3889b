"""Meshes and pictures from pictures of one's own, by a trained run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..datasets.errors import FormatError, TesseraError, UsageError
from .trained import Trained

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
COMPANIONS = ("_mask", "_normal_f", "_normal_b")
TALLEST = (0.3, 3.0)  # metres that a person may be tall, from and to


@dataclass(frozen=True)
class PredictOptions:
    """How pictures become predictions.

    Attributes:
        height: metres from the lowest to the highest point of the person in the picture (a raised hand counts), from
            which the picture's scale follows; `height` in NAME.npz
            goes first.
        resolution: cells of a side when a surface is extracted; 0 for the run's own.
        normals: a run of the engine normals, which makes the normals that the network wants; those beside the pictures
            (NAME_normal_f.png) go first.
    """

    height: float = 1.7
    resolution: int = 0
    normals: Path | None = None


@dataclass(frozen=True)
class Given:
    """One picture.

    Attributes:
        name: of its file, without the ending.
        image: (size, size, 3) uint8 sRGB.
        mask: (size, size) bool where the person is.
        folder: of the file: what belongs to it lies beside it.
    """

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    folder: Path


def picture_paths(folder: Path) -> list[Path]:
    """The pictures of a folder, in the order of their names; those that belong to others are passed over.

    Raises:
        UsageError: no folder, or no picture in it.
    """
    if not folder.is_dir():
        raise UsageError(f"--images {folder}: no such folder")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    own = [path for path in paths if not path.stem.endswith(COMPANIONS)]
    if not own:
        raise UsageError(f"--images {folder}: no picture in it ({', '.join(ENDINGS)})")
    return own


def read_given(path: Path, size: int) -> Given:
    """A picture and where the person is in it.

    Args:
        path: NAME.png with an alpha channel, or NAME.png (or .jpg) with NAME_mask.png beside it.
        size: pixels of a side that it is brought to.

    Raises:
        FormatError: it cannot be read, is not square, or its mask is missing or empty.
    """
    picture = read_picture(path)
    beside = next((x for x in path.parent.glob(f"{path.stem}_mask.*") if x.suffix.lower() in ENDINGS), None)
    if picture.width != picture.height:
        shape = f"{picture.width} x {picture.height} pixels"
        raise FormatError(f"{path}: {shape}; crop or pad it to a square with the person in the middle, "
                          "1.8 of 2.048 of the height")  # fmt: skip
    if beside is not None:
        mask = np.asarray(read_picture(beside).convert("L").resize((size, size), Image.Resampling.BOX)) > 127
    elif picture.mode in ("RGBA", "LA", "PA"):
        mask = np.asarray(picture.convert("RGBA").resize((size, size), Image.Resampling.BOX))[..., 3] > 127
    else:
        raise FormatError(f"{path}: where is the person? Give it an alpha channel, or {path.stem}_mask.png beside it")
    if not mask.any():
        raise FormatError(f"{path}: its mask is empty")
    image = np.asarray(picture.convert("RGB").resize((size, size), Image.Resampling.BOX), np.uint8)
    return Given(path.stem, image * mask[..., None], mask, path.parent)


def read_picture(path: Path) -> Image.Image:
    """A picture, decoded.

    Raises:
        FormatError: it cannot be read.
    """
    try:
        picture = Image.open(path)
        picture.load()
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError, ValueError) as error:
        raise FormatError(f"{path}: cannot be read ({str(error)[:120]})") from error
    return picture


def predict(run: Trained, images: Path, out: Path, options: PredictOptions) -> Iterator[dict[str, Any]]:
    """Predict each picture; files are written to `out`, a row of `predictions.csv` is given for each, those that failed
    with a note.

    Raises:
        UsageError: the engine predicts nothing, or an option makes no sense.
    """
    if run.spec.predict is None:
        raise UsageError(f"engine {run.spec.name} has no predictions")
    if not TALLEST[0] <= options.height <= TALLEST[1]:
        raise UsageError(f"--height {options.height}: from {TALLEST[0]} to {TALLEST[1]} metres")
    paths = picture_paths(images)
    out.mkdir(parents=True, exist_ok=True)
    one = run.spec.predict(run, options)
    for path in paths:
        try:
            yield {"picture": path.stem, **one(path, out), "note": ""}
        except TesseraError as error:
            yield {"picture": path.stem, "note": str(error)}
