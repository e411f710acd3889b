"""The benchmark of HDF5 reading runs, and both ways read the same."""

import numpy as np
from tessera.benchmarks import hdf5 as bench
from tessera.pipelines.readers.hypersim.layout import MODALITIES


def small(monkeypatch):
    monkeypatch.setattr(bench, "HEIGHT", 192)
    monkeypatch.setattr(bench, "WIDTH", 256)
    monkeypatch.setattr(bench, "INTRINSICS", np.diag([0.25, 0.25, 1]) @ bench.INTRINSICS)


def test_rows(monkeypatch):
    small(monkeypatch)
    rows = bench.run(rounds=1)
    assert {row["what"] for row in rows} == {*MODALITIES, "frame"}
    for row in rows:
        assert row["ratio"] == row["h5py_ms"] / row["tessera_ms"] > 0
        assert row["tessera_mb_s"] > 0 and row["file_mb"] > 0


def test_the_frame_has_the_layout_of_real_files(monkeypatch, tmp_path):
    small(monkeypatch)
    for name, path in bench.write_frame(tmp_path).items():
        plain, ours = bench._with_h5py(path), bench._with_tessera(path)
        np.testing.assert_array_equal(plain, ours)
        assert str(plain.dtype) in MODALITIES[name].dtypes
        assert plain.shape == (192, 256, 3)[: 3 if MODALITIES[name].channels else 2]
    assert np.isnan(bench._with_tessera(tmp_path / "frame.0000.depth_meters.hdf5")).any()
    assert (bench._with_tessera(tmp_path / "frame.0000.render_entity_id.hdf5") == -1).any()
