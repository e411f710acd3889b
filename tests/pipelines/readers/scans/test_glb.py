"""GLB files: what trimesh writes comes back, nodes move their meshes, and what is damaged or hostile is refused."""

import json
import struct

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tessera.datasets.errors import FormatError
from tessera.pipelines.rawfiles import RawFiles
from tessera.pipelines.readers.scans import glb
from tessera.pipelines.readers.scans.glb import read_glb

TURN = trimesh.transformations.compose_matrix(scale=[1, 2, 3], angles=[0.1, 0.2, 0.3], translate=[1, 2, 3])
POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4")


def ball(picture=None, seed=0):
    """A sphere with texture coordinates, and a picture or none."""
    mesh = trimesh.creation.icosphere(1)
    uv = np.random.default_rng(seed).uniform(0.01, 0.99, (len(mesh.vertices), 2))
    image = None if picture is None else Image.fromarray(picture)
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=image, baseColorFactor=[255, 0, 0, 255])
    visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return trimesh.Trimesh(mesh.vertices, mesh.faces, visual=visual, process=False)


def put_scene(folder, *meshes):
    scene = trimesh.Scene()
    for mesh, matrix in meshes:
        scene.add_geometry(mesh, transform=matrix)
    folder.put("a.glb", scene.export(file_type="glb"))
    return trimesh.load(folder.root / "a.glb", process=False)


def packed(top, binary=b""):
    """A GLB file of a JSON and a binary chunk."""
    text = json.dumps(top).encode() if not isinstance(top, bytes) else top
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    if binary:
        chunks += struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks


def one_triangle(**changes):
    """JSON of a file with three vertices."""
    return {
        "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}], "buffers": [{"byteLength": 36}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
    } | changes  # fmt: skip


def test_a_textured_mesh_that_its_node_moves(folder, pixels):
    oracle = put_scene(folder, (ball(pixels()), TURN)).to_geometry()
    mesh = read_glb(folder.files, "a.glb")
    np.testing.assert_allclose(mesh.vertices, oracle.vertices, atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, oracle.faces)
    np.testing.assert_allclose(mesh.uv[mesh.face_uv], oracle.visual.uv[oracle.faces], atol=1e-6)
    np.testing.assert_array_equal(mesh.texture, pixels())
    assert mesh.notes == () and mesh.colours is None


def test_a_mesh_that_is_mirrored_keeps_its_outside(folder):
    put_scene(folder, (ball(), np.diag([-1.0, 1, 1, 1])))
    mesh = read_glb(folder.files, "a.glb")
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).volume > 0 and mesh.texture is None


def test_several_materials_and_copies_come_into_one_mesh(folder, pixels):
    first, second = ball(pixels(seed=1), 1), ball(pixels(6, 30, seed=2), 2)
    oracle = put_scene(
        folder, (first, np.eye(4)), (second, TURN), (first, TURN @ TURN), (ball(), TURN.T * 0 + np.eye(4))
    )
    mesh = read_glb(folder.files, "a.glb")
    assert mesh.notes == ("3 materials in one texture",)
    assert len(mesh.faces) == sum(
        len(oracle.geometry[name].faces) for _, name in map(oracle.graph.get, oracle.graph.nodes_geometry)
    )
    size = mesh.texture.shape[1::-1]
    for face in range(0, len(mesh.faces), 7):
        u, v = mesh.uv[mesh.face_uv[face]].mean(0)
        x, y = u * size[0], (1 - v) * size[1]
        assert 0 <= x <= size[0] and 0 <= y <= size[1]
    red = mesh.texture[[int((1 - v) * size[1]) for _, v in mesh.uv[mesh.face_uv[-1]]],
                       [int(u * size[0]) for u, _ in mesh.uv[mesh.face_uv[-1]]]]  # fmt: skip
    assert (red == (255, 0, 0)).all()


def test_colours_of_vertices_are_linear_light(folder):
    binary = POINTS.tobytes() + np.array([[0, 0.5, 1]] * 3, "<f4").tobytes()
    top = one_triangle(buffers=[{"byteLength": 72}])
    top["bufferViews"].append({"buffer": 0, "byteOffset": 36, "byteLength": 36})
    top["accessors"].append({"bufferView": 1, "componentType": 5126, "count": 3, "type": "VEC3"})
    top["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"] = 1
    folder.put("a.glb", packed(top, binary))
    assert read_glb(folder.files, "a.glb").colours.tolist() == [[0, 188, 255]] * 3


def test_interleaved_and_normalised_arrays(folder):
    rows = np.zeros(3, [("p", "<f4", 3), ("t", "<u2", 2)])
    rows["p"], rows["t"] = POINTS, [[0, 0], [65535, 0], [0, 65535]]
    top = one_triangle(buffers=[{"byteLength": 48}], bufferViews=[{"buffer": 0, "byteLength": 48, "byteStride": 16}])
    uv = {"bufferView": 0, "byteOffset": 12, "componentType": 5123, "count": 3, "type": "VEC2", "normalized": True}
    top["accessors"].append(uv)
    top["meshes"][0]["primitives"][0]["attributes"]["TEXCOORD_0"] = 1
    folder.put("a.glb", packed(top, rows.tobytes()))
    mesh = read_glb(folder.files, "a.glb")
    np.testing.assert_array_equal(mesh.vertices, POINTS)
    top["materials"], top["meshes"][0]["primitives"][0]["material"] = [{}], 0
    folder.put("a.glb", packed(top, rows.tobytes()))
    np.testing.assert_allclose(read_glb(folder.files, "a.glb").uv, [[0, 1], [1, 1], [0, 0]])


def test_skeletons_and_other_parts_are_noted(folder):
    top = one_triangle(nodes=[{"mesh": 0, "skin": 0}])
    top["meshes"][0]["primitives"].append({"attributes": {"POSITION": 0}, "mode": 1})
    folder.put("a.glb", packed(top, POINTS.tobytes()))
    notes = read_glb(folder.files, "a.glb").notes
    assert (
        notes[0].startswith("a mesh with a skeleton")
        and notes[1] == "1 parts that are no lists of triangles are left out"
    )


def test_nodes_are_moved_by_scale_rotation_and_translation_of_all_above(folder):
    half = np.sqrt(0.5)
    nodes = [{"children": [1], "translation": [1, 0, 0], "rotation": [0, 0, half, half]},
             {"mesh": 0, "scale": [2, 1, 1], "translation": [0, 3, 0]}, {"mesh": 0}]  # fmt: skip
    folder.put("a.glb", packed(one_triangle(nodes=nodes), POINTS.tobytes()))
    mesh = read_glb(folder.files, "a.glb")
    np.testing.assert_allclose(mesh.vertices, [[-2, 0, 0], [-2, 2, 0], [-3, 0, 0]], atol=1e-12)  # the scene's alone
    del (top := one_triangle(nodes=nodes))["scenes"]
    folder.put("a.glb", packed(top, POINTS.tobytes()))
    assert len(read_glb(folder.files, "a.glb").vertices) == 6


ACCESSOR = {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}
VIEW = {"buffer": 0, "byteLength": 36}
HOSTILE = {
    "count": (one_triangle(accessors=[ACCESSOR | {"count": 10**12}]), "larger than its data"),
    "no count": (one_triangle(accessors=[ACCESSOR | {"count": 0}]), "larger than its data"),
    "count is no number": (one_triangle(accessors=[ACCESSOR | {"count": 3.5}]), "not read"),
    "without data": (one_triangle(accessors=[{"componentType": 5126, "count": 3, "type": "VEC3"}]), "without data"),
    "sparse": (one_triangle(accessors=[ACCESSOR | {"sparse": {}}]), "sparse"),
    "offset": (one_triangle(accessors=[ACCESSOR | {"byteOffset": 4}]), "larger than its data"),
    "offset below": (one_triangle(accessors=[ACCESSOR | {"byteOffset": -4}]), "larger than its data"),
    "stride": (one_triangle(bufferViews=[VIEW | {"byteStride": 16}]), "larger than its data"),
    "small stride": (one_triangle(bufferViews=[VIEW | {"byteStride": 4}]), "larger than its data"),
    "view outside": (one_triangle(bufferViews=[VIEW | {"byteOffset": 4}]), "outside of the file"),
    "view below": (one_triangle(bufferViews=[VIEW | {"byteOffset": -4}]), "outside of the file"),
    "another buffer": (one_triangle(bufferViews=[VIEW | {"buffer": 1}]), "'buffers' that is not there"),
    "buffer elsewhere": (one_triangle(buffers=[{"byteLength": 36, "uri": "../a.bin"}]), "outside of the file"),
    "no buffers": (one_triangle(buffers=[]), "'buffers' that is not there"),
    "component": (one_triangle(accessors=[ACCESSOR | {"componentType": 1}]), "not read"),
    "type": (one_triangle(accessors=[ACCESSOR | {"type": "MAT4"}]), "not read"),
    "columns": (one_triangle(accessors=[ACCESSOR | {"type": "VEC2"}]), "positions of 2 numbers"),
    "accessor": (one_triangle(meshes=[{"primitives": [{"attributes": {"POSITION": 7}}]}]), "not there"),
    "accessor below": (one_triangle(meshes=[{"primitives": [{"attributes": {"POSITION": -1}}]}]), "not there"),
    "no positions": (one_triangle(meshes=[{"primitives": [{"attributes": {}}]}]), "damaged"),
    "mesh": (one_triangle(nodes=[{"mesh": 5}]), "not there"),
    "no mesh": (one_triangle(nodes=[{}]), "no triangles"),
    "itself": (one_triangle(nodes=[{"mesh": 0, "children": [0]}]), "hold themselves"),
    "circle": (one_triangle(nodes=[{"mesh": 0, "children": [1]}, {"children": [0]}]), "hold themselves"),
    "two parents": (one_triangle(nodes=[{"children": [1, 1]}, {"mesh": 0}]), "two parents"),
    "twice": (one_triangle(scenes=[{"nodes": [0, 0]}]), "hold themselves"),
    "child": (one_triangle(nodes=[{"mesh": 0, "children": [9]}]), "not there"),
    "scene": (one_triangle(scene=4), "not there"),
    "matrix": (one_triangle(nodes=[{"mesh": 0, "matrix": [1, 2]}]), "damaged"),
    "not finite": (one_triangle(nodes=[{"mesh": 0, "translation": [float("nan"), 0, 0]}]), "not finite"),
    "material": (one_triangle(meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "material": 0}]}]), "not there"),
    "compressed": (one_triangle(extensionsRequired=["KHR_draco_mesh_compression"]), "needs KHR_draco_mesh_compression"),
    "list": ([1], "no GLB file"), "text": (b"{", "no GLB file"), "deep": (b"[" * 100_000, "no GLB file"),
    "nodes": (one_triangle(nodes={"a": 1}), "damaged|not there"), "node": (one_triangle(nodes=[1]), "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(folder, name):
    top, message = HOSTILE[name]
    folder.put("a.glb", packed(top, POINTS.tobytes()))
    with pytest.raises(FormatError, match=rf"^a\.glb: .*({message})"):
        read_glb(folder.files, "a.glb")


def test_a_mesh_that_is_copied_without_end_is_refused(folder, monkeypatch):
    monkeypatch.setattr(glb, "MOST_FACES", 1000)
    nodes = [{"mesh": 0} for _ in range(2000)]
    folder.put("a.glb", packed(one_triangle(nodes=nodes, scenes=[{"nodes": list(range(2000))}]), POINTS.tobytes()))
    with pytest.raises(FormatError, match="more than 1000 triangles"):
        read_glb(folder.files, "a.glb")


def test_data_that_are_read_again_and_again_are_refused(folder):
    accessors, views = [ACCESSOR | {"count": 3000}] * 2000, [VIEW | {"byteLength": 36000}]
    meshes = [{"primitives": [{"attributes": {"POSITION": number}} for number in range(2000)]}]
    folder.put("a.glb", packed(one_triangle(accessors=accessors, bufferViews=views, meshes=meshes), bytes(36000)))
    with pytest.raises(FormatError, match="makes more of its data than it has"):
        read_glb(folder.files, "a.glb")


@pytest.mark.parametrize(
    "image, message",
    [({"uri": "a.png"}, "a picture outside of the file"), ({"uri": "data:image/png;base64,AAAA"}, "outside of the f"),
     ({"bufferView": 0}, "image 0: no picture"), ({"bufferView": 3}, "not there")],
)  # fmt: skip
def test_pictures_elsewhere_and_of_other_kinds_are_refused(folder, image, message):
    top = one_triangle(images=[image], textures=[{"source": 0}], buffers=[{"byteLength": 36}])
    top["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
    top["meshes"][0]["primitives"][0] |= {"material": 0}
    top["meshes"][0]["primitives"][0]["attributes"]["TEXCOORD_0"] = 0
    folder.put("a.glb", packed(top, POINTS.tobytes()))
    with pytest.raises(FormatError, match=message):
        read_glb(folder.files, "a.glb")
    moved = {"index": 0, "extensions": {"KHR_texture_transform": {"offset": [1, 0]}}}
    top["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": moved}}]
    folder.put("a.glb", packed(top, POINTS.tobytes()))
    with pytest.raises(FormatError, match="a texture that is moved over its faces"):
        read_glb(folder.files, "a.glb")


@settings(max_examples=100)
@given(st.data())
def test_damaged_files_cost_an_error_and_nothing_else(tmp_path_factory, data):
    raw = bytearray(packed(one_triangle(), POINTS.tobytes()))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "a.glb"
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        assert len(read_glb(RawFiles(path.parent), "a.glb").faces) == 1
    except FormatError as error:
        assert str(error).startswith("a.glb: ")
