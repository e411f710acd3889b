"""Records of rare shapes and dtypes for tests of streams, and how a batch's records are compared with them."""

import numpy as np
from tessera.datasets import Field, Linear, Octahedral, Rounded, Schema

PICTURES = Schema(
    (
        Field("depth", "float32", ("rows", "columns"), "blosc"),
        Field("grid", "float32", ("rows", "columns", 3), "npy", storage=Octahedral(12)),
        Field("mask", "uint8", ("rows", "columns"), "png", optional=True),
        Field("curves", "float64", (2, "points"), "npz"),
        Field("codes", "float32", ("points", 3), "npy", storage=Linear(-1, 1)),
        Field("soft", "float16", ("points",), "blosc", storage=Rounded(5)),
        Field("square", "int16", ("points", "points"), "npy"),
        Field("flag", "bool", (3,), "npz"),
        Field("wide", "uint64", (2,), "npz", optional=True),
        Field("fine", "float32", (2, 3), "npy", storage=Octahedral(14), optional=True),
        Field("few", "float32", ("points",), "npy", storage=Linear(0, 1), optional=True),
        Field("caption", "json", (), "text"),
    ),
    {"rows": None, "columns": None, "points": None},
)


def pictures(count=11, optional=lambda i: i % 3 == 0):
    found = []
    for i in range(count):
        rng = np.random.default_rng(i)
        shape, n = (2 + i % 3, 1 + i % 5), i % 4
        values = {
            "depth": rng.normal(size=shape).astype(np.float32),
            "grid": rng.normal(size=(*shape, 3)).astype(np.float32),
            "curves": rng.normal(size=(2, n)),
            "codes": rng.uniform(-1, 1, (n, 3)).astype(np.float32),
            "soft": rng.normal(size=n).astype(np.float16),
            "square": rng.integers(-9, 9, (n, n)).astype(np.int16),
            "flag": rng.integers(0, 2, 3).astype(bool),
            "caption": f"picture {i} ä",
        }
        if optional(i):
            values |= {
                "mask": rng.integers(0, 255, shape).astype(np.uint8),
                "wide": np.array([1, 2**64 - 1], np.uint64),
            }
            values |= {"fine": rng.normal(size=(2, 3)).astype(np.float32), "few": rng.uniform(size=n).astype("f4")}
        found.append((f"p{i % 2}-{i}", values, {}))
    return sorted(found, key=lambda x: x[0])


def field_of(batch, name, slot):
    """One record's value of a field of a batch, by the words of the contract; None where it is absent."""
    value = batch[name]
    if f"{name}.present" in batch and not batch[f"{name}.present"][slot]:
        return None
    if isinstance(value, list):
        return value[slot]
    if f"{name}.offsets" in batch:
        low, high = batch[f"{name}.offsets"][slot : slot + 2].tolist()
        value = value[low:high]
        return value.reshape(batch[f"{name}.shapes"][slot].tolist()) if f"{name}.shapes" in batch else value
    return value[slot]


def assert_record(batch, slot, record, names, prefix=""):
    """All fields are those that the plain reader gives, bit by bit."""
    for name in names:
        found, expected = field_of(batch, prefix + name, slot), record.get(name)
        if expected is None or record.schema.by_name[name].dtype == "json":
            assert found == expected or (found is None and expected is None), name
            continue
        assert found is not None, name
        assert found.shape == expected.shape and found.numpy().dtype == expected.dtype, name
        np.testing.assert_array_equal(found.numpy(), expected, err_msg=name)
