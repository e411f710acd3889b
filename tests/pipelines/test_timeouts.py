"""`--unit-timeout` in this process: a unit that hangs in Python is given up. With Ray: test_ray.py."""

import sys
import time

import pytest
from tessera.datasets import UsageError
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.recipe import Reject

from .conftest import Toy


def test_a_hanging_unit_is_cut_and_the_others_are_built(toy: Toy) -> None:
    toy.fill(3)
    toy.unit("bad", "x hang xx")
    start = time.monotonic()
    summary = toy.run(unit_timeout=0.5, max_reject=1.0)
    assert time.monotonic() - start < 30
    assert summary.rejects == [Reject("bad", "", "bad.txt", "read", "took longer than --unit-timeout 0.5")]
    assert summary.records == 12 and summary.complete
    again = toy.run(unit_timeout=0.5, max_reject=1.0)
    assert again.built_groups == 0 and len(again.rejects) == 1


def test_the_limit_is_for_each_unit_not_for_the_run(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.fill(4, records=5)
    load_recipe("toy")
    monkeypatch.setattr(sys.modules["tessera_recipe_toy"], "SECONDS", 0.05)
    assert toy.run(unit_timeout=0.8).rejects == []


def test_another_timeout_is_no_other_data_set(toy: Toy) -> None:
    toy.fill(2)
    toy.run(unit_timeout=5.0)
    assert toy.run(unit_timeout=0.0).built_groups == 0
    with pytest.raises(UsageError, match="--unit-timeout"):
        toy.run(unit_timeout=-1.0)
