"""OBJ files with materials: one picture, several, none, and such as name what is not theirs."""

import io
import zipfile

import numpy as np
import pytest
import trimesh
from PIL import Image
from tessera.datasets.errors import FormatError, RawDataError
from tessera.pipelines.labels.texture import Paint
from tessera.pipelines.rawfiles import RawFiles
from tessera.pipelines.readers.scans import textures
from tessera.pipelines.readers.scans.materials import Material, parse_mtl
from tessera.pipelines.readers.scans.obj import read_obj

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
FACES = "f 1/1 2/2 3/3\nf 1/1 3/3 4/4\n"
MTL = "newmtl material0\nKa 1.0 1.0 1.0\nKd 1.0 1.0 1.0\nKs 0.4 0.4 0.4\nmap_Kd material0.jpeg\n"


def looked_up(mesh, face, weights=(0.5, 0.25, 0.25)):
    """Colour of the texture's pixel at a point of a face."""
    u, v = np.array(weights) @ mesh.uv[mesh.face_uv[face]]
    height, width, _ = mesh.texture.shape
    return tuple(mesh.texture[min(int((1 - v) * height), height - 1), min(int(u * width), width - 1)])


def test_a_scan_of_thuman2(folder, pixels):
    """material0.mtl and material0.jpeg beside 0000.obj, and nothing else is read."""
    folder.put("scans/0000/0000.obj", f"mtllib material0.mtl\nusemtl material0\n{SQUARE}{FACES}")
    folder.put("scans/0000/material0.mtl", MTL)
    folder.put("scans/0000/material0.jpeg", pixels(16, 24))
    files = folder.files
    mesh = read_obj(files, "scans/0000/0000.obj")
    with Image.open(folder.root / "scans/0000/material0.jpeg") as picture:
        np.testing.assert_array_equal(mesh.texture, np.asarray(picture))
    assert mesh.vertices.dtype == np.float64 and mesh.faces.dtype == mesh.face_uv.dtype == np.int32
    assert mesh.uv.dtype == np.float32 and mesh.texture.dtype == np.uint8 and mesh.notes == ()
    assert mesh.face_uv.tolist() == mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]] and mesh.colours is None
    assert sorted(files.notes) == [f"scans/0000/{x}" for x in ("0000.obj", "material0.jpeg", "material0.mtl")]
    assert all(note.sha256 for note in files.notes.values())


def test_the_top_of_the_picture_is_where_v_is_one(folder):
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4] = (255, 0, 0)  # the upper half
    folder.put("a.png", picture)
    folder.put("a.mtl", "newmtl m\nmap_Kd a.png")
    folder.put("a.obj", f"mtllib a.mtl\nusemtl m\n{SQUARE}f 1/1 2/2 3/3\nf 3/3 4/4 1/1")
    mesh = read_obj(folder.files, "a.obj")
    assert looked_up(mesh, 0, (0.6, 0.3, 0.1)) == (0, 0, 0) and looked_up(mesh, 1, (0.5, 0.4, 0.1)) == (255, 0, 0)
    oracle = trimesh.load(folder.root / "a.obj", process=False)
    np.testing.assert_allclose(mesh.uv[mesh.face_uv], oracle.visual.uv[oracle.faces])
    colours = oracle.visual.to_color().vertex_colors[oracle.faces]
    assert colours[1, 1, :3].tolist() == [255, 0, 0] and colours[0, 0, :3].tolist() == [0, 0, 0]


def test_scans_in_archives_are_read_as_others(tmp_path, folder, pixels):
    folder.put("scans/0000/0000.obj", f"mtllib material0.mtl\nusemtl material0\n{SQUARE}{FACES}")
    folder.put("scans/0000/material0.mtl", MTL)
    folder.put("scans/0000/material0.jpeg", pixels())
    with zipfile.ZipFile(tmp_path / "zipped.zip", "w") as archive:
        for path in sorted((folder.root / "scans").rglob("*.*")):
            archive.write(path, path.relative_to(folder.root).as_posix())
    (tmp_path / "zipped").mkdir()
    (tmp_path / "zipped.zip").rename(tmp_path / "zipped" / "scans.zip")
    plain, files = folder.files, RawFiles(tmp_path / "zipped")
    read, zipped = read_obj(plain, "scans/0000/0000.obj"), read_obj(files, "scans/0000/0000.obj")
    np.testing.assert_array_equal(read.texture, zipped.texture)
    assert {path: note.sha256 for path, note in plain.notes.items()} == {
        path: note.sha256 for path, note in files.notes.items()
    }


@pytest.mark.parametrize(
    "missing, note",
    [("a.mtl", "x/a.mtl is missing: no texture"), ("a.png", "x/a.png is missing: no texture")],
)
def test_missing_materials_and_pictures_are_noted(folder, pixels, missing, note):
    parts = {"a.mtl": "newmtl m\nmap_Kd a.png", "a.png": pixels(), "a.obj": f"mtllib a.mtl\nusemtl m\n{SQUARE}{FACES}"}
    for name, content in parts.items():
        if name != missing:
            folder.put(f"x/{name}", content)
    files = folder.files
    mesh = read_obj(files, "x/a.obj")
    assert mesh.texture is None and mesh.uv is not None and mesh.notes == (note,)
    assert files.notes[f"x/{missing}"].size == -1  # so that its coming makes the scan stale


@pytest.mark.parametrize(
    "text, note",
    [
        (SQUARE + FACES, "no texture: no picture is named"),
        (f"mtllib a.mtl\nusemtl plain\n{SQUARE}{FACES}", "no texture: no picture is named"),
        (f"mtllib a.mtl\nusemtl m\n{SQUARE}f 1 2 3\n", "no texture: no texture coordinates"),
        (f"{SQUARE}f 1 2\nf 1 2 3", "1 faces of fewer than three corners are left out"),
        (f"mtllib a.mtl\nusemtl other\n{SQUARE}{FACES}", "no material 'other' in its files: grey"),
    ],
)
def test_what_has_no_texture_says_so(folder, text, note):
    folder.put("a.mtl", "newmtl m\nmap_Kd a.png\nnewmtl plain\n")
    folder.put("a.obj", text)
    mesh = read_obj(folder.files, "a.obj")
    assert mesh.texture is None and mesh.notes == (note,)


def test_a_picture_of_the_layout_takes_the_place_of_materials(folder, pixels):
    """RenderPeople in PIFu's layout: the file's materials are missing, or name pictures on its maker's disk."""
    folder.put("x_OBJ/x_100k.obj", "mtllib C:\\Users\\me\\x.mtl\nusemtl a\n" + SQUARE + FACES)
    folder.put("x_OBJ/tex/x_dif_2k.jpg", pixels())
    mesh = read_obj(folder.files, "x_OBJ/x_100k.obj", "x_OBJ/tex/x_dif_2k.jpg")
    assert mesh.texture.shape == (8, 12, 3) and mesh.notes == ()
    mesh = read_obj(folder.files, "x_OBJ/x_100k.obj", "x_OBJ/tex/other.jpg")
    assert mesh.texture is None and mesh.notes == ("x_OBJ/tex/other.jpg is missing: no texture",)


def test_several_materials_come_into_one_texture(folder, pixels):
    folder.put("one.png", pixels(16, 8, 1))
    folder.put("sub/two.png", pixels(4, 20, 2))
    folder.put("a.mtl", "newmtl one\nmap_Kd one.png\nnewmtl two\nKd 1 1 1\nmap_Kd -s 1 1 1 -clamp on sub\\two.png\n"
                        "newmtl red\nKd 1 0 0\n")  # fmt: skip
    folder.put(
        "a.obj", f"mtllib a.mtl\n{SQUARE}usemtl two\n{FACES}usemtl one\n{FACES}usemtl red\nf 1 2 3\nusemtl unused\n"
    )
    mesh = read_obj(folder.files, "a.obj")
    assert mesh.notes == ("3 materials in one texture",) and mesh.face_uv.min() >= 0
    one, two = pixels(16, 8, 1), pixels(4, 20, 2)
    rng = np.random.default_rng(0)
    for face in range(4):
        picture = two if face < 2 else one
        height, width, _ = picture.shape
        for weights in rng.dirichlet((1, 1, 1), 40):
            corners = np.array([[0, 0], [1, 0], [1, 1]] if face % 2 == 0 else [[0, 0], [1, 1], [0, 1]])
            u, v = weights @ corners
            x, y = u * width, (1 - v) * height
            if min(x % 1, 1 - x % 1, y % 1, 1 - y % 1) > 1e-3:  # not between two pixels
                assert looked_up(mesh, face, weights) == tuple(picture[int(y), int(x)])
    assert looked_up(mesh, 4) == (255, 0, 0)


def test_what_lies_between_pixels_takes_nothing_of_another_material(folder):
    for name, colour in (("one", (255, 0, 0)), ("two", (0, 255, 0))):
        folder.put(f"{name}.png", np.full((4, 4, 3), colour, np.uint8))
    folder.put("a.mtl", "newmtl one\nmap_Kd one.png\nnewmtl two\nmap_Kd two.png")
    folder.put("a.obj", f"mtllib a.mtl\n{SQUARE}usemtl one\n{FACES}usemtl two\n{FACES}")
    mesh = read_obj(folder.files, "a.obj")
    height, width, _ = mesh.texture.shape
    for face, colour in ((0, (255, 0, 0)), (2, (0, 255, 0))):
        for u, v in mesh.uv[mesh.face_uv[face]]:
            x, y = u * width - 0.5, (1 - v) * height - 0.5  # the four pixels that a renderer blends
            block = mesh.texture[int(y) : int(y) + 2, int(x) : int(x) + 2].reshape(-1, 3)
            assert (block == colour).all()


def test_a_repeated_texture_beside_others_is_refused_and_alone_is_read(folder, pixels):
    folder.put("one.png", pixels())
    folder.put("a.mtl", "newmtl one\nmap_Kd one.png\nnewmtl red\nKd 1 0 0")
    tiled = SQUARE.replace("vt 1 1", "vt 3 1")
    folder.put("a.obj", f"mtllib a.mtl\n{tiled}usemtl one\n{FACES}")
    assert read_obj(folder.files, "a.obj").uv.max() == 3
    folder.put("a.obj", f"mtllib a.mtl\n{tiled}usemtl one\n{FACES}usemtl red\n{FACES}")
    with pytest.raises(FormatError, match=r"a\.obj: a texture that is repeated, beside others; bake"):
        read_obj(folder.files, "a.obj")


def test_faces_before_any_material_have_the_only_one(folder, pixels):
    folder.put("one.png", pixels())
    folder.put("a.mtl", "newmtl one\nmap_Kd one.png\n")
    folder.put("a.obj", f"mtllib a.mtl\n{SQUARE}f 1/1 2/2 3/3\nusemtl one\nf 1/1 3/3 4/4\n")
    assert read_obj(folder.files, "a.obj").notes == ()


@pytest.mark.parametrize(
    "named", ["../a.png", "/a.png", "x/../../a.png", "..\\a.png", "C:\\a.png", "c:/a.png", "file:a.png", "s3://b/a.png",
              "\\\\h\\a", "..", "a/.."],
)  # fmt: skip
def test_paths_that_leave_the_scans_folder_are_refused(folder, pixels, named):
    folder.put("a.png", pixels())
    folder.put("x/a.mtl", f"newmtl m\nmap_Kd {named}")
    folder.put("x/a.obj", f"mtllib a.mtl\nusemtl m\n{SQUARE}{FACES}")
    with pytest.raises(FormatError, match=r"x/a\.mtl: names .*, outside of its folder; refused"):
        read_obj(folder.files, "x/a.obj")
    folder.put("x/b.obj", f"mtllib {named}\nusemtl m\n{SQUARE}{FACES}")
    with pytest.raises(FormatError, match=r"x/b\.obj: names .*, outside of its folder; refused"):
        read_obj(folder.files, "x/b.obj")


def test_pictures_that_are_links_out_of_raw_are_refused(folder, tmp_path, pixels):
    folder.put("x/a.mtl", "newmtl m\nmap_Kd a.png")
    folder.put("x/a.obj", f"mtllib a.mtl\nusemtl m\n{SQUARE}{FACES}")
    (tmp_path / "secret.png").write_bytes(b"")
    (folder.root / "x/a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(RawDataError, match="leaves the raw folder"):
        read_obj(folder.files, "x/a.obj")


def png(*size):
    stream = io.BytesIO()
    Image.new("L", size).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    "data, message",
    [(b"", "no picture"), (b"%!PS-Adobe-3.0 EPSF-3.0\n", "no picture"), (png(99, 99)[:50], "no picture, or a damaged"),
     (png(1 << 14, (1 << 13) + 1), "16384 x 8193 pixels; refused as"), (b"GIF89a\1\0\1\0\0\0\0;", "no picture")],
)  # fmt: skip
def test_pictures_that_are_damaged_hostile_or_of_other_kinds_are_refused(folder, data, message):
    folder.put("a.png", data)
    folder.put("a.mtl", "newmtl m\nmap_Kd a.png")
    folder.put("a.obj", f"mtllib a.mtl\nusemtl m\n{SQUARE}{FACES}")
    with pytest.raises(FormatError, match=rf"^a\.png: {message}"):
        read_obj(folder.files, "a.obj")


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA"])
def test_pictures_of_all_8_bit_modes_become_rgb(folder, mode):
    Image.new(mode, (3, 2)).save(folder.root / "a.png") if folder.root.mkdir() is None else None
    folder.put("a.mtl", "newmtl m\nmap_Kd a.png")
    folder.put("a.obj", f"mtllib a.mtl\nusemtl m\n{SQUARE}{FACES}")
    assert read_obj(folder.files, "a.obj").texture.shape == (2, 3, 3)


def test_textures_that_are_too_large_together_are_refused(folder, pixels, monkeypatch):
    monkeypatch.setattr(textures, "MOST_PIXELS", 600)
    for name in ("one", "two"):
        folder.put(f"{name}.png", pixels(16, 20))
    folder.put("a.mtl", "newmtl one\nmap_Kd one.png\nnewmtl two\nmap_Kd two.png")
    folder.put("a.obj", f"mtllib a.mtl\n{SQUARE}usemtl one\n{FACES}usemtl two\n{FACES}")
    with pytest.raises(FormatError, match="textures of 28 x 48 pixels together; refused"):
        read_obj(folder.files, "a.obj")


def test_vertex_colours_of_both_kinds(folder):
    lines = "v 0 0 0 1 0.5 0\nv 1 0 0 0 0 1\nv 0 1 0 0.2 0.2 0.2\nf 1 2 3\n"
    folder.put("a.obj", lines)
    assert read_obj(folder.files, "a.obj").colours.tolist() == [[255, 128, 0], [0, 0, 255], [51, 51, 51]]
    folder.put("a.obj", lines.replace("1 0.5 0", "255 128 0"))
    assert read_obj(folder.files, "a.obj").colours.tolist() == [[255, 128, 0], [0, 0, 1], [0, 0, 0]]
    for wrong in ("256 0 0", "-1 0 0", ""):
        folder.put("a.obj", lines.replace("0 0 1\n", f"{wrong}\n"))
        mesh = read_obj(folder.files, "a.obj")
        assert mesh.colours is None and mesh.notes == ("colours of some vertices are missing or beyond 255: left out",)


@pytest.mark.parametrize("text", ["", "v 0 0 0\n", "mtllib a.mtl\nusemtl m\n", SQUARE + "f 1 2\n", SQUARE])
def test_files_without_faces_are_refused(folder, text):
    folder.put("a.obj", text)
    with pytest.raises(FormatError, match=r"a\.obj: 0 triangles"):
        read_obj(folder.files, "a.obj")
    with pytest.raises(FileNotFoundError):
        read_obj(folder.files, "b.obj")


def test_materials():
    text = (
        "# made by hand\r\nmap_Kd early.png\r\nnewmtl a b\r\nKd 0.5 0 2\r\n"
        "\tmap_Kd -o 0.5 0 0 -bm 1 my scan #1.png \r\n"
        "newmtl b\r\nkd 1 1 1\r\nmap_kd b.JPG\r\nnewmtl c\r\nKd 0.25\r\nmap_Kd\r\nmap_Bump c.png\r\nnewmtl d"
    )
    assert parse_mtl(text.encode(), "a.mtl") == {
        "a b": Material("my scan #1.png", (128, 0, 255)), "b": Material("b.JPG"), "c": Material(None, (64, 64, 64)),
        "d": Material(),
    }  # fmt: skip


@pytest.mark.parametrize("colour", ["red", "1 2", "nan 0 0", "", "1 1 1 1"])
def test_colours_of_materials_that_are_none_are_refused(colour):
    with pytest.raises(FormatError, match=r"a\.mtl: line 2: Kd .* is no colour"):
        parse_mtl(f"newmtl a\nKd {colour}\n".encode(), "a.mtl")


def test_several_files_of_materials(folder, pixels):
    folder.put("a b.png", pixels(4, 4))
    folder.put("one.mtl", "newmtl one\nKd 1 0 0")
    folder.put("two.mtl", "newmtl two\nmap_Kd a b.png")
    folder.put("my own.mtl", "newmtl three\nKd 0 1 0")
    folder.put("a.obj", f"mtllib one.mtl two.mtl\nmtllib my own.mtl\n{SQUARE}usemtl one\n{FACES}usemtl two\n{FACES}"
                        f"usemtl three\nf 1 2 3")  # fmt: skip
    mesh = read_obj(folder.files, "a.obj")
    assert mesh.notes == ("3 materials in one texture",)
    assert looked_up(mesh, 0) == (255, 0, 0) and looked_up(mesh, 4) == (0, 255, 0)


@pytest.mark.parametrize("uv", ["", "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"])
def test_one_material_with_a_colour_and_no_picture_gives_that_colour(folder, uv):
    folder.put("a.mtl", "newmtl red\nKd 1 0 0\n")
    corner = "1/1 2/2 3/3" if uv else "1 2 3"
    folder.put("a.obj", f"mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 1 1 0\n{uv}usemtl red\nf {corner}\n")
    mesh = read_obj(folder.files, "a.obj")
    paint = Paint(mesh.faces, mesh.uv, mesh.face_uv, mesh.texture, mesh.colours)
    np.testing.assert_array_equal(paint.at(np.array([0]), np.full((1, 3), 1 / 3)), [[255, 0, 0]])
