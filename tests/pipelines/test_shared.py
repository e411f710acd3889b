"""What all records share: written before the catalog names it, kept, restored, verified, and put to a store too."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tessera.datasets.joints import JOINT_SETS
from tessera.datasets.verify import verify
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.out_store import OutStore
from tessera.pipelines.shared import Shared, npz

from .conftest import Toy
from .remote import objects

FACES = npz({"faces": np.arange(12).reshape(4, 3)})


def recipe(data: bytes = FACES) -> Any:
    shared = Shared({"body.npz": data}, (JOINT_SETS["smpl24"],))
    return replace(load_recipe("toy"), shared=lambda raw, options: shared)


def problems(out: Path) -> list[str]:
    return [problem for _, found in verify(out) for problem in found]


def catalog(out: Path) -> dict[str, Any]:
    return json.loads((out / "dataset.json").read_text())


def test_the_catalog_names_the_asset_and_the_joint_set(toy: Toy) -> None:
    toy.fill(2)
    assert toy.run(recipe=recipe()).complete
    assert (toy.out / "assets" / "body.npz").read_bytes() == FACES
    assert catalog(toy.out)["assets"] == {"assets/body.npz": hashlib.sha256(FACES).hexdigest()}
    assert catalog(toy.out)["joint_sets"] == {"smpl24": JOINT_SETS["smpl24"].to_json()}
    with np.load(toy.out / "assets" / "body.npz") as file:
        np.testing.assert_array_equal(file["faces"], np.arange(12).reshape(4, 3))


@pytest.mark.parametrize("harm", ["delete", "damage"])
def test_a_lost_asset_is_noticed_and_restored_though_no_group_is_built(toy: Toy, harm: str) -> None:
    toy.fill(2)
    toy.run(recipe=recipe())
    before, path = toy.hashes(), toy.out / "assets" / "body.npz"
    path.unlink() if harm == "delete" else path.write_bytes(FACES[:-1] + b"x")
    assert any("asset assets/body.npz" in problem for problem in problems(toy.out))
    assert toy.run(recipe=recipe()).built_groups == 0
    assert toy.hashes() == before and not problems(toy.out)


def test_another_asset_changes_the_catalog_with_it(toy: Toy) -> None:
    toy.fill(2)
    toy.run(recipe=recipe())
    other = npz({"faces": np.zeros((1, 3), int)})
    assert toy.run(recipe=recipe(other)).complete
    assert catalog(toy.out)["assets"] == {"assets/body.npz": hashlib.sha256(other).hexdigest()}
    assert not problems(toy.out)


def test_the_same_arrays_give_the_same_bytes() -> None:
    assert npz({"faces": np.arange(12).reshape(4, 3)}) == FACES


def test_a_store_gets_the_asset_and_the_bytes_of_a_local_run(toy: Toy, url: str) -> None:
    toy.fill(3)
    toy.run(recipe=recipe())
    assert toy.run(url, recipe=recipe()).complete
    assert objects(url) == toy.hashes()
    OutStore(url).delete("assets/body.npz")
    assert toy.run(url, recipe=recipe()).built_groups == 0
    assert objects(url) == toy.hashes()
