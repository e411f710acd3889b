"""Files in the encodings of the published data set: chunked gzip HDF5, plain HDF5, JPEG and PNG."""

from pathlib import Path

import cv2
import deflate
import h5py
import numpy as np
from numpy.typing import NDArray

LEVEL = 1
JPEG_QUALITY = 80


def chunk_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Chunks of an image data set: (96, 128[, 1]) at full size, as h5py chose for the published files; else quarters."""
    rows, cols = (96, 128) if shape[0] >= 768 else (shape[0] // 4, shape[1] // 4)
    return (rows, cols, *[1 for _ in shape[2:]])


def write_image(path: Path, image: NDArray[np.generic]) -> None:
    """Writes `dataset` (H, W) or (H, W, C) in chunks with h5py's gzip filter set to 9 and no attributes.

    Chunks are packed by libdeflate, whose streams any zlib reads, several times faster than h5py packs them.
    """
    rows, cols, *_ = chunks = chunk_shape(image.shape)
    layers = image.reshape(*image.shape[:2], -1)
    tall, wide, deep = layers.shape[0] // rows, layers.shape[1] // cols, layers.shape[2]
    blocks = np.ascontiguousarray(layers.reshape(tall, rows, wide, cols, deep).transpose(0, 2, 4, 1, 3))
    with h5py.File(path, "w") as file:
        data = file.create_dataset("dataset", image.shape, image.dtype, chunks=chunks, compression="gzip", compression_opts=9)
        for i, j, k in np.ndindex(tall, wide, deep):
            offset = (i * rows, j * cols, k)[: image.ndim]
            data.id.write_direct_chunk(offset, deflate.zlib_compress(blocks[i, j, k].data.cast("B"), LEVEL))


def write_array(path: Path, values: NDArray[np.generic]) -> None:
    """Writes `dataset` contiguous, without filters or attributes."""
    with h5py.File(path, "w") as file:
        file.create_dataset("dataset", data=values)


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Writes an 8-bit picture: (H, W, 3) RGB as `.jpg`, (H, W, 4) RGBA as `.png`."""
    swap = cv2.COLOR_RGB2BGR if picture.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 1]
    _, data = cv2.imencode(path.suffix, cv2.cvtColor(picture, swap), options)
    path.write_bytes(data.tobytes())
