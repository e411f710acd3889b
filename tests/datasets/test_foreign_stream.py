"""Streams over tars that others wrote give the numbers of WebDataset's own reader."""

from pathlib import Path

import numpy as np
import pytest
from tessera.datasets import Stream
from tessera.datasets.foreign_index import open_foreign

from .foreign_reader import theirs
from .test_foreign_index import sample, write


@pytest.mark.parametrize("threads", [0, 2])
def test_every_record_once_with_webdatasets_numbers(tmp_path: Path, threads: int) -> None:
    for tar in range(3):
        write(tmp_path / f"{tar}.tar", {f"deep/{tar}{i}": sample(4 * tar + i) for i in range(4)})
    expected = {record["__key__"]: record for record in theirs(sorted(tmp_path.glob("*.tar")))}
    seen: list[str] = []
    with Stream(tmp_path, batch_size=5, threads=threads) as stream:
        for batch in stream:
            for b, (key, repeat) in enumerate(zip(batch["key"], batch["repeat"].tolist(), strict=True)):
                seen += [] if repeat else [key]
                other = expected[key]
                assert batch["meta"][b] == other["meta.json"] and batch["txt"][b] == other["txt"]
                assert batch["cls"][b].item() == other["cls"]
                assert np.array_equal(batch["pose"][b].numpy(), other["pose.npy"])
                first, last = batch["points.offsets"][b : b + 2].tolist()
                assert np.array_equal(batch["points"][first:last].numpy(), other["points.npy"])
                assert batch["depth.present"][b].item() == ("depth.png" in other)
                if "depth.png" in other:
                    assert np.array_equal(batch["depth"][b].numpy(), np.array(other["depth.png"]))
                first, last = batch["jpg.offsets"][b : b + 2].tolist()
                shape = batch["jpg.shapes"][b].tolist()
                picture = batch["jpg"][first:last].numpy().reshape(shape)
                assert np.array_equal(picture, np.array(other["jpg"]))
    assert sorted(seen) == sorted(expected)
    assert open_foreign(tmp_path).catalog.splits == {"train": {"records": 12}}
