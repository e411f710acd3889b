"""The benchmark of signed distances: its meshes and references are what they are said to be, and bars are told."""

import functools

import numpy as np
import pytest
import trimesh
from tessera.benchmarks import sdf
from tessera.benchmarks.surfaces import meshes, peers, truth
from tessera.benchmarks.surfaces.race import Result
from tessera.benchmarks.surfaces.verdict import verdicts
from tessera.datasets.errors import TesseraError
from tessera.datasets.surface.surface import Surface


def ball(radius=0.5, subdivisions=2, cut=0):
    mesh = trimesh.creation.icosphere(subdivisions, radius)
    return meshes.Mesh("ball", np.asarray(mesh.vertices), np.asarray(mesh.faces[cut:], np.int32))


def small(peer):
    """The same peer, quick."""
    ask = functools.partial(peers.mesh_to_sdf, samples=20_000) if peer.title == peers.MESH_TO_SDF else peer.ask
    return peers.Peer(peer.title, peer.needs, ask, 50 if peer.points else None, peer.rounds)


@pytest.mark.parametrize("cut", [0, 12])
def test_all_peers_are_measured_and_held_against_references(cut, capsys):
    mesh = ball(cut=cut)
    some = [small(peer) for peer in peers.peers() if not peer.missing]
    found = sdf.compare([mesh], some, 400, 2, 2)
    *_, references, bars = found.values()
    rows = {row["who"].split(" (")[0]: row for row in found[f"ball: {320 - cut} faces, 400 points"]}
    assert set(rows) == {peer.title for peer in some} and {"tessera", "Open3D"} <= set(rows)
    assert all(row["points/s best"] >= row["median"] >= row["with build median"] > 0 for row in rows.values())
    assert rows["tessera"]["error / diagonal"] < 1e-15 and rows["tessera"]["wrong signs"] == 0
    assert 1e-9 < rows["Open3D"]["error / diagonal"] < 1e-6
    assert references[0]["faces"] == 320 - cut and (references[0]["open edges"] > 0) == (cut > 0)
    told = {row["bar"]: row["holds"] for row in bars}
    assert told["error / diagonal"] == "yes" and told[f"wrong signs, {'open' if cut else 'closed'}"] == "yes"
    assert capsys.readouterr().err == "ball: done\n"


def test_without_libigl_some_points_are_known(monkeypatch):
    mesh = ball()
    points = meshes.sample_points(mesh, 1200)
    surface = Surface(mesh.vertices, mesh.faces)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    known = truth.truth(mesh, points, surface.report, 2)
    assert np.isfinite(known.distance).sum() == truth.FEW and known.sided.sum() == truth.SOME
    found = surface.signed_distance(points)
    np.testing.assert_allclose(known.distance[: truth.FEW], np.abs(found.distance[: truth.FEW]), atol=1e-15)
    np.testing.assert_array_equal(known.inside[known.sided], (found.distance < 0)[known.sided])


def test_a_peer_that_fails_is_told_and_left_out(capsys):
    def fails(mesh, points, threads):
        raise TesseraError("no memory")

    some = [peers.Peer(peers.OURS, "numba", peers.ours), peers.Peer(peers.MESH_TO_SDF, "numba", fails)]
    found = sdf.compare([ball()], some, 100, 1, 1)
    assert [row["who"] for row in found["ball: 320 faces, 100 points"]] == ["tessera"]
    assert not any("mesh-to-sdf" in row["bar"] for row in found["bars"])
    assert "ball, mesh-to-sdf: no memory" in capsys.readouterr().err


def test_bars_that_do_not_hold_are_told():
    report = Surface(ball().vertices, ball().faces).report
    good, slow = (Result(100, 100, (0.0,), (seconds,), 1.0, 1e-3, 0.0) for seconds in (1.0, 20.0))
    found = {row["bar"]: row for row in verdicts("x", report, {"tessera": good, "mesh-to-sdf": slow, "Open3D": good})}
    assert found["times mesh-to-sdf's points/s"]["holds"] == "yes"
    assert found["times mesh-to-sdf's points/s with the build"]["holds"] == "NO"
    assert found["times mesh-to-sdf's points/s with the build"]["measured"] == 20
    assert found["times Open3D's points/s"]["holds"] == found["error / diagonal"]["holds"] == "NO"
    assert found["error, beside mesh-to-sdf's"]["holds"] == "yes"


def test_rates_of_some_points_stand_for_all():
    one = Result(1000, 10, (1.0, 3.0), (0.1, 0.2), 1.0, 0.0, 0.0)
    assert one.rates(False) == pytest.approx([100, 50]) and one.rates(True) == pytest.approx([1000 / 11, 1000 / 23])


def test_refined_and_folded_meshes_stay_closed():
    mesh = ball(subdivisions=2)
    vertices, faces = meshes.refined(mesh.vertices, mesh.faces.astype(np.int64), 1001)
    assert len(faces) == 1002 and Surface(vertices, faces).report.open_edges == 0
    folded = meshes.folded(vertices, faces, False)
    report = Surface(folded, faces).report
    assert report.method == "pseudonormal" and 1e-4 < np.abs(folded - vertices).max() < 0.01


def test_a_mesh_that_crosses_itself_is_untangled():
    mesh = ball(subdivisions=3)
    vertices = mesh.vertices.copy()
    vertices[:3] *= -0.9
    assert Surface(vertices, mesh.faces).report.crossing_faces > 0
    untangled = meshes.untangled(vertices, mesh.faces.astype(np.int64))
    assert Surface(untangled, mesh.faces).report.crossing_faces == 0


def test_points_are_as_networks_are_trained_with():
    mesh = ball()
    found = np.abs(np.linalg.norm(meshes.sample_points(mesh, 16_000), axis=1) - 0.5)
    assert 0.4 < (found < 0.015).mean() < 0.65 and (found > 0.2).mean() < 0.07
