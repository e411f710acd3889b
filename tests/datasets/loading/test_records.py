"""Indexes that are opened and dropped by many threads at once."""

import sys
import threading

import numpy as np
import pytest
from tessera.datasets.loading.files import LocalFiles
from tessera.datasets.loading.records import Records, Wanted

from ..stream_many import many_shards

SHARDS = 300


class Index:
    """An index of some size."""

    nbytes = 1000


@pytest.fixture
def quick_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("fit", [SHARDS, 20])
def test_trap_an_index_is_used_while_another_is_opened(tmp_path, monkeypatch, quick_switches, fit):
    """The order of use changes while sizes are summed up: an ordered dictionary does not stand that."""
    from tessera.datasets import Catalog

    catalog = Catalog.read(many_shards(tmp_path, SHARDS))
    (table,) = catalog.tables
    records = Records(catalog, LocalFiles(tmp_path), table, None, Wanted(()), most_bytes=fit * Index.nbytes)
    monkeypatch.setattr(records, "_load", lambda shard: Index())
    errors = []

    def use(seed):
        try:
            for shard in np.random.default_rng(seed).integers(0, SHARDS, 4000).tolist():
                assert isinstance(records.rows(shard), Index)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not errors and len(records._open) == fit == len(records._sizes)


def test_indexes_used_last_stay_open(tmp_path, monkeypatch):
    from tessera.datasets import Catalog

    catalog = Catalog.read(many_shards(tmp_path, 9))
    (table,) = catalog.tables
    records = Records(catalog, LocalFiles(tmp_path), table, None, Wanted(()), most_bytes=4 * Index.nbytes)
    monkeypatch.setattr(records, "_load", lambda shard: Index())
    for shard in (0, 1, 2, 3, 0, 4, 0, 5):
        records.rows(shard)
    assert list(records._open) == [3, 4, 0, 5]
