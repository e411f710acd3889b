"""Meshes by the ending of their names: PLY and STL as trimesh writes them, and such as are damaged."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets.errors import FormatError
from tessera.pipelines.rawfiles import RawFiles
from tessera.pipelines.readers.scans.mesh import ScanMesh, check_mesh
from tessera.pipelines.readers.scans.meshes import read_mesh, read_ply, read_stl

BALL = trimesh.creation.icosphere(2)


@pytest.mark.parametrize("encoding", ["binary", "ascii"])
def test_ply_with_colours(folder, encoding):
    colours = np.random.default_rng(0).integers(0, 256, (len(BALL.vertices), 4), dtype=np.uint8)
    mesh = trimesh.Trimesh(BALL.vertices, BALL.faces, vertex_colors=colours, process=False)
    folder.put("a.PLY", mesh.export(file_type="ply", encoding=encoding))
    found = read_mesh(folder.files, "a.PLY")
    np.testing.assert_allclose(found.vertices, BALL.vertices, atol=1e-6)
    np.testing.assert_array_equal(found.faces, BALL.faces)
    np.testing.assert_array_equal(found.colours, colours[:, :3])
    assert type(found.vertices) is np.ndarray and found.vertices.dtype == np.float64 and found.faces.dtype == np.int32
    assert found.texture is None and found.notes == ()


@pytest.mark.parametrize("kind", ["stl", "stl_ascii"])
def test_stl_corners_of_equal_position_are_one_vertex(folder, kind):
    folder.put("a.stl", BALL.export(file_type=kind))
    found = read_mesh(folder.files, "a.stl")
    assert found.vertices.shape == BALL.vertices.shape and found.faces.shape == BALL.faces.shape
    np.testing.assert_allclose(found.vertices[found.faces], BALL.vertices[BALL.faces], atol=1e-6)
    assert trimesh.Trimesh(found.vertices, found.faces, process=False).is_watertight


@pytest.mark.parametrize("name", ["hermes", "penelope", "athena_open"])
def test_real_scans(shared, name):
    found = read_mesh(RawFiles(shared / "scans"), f"{name}.ply")
    oracle = trimesh.load(shared / "scans" / f"{name}.ply", process=False, maintain_order=True)
    np.testing.assert_array_equal(found.vertices, oracle.vertices)
    np.testing.assert_array_equal(found.faces, oracle.faces)


def test_what_a_ply_file_loses_is_noted():
    header = (
        "ply\nformat ascii 1.0\ncomment TextureFile a.png\nelement vertex 3\nproperty float x\nproperty float y\n"
        "property float z\nelement face 1\nproperty list uchar int vertex_indices\nproperty uchar red\n"
        "property uchar green\nproperty uchar blue\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2 9 8 7\n"
    )
    found = read_ply(header.encode(), "a.ply")
    assert found.colours is None
    assert found.notes == ("a texture that a PLY file names is not read", "colours of faces are left out")


def ply(count, faces, data=b"", form="binary_little_endian", kind="float"):
    lines = f"ply\nformat {form} 1.0\nelement vertex {count}\n" + "".join(f"property {kind} {x}\n" for x in "xyz")
    return f"{lines}element face {faces}\nproperty list uchar int vertex_indices\nend_header\n".encode() + data


CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "no PLY file, or one without faces"), (b"ply\n", "no PLY file"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n0\n", "without faces"),
        (b"ply\nformat ascii 1.0\nelement face 1\n", "no PLY file"),
        (ply(10**15, 1), "no PLY file, or a damaged one"), (ply(3, 10**15, CORNERS), "no triangles"),
        (ply(-3, 1, CORNERS), "damaged one"), (ply("x", 1, CORNERS), "damaged one"),
        (ply(3, 1, CORNERS + b"\x03" + np.array([0, 1, 3], "<i4").tobytes()), "name vertices 0 to 3 of 3"),
        (ply(3, 1, CORNERS + b"\x03" + np.array([0, 1, -1], "<i4").tobytes()), "name vertices -1 to 1 of 3"),
        (ply(3, 1, CORNERS + b"\xff"), "damaged one"), (ply(3, 1, CORNERS[:-1]), "damaged one"),
        (ply(3, 1, CORNERS, kind="object"), "damaged one"), (ply(3, 0, CORNERS), "no triangles"),
        (ply(3, 1, b"nan 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "ascii"), "vertex 1 is not finite"),
        (ply(3, 1, b"0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "ascii"), "damaged one"),
    ],
)  # fmt: skip
def test_damaged_ply_files_are_refused(folder, data, message):
    folder.put("a.ply", data)
    with pytest.raises(FormatError, match=rf"^a\.ply: .*({message})"):
        read_mesh(folder.files, "a.ply")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"solid\nendsolid",
        b"\0" * 80 + b"\xff\xff\xff\xff" + b"\0" * 50,
        b"\0" * 84,
        b"solid a\nvertex 1 2\nendsolid",
    ],
)
def test_damaged_stl_files_are_refused(folder, data):
    folder.put("a.stl", data)
    with pytest.raises(FormatError, match=r"^a\.stl: "):
        read_mesh(folder.files, "a.stl")


def test_stl_files_of_what_is_no_number_are_refused():
    data = bytearray(BALL.export(file_type="stl"))
    data[96:100] = np.float32(np.nan).tobytes()
    with pytest.raises(FormatError, match="not finite"):
        read_stl(bytes(data), "a.stl")


@settings(max_examples=100)
@given(st.data())
def test_damaged_bytes_cost_an_error_and_nothing_else(data):
    good = trimesh.creation.box().export(file_type="ply", encoding=data.draw(st.sampled_from(["binary", "ascii"])))
    raw = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        check_mesh(read_ply(bytes(raw), "a.ply"), "a.ply")
    except FormatError as error:
        assert str(error).startswith("a.ply: ")


@pytest.mark.parametrize("name", ["a.fbx", "a", "a.obj.zip", ".ply/a", "a.gltf"])
def test_other_endings_are_refused(folder, name):
    folder.put(name, b"")
    with pytest.raises(FormatError, match=r"a mesh file ends with \.obj, \.ply, \.glb, \.stl"):
        read_mesh(folder.files, name)


@pytest.mark.parametrize(
    "changes",
    [{"faces": np.zeros((0, 3), np.int32)}, {"faces": np.array([[0, 1, 3]], np.int32)},
     {"faces": np.array([[0, 1, -1]], np.int32)},
     {"vertices": np.array([[0, 0, 0], [1, 0, np.inf], [0, 1, 0]])}, {"face_uv": np.array([[0, 1, 2]], np.int32)},
     {"uv": np.array([[np.nan, 0]], np.float32)}, {"face_uv": np.array([[0, 0, -2]], np.int32)}],
)  # fmt: skip
def test_meshes_that_are_none_are_refused(changes):
    good = {
        "vertices": np.eye(3), "faces": np.array([[0, 1, 2]], np.int32), "uv": np.zeros((1, 2), np.float32),
        "face_uv": np.array([[0, 0, -1]], np.int32),
    }  # fmt: skip
    assert check_mesh(ScanMesh(**good), "a").faces.shape == (1, 3)
    with pytest.raises(FormatError, match=r"^a: "):
        check_mesh(ScanMesh(**(good | changes)), "a")
