"""mesh-to-sdf behind the same interface as our own tree, in a process that may fail."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tessera.datasets.errors import FormatError, TesseraError, UsageError
from tessera.datasets.surface.surface import Surface
from tessera.pipelines.labels import mesh_to_sdf_backend
from tessera.pipelines.labels.sdf import signed_distance

from ...datasets.surface.shapes import sphere

SAMPLES = 200_000


def points(count=500):
    return np.random.default_rng(0).uniform(-1.5, 1.5, (count, 3))


def test_trap_points_that_float32_does_not_hold_are_refused():
    with pytest.raises(ValueError, match=r"^point 0 lies at"):
        signed_distance(*sphere(), [[1e16, 0, 0]], backend="mesh_to_sdf")


def test_the_tree_is_the_default():
    mesh = sphere(subdivisions=2)
    found, known = signed_distance(*mesh, points(), threads=2), Surface(*mesh).signed_distance(points())
    np.testing.assert_array_equal(found.distance, known.distance)
    np.testing.assert_array_equal(found.bary, known.bary)


def test_mesh_to_sdf_agrees_but_for_its_samples(capfd):
    """Twice the same: trimesh draws samples by a generator that numpy's global seed does not reach."""
    pytest.importorskip("mesh_to_sdf")
    mesh = sphere(subdivisions=2)
    exact = signed_distance(*mesh, points())
    found, again = (signed_distance(*mesh, points(), backend="mesh_to_sdf", samples=SAMPLES) for _ in range(2))
    assert found.distance.dtype == np.float64 and found.distance.shape == (500,) and np.isnan(found.doubt)
    assert 1e-7 < np.abs(found.distance - exact.distance).max() < 0.03  # spacing of the samples: 0.008
    np.testing.assert_array_equal(found.distance, again.distance)
    np.testing.assert_array_equal(found.face, exact.face)
    np.testing.assert_array_equal(found.bary, exact.bary)
    assert capfd.readouterr().out == ""


def test_no_points_need_no_process(monkeypatch):
    monkeypatch.setattr(mesh_to_sdf_backend, "_command", lambda folder: ["false"])
    assert signed_distance(*sphere(), np.zeros((0, 3)), backend="mesh_to_sdf").distance.shape == (0,)


@pytest.mark.parametrize(
    ("program", "what"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL; it may have run out of memory"),
        ("import os; os.abort()", "SIGABRT"),
        ("import sys; print('bad luck', file=sys.stderr); sys.exit(3)", "status 3: bad luck"),
        ("print('done')", "status 0: it said nothing"),
    ],
)
def test_a_process_that_fails_is_told(monkeypatch, capfd, program, what):
    monkeypatch.setattr(mesh_to_sdf_backend, "_command", lambda folder: [sys.executable, "-c", program])
    with pytest.raises(TesseraError, match=f"mesh of 80 faces, 500 points: its process .* {what}"):
        signed_distance(*sphere(subdivisions=1), points(), backend="mesh_to_sdf")
    assert capfd.readouterr().out == ""


def test_what_the_package_cannot_do_is_told():
    pytest.importorskip("mesh_to_sdf")
    with pytest.raises(TesseraError, match=r"status 1: .*(k|neighbors|samples)"):
        signed_distance(*sphere(subdivisions=1), points(), backend="mesh_to_sdf", samples=3)


def test_the_process_ends_with_its_parent(tmp_path):
    """Else a worker that is killed leaves gigabytes behind."""
    child = "import os, time; from tessera.pipelines.labels.mesh_to_sdf_backend import _end_with_parent as end\n"
    child += "import threading; threading.Thread(target=end, daemon=True).start()\n"
    child += f"open({str(tmp_path / 'child')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    parent = (
        "import sys; from pathlib import Path; from tessera.pipelines.labels import mesh_to_sdf_backend as backend\n"
    )
    parent += f"backend._command = lambda folder: [sys.executable, '-c', {child!r}]\n"
    parent += "backend._run(Path('.'), '', 1)"
    with subprocess.Popen([sys.executable, "-c", parent]) as running:
        _until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text())
        running.kill()
    process = int((tmp_path / "child").read_text())
    _until(lambda: not _runs(process))


def _runs(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(done):
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_backend_that_is_not_there_is_refused(monkeypatch):
    with pytest.raises(UsageError, match=r"no backend 'tre' .*\(backends: tree, mesh_to_sdf\)"):
        signed_distance(*sphere(), points(), backend="tre")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install mesh-to-sdf"):
        signed_distance(*sphere(), points(), backend="mesh_to_sdf")


@pytest.mark.parametrize("backend", ["tree", "mesh_to_sdf"])
def test_both_refuse_what_is_no_mesh(backend):
    with pytest.raises(FormatError, match="0 faces"):
        signed_distance(np.zeros((3, 3)), np.zeros((0, 3), int), points(), backend=backend)
    with pytest.raises(ValueError, match="not finite"):
        signed_distance(*sphere(), [[0, 0, np.inf]], backend=backend)
