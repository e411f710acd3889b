"""Transforms are found by being there, and say what they read and write."""

import subprocess
import sys

import pytest
from tessera.datasets.errors import UsageError
from tessera.datasets.schema import Field
from tessera.datasets.transforms import load_transform, transform_names


def test_every_transform_loads_under_its_file_s_name():
    assert "planar_depth" in transform_names() == sorted(transform_names())
    for name in transform_names():
        transform = load_transform(name)
        assert transform.name == name and transform.reads and transform.writes
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
