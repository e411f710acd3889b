"""Files in the encodings of the published data set: chunked gzip HDF5, plain HDF5, JPEG and PNG."""

import struct
import zlib
from pathlib import Path

import cv2
import deflate
import h5py
import numpy as np
from numpy.typing import NDArray

from .arrays import Bytes

LEVEL = 1
JPEG_QUALITY = 80
GZIP = {"compression": "gzip", "compression_opts": 9}


def chunk_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Chunks of an image data set: (96, 128[, 1]) at full size, as h5py chose for the published files, or quarters."""
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
        data = file.create_dataset("dataset", image.shape, image.dtype, chunks=chunks, **GZIP)
        for i, j, k in np.ndindex(tall, wide, deep):
            offset = (i * rows, j * cols, k)[: image.ndim]
            data.id.write_direct_chunk(offset, deflate.zlib_compress(blocks[i, j, k].data.cast("B"), LEVEL))


def write_array(path: Path, values: NDArray[np.generic]) -> None:
    """Writes `dataset` contiguous, without filters or attributes."""
    with h5py.File(path, "w") as file:
        file.create_dataset("dataset", data=values)


def _png_chunk(name: bytes, data: bytes | bytearray) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _png(picture: Bytes) -> bytes:
    """An RGBA picture (H, W, 4) as PNG: differences to the row above, packed by libdeflate (OpenCV is slower)."""
    height, width = picture.shape[:2]
    rows = picture.reshape(height, -1)
    lines = np.empty((height, 1 + 4 * width), np.uint8)
    lines[:, 0], lines[0, 1:] = 2, rows[0]
    np.subtract(rows[1:], rows[:-1], out=lines[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    packed = deflate.zlib_compress(lines.data.cast("B"), LEVEL)
    return b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", packed) + _png_chunk(b"IEND", b"")


def write_picture(path: Path, picture: Bytes) -> None:
    """Writes an 8-bit picture: (H, W, 3) RGB as JPEG, (H, W, 4) RGBA as PNG; the name has to say which.

    Raises:
        ValueError: the suffix is not the one of the picture's kind.
    """
    suffix = {3: ".jpg", 4: ".png"}[picture.shape[2]]
    if path.suffix != suffix:
        raise ValueError(f"{path}: a picture of {picture.shape[2]} channels is written as {suffix}")
    if suffix == ".png":
        path.write_bytes(_png(picture))
        return
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    path.write_bytes(data.tobytes())
