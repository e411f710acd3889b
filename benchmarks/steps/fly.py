"""The reference's items, made on the fly, as batches that the engines take: what a stream gives, name by name."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from ...datasets.transforms.icon_sdf import ndc_per_metre
from ...training.engines.implicit.config import ImplicitConfig
from ..items.on_the_fly import POINTS, OnTheFly
from ..items.reference_files import PICTURES

VIEW = np.array([1, -1, -1], np.float32)  # from ICON's axes (y up, z towards the camera) to our camera's, and back
MIRROR = np.array([[1.0], [-1.0], [1.0]])  # of the rows of calib's turn, for ICON's normals of the body
NORMALS = {"normal_F": "normal_f", "normal_B": "normal_b", "T_normal_F": "body_normal_f", "T_normal_B": "body_normal_b"}
Arrays = dict[str, NDArray[Any]]
Make = Callable[[str, np.random.Generator], Arrays]


class FewerPoints(OnTheFly):
    """ICON's item with as many points as a network is trained with, where these are fewer than ICON's own.

    Args:
        raw: THuman2.0's layout.
        rendered: of `write_reference_files`.
        points: of an item; they divide ICON's.
    """

    def __init__(self, raw: Path, rendered: Path, points: int) -> None:
        if POINTS % points:
            raise ValueError(f"{points} points: they must divide {POINTS}")
        super().__init__(raw, rendered)
        self.every = POINTS // points

    def _candidates(self, *given: Any) -> NDArray[np.float64]:
        return super()._candidates(*given)[:: self.every]  # in random order

    def _balanced(self, *given: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        points, labels = super()._balanced(*given)
        inside, outside = np.flatnonzero(labels), np.flatnonzero(labels == 0)
        wanted = POINTS // self.every
        inside = inside[: wanted // 2]
        kept = np.concatenate([inside, outside[: wanted - len(inside)]])
        return points[kept], labels[kept]


def implicit_arrays(item: dict[str, Any], calib: NDArray[np.float64]) -> Arrays:
    """An item of ICON's as the engine `implicit` is given it: our names, axes and types.

    The stream gives distances, the reference labels: 1 m inside and outside, of which the engine takes the signs.
    """
    turn = MIRROR * calib[:3, :3] / ndc_per_metre(calib)
    return picture_arrays({name: item[name] for name in PICTURES}) | {
        "calib": calib, "subject.points": item["points"].astype(np.float32),
        "subject.sdf": np.where(item["labels"] > 0, -1, 1).astype(np.float16),
        "icon_sdf": item["sdf"].astype(np.float32), "icon_cmap": item["cmap"].astype(np.float32),
        "icon_norm": (item["norm"] @ turn.T).astype(np.float32), "icon_vis": item["vis"].astype(np.float32),
    }  # fmt: skip


def picture_arrays(pictures: Arrays) -> Arrays:
    """ICON's pictures, -1 to 1 and 0 outside the person, as a stream gives them."""
    made: Arrays = {"image": np.rint((pictures["render"] + 1) * 127.5).astype(np.uint8),
                    "mask": (pictures["normal_F"] != 0).any(-1)}  # fmt: skip
    return made | {NORMALS[name]: pictures[name] * VIEW for name in NORMALS}


class Implicit:
    """Makes items of the engine `implicit`.

    Args:
        raw: of the scans.
        rendered: of `write_reference_files`.
        config: the engine's.
    """

    def __init__(self, raw: Path, rendered: Path, config: ImplicitConfig) -> None:
        self.rendered, self.names = rendered, implicit_names(config)
        self.item = FewerPoints(raw, rendered, config.points)

    def __call__(self, key: str, rng: np.random.Generator) -> Arrays:
        """The item of a view."""
        calib = np.loadtxt(self.rendered / "calib" / f"{key}.txt")[:4]
        made = implicit_arrays(self.item.make(key, rng), calib)
        return {name: made[name] for name in self.names}


def implicit_names(config: ImplicitConfig) -> tuple[str, ...]:
    """What the engine `implicit` reads of a batch."""
    features = [f"icon_{name}" for name in config.about_body]
    return ("image", "mask", *(x for x in config.inputs if x != "image"), "calib", "subject.points", "subject.sdf",
            *features)  # fmt: skip


class Pictures:
    """Makes items of the engine `normals`: as ICON's data set of normals, which reads pictures and nothing else.

    Args:
        rendered: of `write_reference_files`.
    """

    def __init__(self, rendered: Path) -> None:
        self.rendered = rendered

    def __call__(self, key: str, rng: np.random.Generator) -> Arrays:
        """The item of a view."""
        seen: Arrays = {}
        for name in PICTURES:
            with Image.open(self.rendered / name / f"{key}.png") as file:
                picture = np.asarray(file, np.float32)
            seen[name] = (picture[..., :3] / 127.5 - 1) * (picture[..., 3:] / 255)
        return picture_arrays(seen)


class Items(Dataset[tuple[str, Arrays]]):
    """A data set for torch's DataLoader.

    Args:
        keys: of the views.
        make: makes an item.
    """

    def __init__(self, keys: Sequence[str], make: Make) -> None:
        self.keys, self.make = list(keys), make

    def __len__(self) -> int:
        """Items of an epoch."""
        return len(self.keys)

    def __getitem__(self, number: int) -> tuple[str, Arrays]:
        """One item."""
        seed = int(torch.randint(2**31, ()))  # of the worker's own generator
        return self.keys[number], self.make(self.keys[number], np.random.default_rng(seed))


def collate(items: Sequence[tuple[str, Arrays]]) -> dict[str, Any]:
    """A batch, in the worker that made its items."""
    batch: dict[str, Any] = {"key": [key for key, _ in items], "repeat": torch.zeros(len(items), dtype=torch.bool)}
    for name in items[0][1]:
        batch[name] = torch.from_numpy(np.stack([arrays[name] for _, arrays in items]))
    return batch


def loader(items: Items, batch: int, workers: int) -> "DataLoader[Any]":
    """The DataLoader as ICON makes it; workers are fresh processes, since a fork may hang where threads ran."""
    how: dict[str, Any] = {"multiprocessing_context": "spawn", "persistent_workers": True} if workers else {}
    return DataLoader(items, batch, shuffle=True, num_workers=workers, collate_fn=collate, drop_last=True, **how)
