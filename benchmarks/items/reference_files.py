"""Files that the reference's data set reads beside the scan: rendered pictures, calibrations, vertex visibility."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ...datasets.table import Dataset

PICTURES = {"render": "image", "normal_F": "normal_f", "normal_B": "normal_b", "T_normal_F": "body_normal_f",
            "T_normal_B": "body_normal_b"}  # fmt: skip


def write_reference_files(dataset: Dataset, folder: Path) -> None:
    """Write the views of a data set in ICON's layout: RGBA pictures, `calib/KEY.txt`, `vis/KEY.pt`.

    ICON's calibrations belong to raw units; these belong to metres, and `SUBJECT.npy` leads there.
    """
    for name in (*PICTURES, "calib", "vis"):
        (folder / name).mkdir(parents=True)
    for record in dataset.table("subjects"):
        np.save(folder / f"{record.key}.npy", record["world_from_scan"])
    for record in dataset.table("views"):
        alpha = np.where(record["mask"], 255, 0).astype(np.uint8)
        for name, field in PICTURES.items():
            picture = record[field]
            if picture.dtype != np.uint8:
                picture = _coded(picture)
            Image.fromarray(np.dstack([picture, alpha])).save(folder / name / f"{record.key}.png")
        np.savetxt(folder / "calib" / f"{record.key}.txt", np.concatenate([record["calib"], np.eye(4)]))
        seen = np.unpackbits(record["body_visible"][0], bitorder="little")
        torch.save(torch.from_numpy(seen.astype(np.float32)[:, None]), folder / "vis" / f"{record.key}.pt")


def _coded(normals: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Normals as ICON's pictures have them: y up, z towards the camera, -1 to 1 as 0 to 255."""
    return np.rint((normals * [1, -1, -1] + 1) * 127.5).astype(np.uint8)
