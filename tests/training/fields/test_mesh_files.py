import json
import struct

import numpy as np
import pytest
import trimesh
from tessera.training.fields.mesh import Mesh
from tessera.training.fields.mesh_files import write_glb, write_obj

BALL = trimesh.creation.icosphere(2, 0.8)


@pytest.fixture
def mesh():
    return Mesh(BALL.vertices + np.array([0.1, 0.25, -3.0]), np.asarray(BALL.faces, np.int32))


@pytest.fixture
def colours(mesh):
    colours = np.random.default_rng(0).integers(0, 256, (len(mesh.vertices), 3), np.uint8)
    colours[:4] = [[0, 0, 0], [255, 255, 255], [128, 128, 128], [5, 10, 20]]
    return colours


def attributes(path):
    """Arrays of a glb by attribute, read from its bytes by the letter of the specification."""
    data = path.read_bytes()
    magic, version, length, text_length, text_kind = struct.unpack_from("<4sIII4s", data)
    assert (magic, version, length, text_kind) == (b"glTF", 2, len(data), b"JSON")
    header = json.loads(data[20 : 20 + text_length])
    binary_length, binary_kind = struct.unpack_from("<I4s", data, 20 + text_length)
    start = 28 + text_length
    assert binary_kind == b"BIN\0" and text_length % 4 == 0 and binary_length == len(data) - start
    assert header["buffers"] == [{"byteLength": binary_length}]
    primitive = header["meshes"][0]["primitives"][0]
    arrays = {}
    for name, number in (primitive["attributes"] | {"indices": primitive["indices"]}).items():
        accessor = header["accessors"][number]
        view = header["bufferViews"][accessor["bufferView"]]
        dtype, columns = (
            {5126: "<f4", 5125: "<u4"}[accessor["componentType"]],
            {"VEC3": 3, "SCALAR": 1}[accessor["type"]],
        )
        array = np.frombuffer(data, dtype, accessor["count"] * columns, start + view["byteOffset"]).reshape(-1, columns)
        assert view["byteLength"] == array.nbytes and view["byteOffset"] % 4 == 0
        np.testing.assert_array_equal([array.min(0), array.max(0)], [accessor["min"], accessor["max"]])
        arrays[name] = array
    return arrays


@pytest.mark.parametrize(("write", "name", "atol"), [(write_obj, "a.obj", 1e-8), (write_glb, "a.glb", 1e-6)])
def test_trimesh_reads_the_same_vertices_and_faces(tmp_path, mesh, write, name, atol):
    write(tmp_path / name, mesh)
    read = trimesh.load(tmp_path / name, force="mesh", process=False, maintain_order=True)
    np.testing.assert_allclose(read.vertices, mesh.vertices, rtol=0, atol=atol)
    np.testing.assert_array_equal(read.faces, mesh.faces)


def test_trimesh_reads_the_same_colours_of_an_obj(tmp_path, mesh, colours):
    write_obj(tmp_path / "a.obj", mesh, colours)
    read = trimesh.load(tmp_path / "a.obj", process=False, maintain_order=True)
    np.testing.assert_array_equal(read.visual.vertex_colors[:, :3], colours)
    np.testing.assert_allclose(read.vertices, mesh.vertices, atol=1e-8)


def test_trimesh_reads_the_linear_light_of_a_glbs_colours(tmp_path, mesh, colours):
    write_glb(tmp_path / "a.glb", mesh, colours)
    (read,) = trimesh.load_scene(tmp_path / "a.glb", process=False).geometry.values()
    light = np.asarray(read.visual.vertex_attributes["color"])
    back = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)  # the inverse of sRGB
    np.testing.assert_allclose(255 * back[:, :3], colours, atol=0.01)
    assert light[2, 0] == pytest.approx(0.2158605, abs=1e-6)  # 128 of 255, from the standard's table


def test_a_glb_keeps_to_the_specification_and_its_normals_look_outwards(tmp_path, mesh, colours):
    write_glb(tmp_path / "a.glb", mesh, colours)
    arrays = attributes(tmp_path / "a.glb")
    assert list(arrays) == ["POSITION", "NORMAL", "COLOR_0", "indices"]
    np.testing.assert_allclose(arrays["NORMAL"], BALL.vertices / 0.8, atol=0.03)
    np.testing.assert_array_equal(arrays["indices"].reshape(-1, 3), mesh.faces)


def test_a_vertex_without_area_still_has_a_unit_normal_in_a_glb(tmp_path, mesh):
    lone = Mesh(np.concatenate([mesh.vertices, [[0, 0, 0]]]), mesh.faces)
    write_glb(tmp_path / "a.glb", lone)
    np.testing.assert_allclose(np.linalg.norm(attributes(tmp_path / "a.glb")["NORMAL"], axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("write", [write_obj, write_glb])
def test_a_write_that_fails_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, mesh, write, monkeypatch):
    path = tmp_path / "mesh"
    write(path, mesh)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("no room")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="no room"):
        write(path, Mesh(mesh.vertices + 1, mesh.faces))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [write_obj, write_glb])
def test_what_is_no_mesh_is_refused_before_anything_is_written(tmp_path, mesh, colours, write):
    none = np.zeros((0, 3), np.int32)
    for bad, colour, words in (
        (Mesh(mesh.vertices, none), None, "without faces"),
        (Mesh(mesh.vertices[:5], mesh.faces), None, "of 5"),
        (Mesh(mesh.vertices, mesh.faces - 1), None, "vertices -1 to"),
        (Mesh(mesh.vertices * np.nan, mesh.faces), None, "not finite"),
        (mesh, colours[1:], "colours are"),
        (mesh, colours / 255, "colours are"),
    ):
        with pytest.raises(ValueError, match=words):
            write(tmp_path / "a", bad, colour)
    assert not list(tmp_path.iterdir())
