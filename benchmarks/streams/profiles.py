"""The four data sets on which loaders are compared. Numpy only: what a peer's process imports counts as its memory."""

from dataclasses import dataclass

import numpy as np

TABLE, SPLIT = "records", "train"


@dataclass(frozen=True)
class Item:
    """A field: name, dtype ("json" for JSON), shape and codec, as in a schema."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    codec: str
    quality: int = 0

    @property
    def picture(self) -> bool:
        """Whether it is a compressed picture."""
        return self.codec in ("jpg", "png")


@dataclass(frozen=True)
class Profile:
    """One data set.

    Attributes:
        name: as `TESSERA_BENCH_PROFILES` names it.
        items: the fields of its table.
        records: how many; together they stay in the page cache.
        pool: elements of each pool, the first axis of the fields over it; 0 where there is none.
        take: elements of the pools that a record gives, contiguous, from a keyed start and around the end; 0 for all.
        crop: (height, width) that a picture gives, at a keyed place; None for all of it.
    """

    name: str
    items: tuple[Item, ...]
    records: int
    pool: int = 0
    take: int = 0
    crop: tuple[int, int] | None = None

    @property
    def by_name(self) -> dict[str, Item]:
        """Fields by name."""
        return {item.name: item for item in self.items}

    @property
    def sliced(self) -> tuple[str, ...]:
        """Names of the fields of which slices are given."""
        return tuple(item.name for item in self.items if self.take and item.shape[:1] == (self.pool,))

    @property
    def pictures(self) -> tuple[str, ...]:
        """Names of the fields that are compressed pictures."""
        return tuple(item.name for item in self.items if item.picture)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a field as a record of a batch has it."""
        whole = self.by_name[name].shape
        if name in self.sliced:
            return (self.take, *whole[1:])
        return (*self.crop, whole[2]) if self.crop and name in self.pictures else whole

    @property
    def bytes_a_record(self) -> int:
        """Bytes that a record adds to the tensors of a batch."""
        arrays = [item for item in self.items if item.dtype != "json"]
        return sum(int(np.prod(self.shape(item.name))) * np.dtype(item.dtype).itemsize for item in arrays)


def _cloud(count: int) -> tuple[Item, Item]:
    return Item("points", "float32", (count, 3), "npy"), Item("sdf", "float32", (count,), "npy")


def _map(name: str, codec: str, quality: int = 0) -> Item:
    return Item(name, "uint8", (512, 512, 3), codec, quality)


ARRAYS = (*_cloud(8192), Item("occupancy", "uint8", (8192,), "npy"), Item("meta", "json", (), "json"))
MAPS = (_map("albedo", "npy"), _map("normal_f", "npy"), _map("normal_b", "npy"), *_cloud(8000))
PICTURES = (_map("image", "jpg", 95), _map("normal_f", "png"), _map("normal_b", "png"), *_cloud(8000))
PROFILES = {
    profile.name: profile
    for profile in (
        Profile("arrays", ARRAYS, 2560, pool=8192, take=2048),
        Profile("human", MAPS, 320, pool=8000),
        Profile("jpeg", (Item("image", "uint8", (375, 500, 3), "jpg", 90),), 640, crop=(224, 224)),
        Profile("human_pictures", PICTURES, 128, pool=8000),
    )
}
