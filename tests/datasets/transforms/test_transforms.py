"""Transforms are found by being there, and say what they read and write."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tessera.datasets.errors import UsageError
from tessera.datasets.schema import Field
from tessera.datasets.transforms import NeedsFields, load_transform, transform_names

from .scene import FIELDS, same, scene


def test_every_transform_loads_under_its_file_s_name():
    assert "planar_depth" in transform_names() == sorted(transform_names())
    for name in transform_names():
        transform = load_transform(name)
        assert transform.name == name and isinstance(transform.reads, tuple) and isinstance(transform.writes, tuple)
        assert transform.reads or isinstance(transform, NeedsFields)
        assert all(isinstance(entry, Field) and entry.meaning for entry in transform.writes)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"no transform 'planar' \(transforms: .*planar_depth"):
        load_transform("planar")


@pytest.mark.parametrize("options", [{"cap": 20}, {"least": 5, "most": 2}, {"most": float("nan")}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(UsageError, match="planar_depth"):
        load_transform("planar_depth", **options)


def test_naming_transforms_imports_neither_them_nor_torch():
    code = "import sys; from tessera.datasets.transforms import transform_names; transform_names(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "tessera.datasets.transforms" in loaded
    assert not {"torch", "tessera.datasets.transforms.planar_depth"} & set(loaded)


@pytest.mark.parametrize("name", transform_names())
def test_transforms_travel_to_other_processes(name):
    """A stream is pickled whole when workers are spawned."""
    copy = pickle.loads(pickle.dumps(load_transform(name)))
    assert copy.name == name and copy.reads == load_transform(name).reads


def test_a_bound_transform_travels_too_and_threads_share_it():
    record, flips = scene(), load_transform("random_flip")
    crops = load_transform("random_crop", size=16, resize=(0.2, 1))
    for transform in (flips, crops):
        transform.bind(FIELDS)
        copy = pickle.loads(pickle.dumps(transform))
        alone = [transform(record, np.random.default_rng(seed)) for seed in range(24)]
        with ThreadPoolExecutor(4) as pool:
            shared = list(pool.map(lambda seed: copy(record, np.random.default_rng(seed)), range(24)))
        assert all(same(one, other) for one, other in zip(alone, shared, strict=True))


@pytest.mark.parametrize("name", transform_names())
def test_only_those_that_draw_say_so(name):
    drawing = {"random_crop", "random_flip", "photometric_jitter", "sdf_noise", "normal_noise", "grid_block"}
    assert getattr(load_transform(name), "random", False) is (name in drawing)
