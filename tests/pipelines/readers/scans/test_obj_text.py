"""The text of OBJ files: numbers exact to the last bit, faces of every form, and lines that are damaged."""

import numpy as np
import pytest
import trimesh
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tessera.datasets.errors import FormatError
from tessera.pipelines.readers.scans import obj_text
from tessera.pipelines.readers.scans.obj_text import parse_obj

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
PARTS = [b"v ", b"vt ", b"f ", b"1", b"-1", b"/", b"//", b" ", b"\n", b"\\\n", b"\\\r\n", b"\r", b"#", b".", b"e",
         b"9" * 20, b"usemtl ", b"mtllib ", b"\x00", b"\\", b"v 1 2 3\n", b"f 1 1 1\n", b"vt 1 2\n"]  # fmt: skip
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def parsed(text):
    return parse_obj(text.encode() if isinstance(text, str) else text, "a.obj")


@settings(max_examples=60)
@given(
    st.lists(st.tuples(FLOATS, FLOATS, FLOATS), min_size=3, max_size=6),
    st.sampled_from([repr, "{:.6f}".format, "{:.17e}".format, "{:+.3E}".format, "{:g}".format]),
)
@example(
    [(0.1, -0.0, 5e-324), (1.7976931348623157e308, 2.2250738585072014e-308, 123456789012345678.0), (1, 2, 3)], repr
)
@example([(9007199254740993.0, 9007199254740991.0, 1e22), (1e23, 1e-22, 1e-23), (0.3, 0.30000000000000004, 1)], repr)
def test_numbers_are_those_that_python_reads(points, form):
    lines = [[form(value) for value in point] for point in points]
    text = "".join(f"v {' '.join(line)}\n" for line in lines) + "f 1 2 3\n"
    expected = np.array([[float(word) for word in line] for line in lines])
    if not np.isfinite(expected).all():
        return
    found = parsed(text).vertices
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("word, value", [
    ("1", 1), ("1.", 1), (".5", 0.5), ("+2", 2), ("-.25e1", -2.5), ("1e+2", 100), ("0e999", 0), ("0" * 90 + "7", 7),
    ("0." + "0" * 50 + "1", 1e-51), ("3" * 25, float("3" * 25)), ("1e-400", 0),
    ("12345678901234567890", 12345678901234567890),
])  # fmt: skip
def test_forms_of_numbers(word, value):
    assert parsed(f"v {word} 0 0\n{TRIANGLE}f 1 2 3\n").vertices[0, 0] == value


@pytest.mark.parametrize(
    "word", ["", "x", "1x", "1..2", "1e", "1e+", "--1", "+-1", "nan", "inf", "-inf", "0x10", "1_0", "1,5", "1/2", ".",
             "-", "1" + "0" * 500 + ".5"],
)  # fmt: skip
def test_what_is_no_number_is_refused_with_its_line(word):
    with pytest.raises(FormatError, match=r"^a\.obj: line 5: "):
        parsed(f"# scan\n{TRIANGLE}v 0 {word} 1\nf 1 2 3\n" if word else f"# scan\n{TRIANGLE}v 0 1\nf 1 2 3\n")


def test_numbers_beyond_all_floats_are_refused():
    with pytest.raises(FormatError, match="a vertex is beyond all numbers"):
        parsed(f"{TRIANGLE}v 1e999 0 0\nf 1 2 3\n")
    with pytest.raises(FormatError, match="a texture coordinate is beyond all numbers"):
        parsed(f"{TRIANGLE}vt 1e999 0\nf 1 2 3\n")


def test_many_numbers_of_many_digits_are_exact(monkeypatch):
    monkeypatch.setattr(obj_text, "CHUNK", 64)
    rng = np.random.default_rng(1)
    points, colours, uv = rng.normal(size=(100, 3)), rng.uniform(size=(100, 3)), rng.uniform(size=(90, 2))
    text = "".join(f"v {' '.join(map(repr, map(float, row)))}\n" for row in np.concatenate([points, colours], 1))
    text += "".join(f"vt {a!r} {b!r}\n" for a, b in uv.tolist()) + "f 1/1 2/2 3/3\n"
    found = parsed(text)
    np.testing.assert_array_equal(found.vertices, points)
    np.testing.assert_array_equal(found.colours, colours)
    np.testing.assert_array_equal(found.uv, uv)


@st.composite
def obj_files(draw):
    """An OBJ file's lines, and what they say: vertices, texture coordinates, triangles, their texture coordinates."""
    lines, vertices, uv, faces, face_uv = [], [], [], [], []
    for _ in range(draw(st.integers(1, 4))):
        for _ in range(draw(st.integers(1, 4))):
            vertices.append([draw(st.integers(-9, 9)) for _ in range(3)])
            lines.append(
                "v " + " ".join(map(str, vertices[-1])) + draw(st.sampled_from(["", " 1.0", "\t", "  # point"]))
            )
        for _ in range(draw(st.integers(0, 3))):
            uv.append([draw(st.integers(0, 4)) / 4 for _ in range(2)])
            lines.append(f"vt {uv[-1][0]} {uv[-1][1]}" + draw(st.sampled_from(["", " 0", " 0 "])))
        lines += draw(st.sampled_from([[], ["vn 0 0 1"], ["g a", "s off", ""], ["# f 9 9 9"], ["o x\\y"], ["vp 1 2"]]))
        for _ in range(draw(st.integers(0, 3))):
            corners = draw(st.integers(3, 6))
            points = [draw(st.integers(0, len(vertices) - 1)) for _ in range(corners)]
            mapped = [draw(st.integers(-1, len(uv) - 1)) if draw(st.booleans()) else -1 for _ in range(corners)]
            if draw(st.booleans()) and uv:
                mapped = [draw(st.integers(0, len(uv) - 1)) for _ in range(corners)]
            words = []
            for point, at in zip(points, mapped, strict=True):
                a = point + 1 if draw(st.booleans()) else point - len(vertices)
                b = "" if at < 0 else at + 1 if draw(st.booleans()) else at - len(uv)
                normal = (
                    draw(st.sampled_from(["", "/1", "/-1"]))
                    if at >= 0
                    else draw(st.sampled_from(["", "//1", "/", "//"]))
                )
                words.append(f"{a}/{b}{normal}" if at >= 0 else f"{a}{normal}")
            lines.append(
                draw(st.sampled_from(["f ", "f\t", "  f  "])) + draw(st.sampled_from([" ", "  ", " \\\n "])).join(words)
            )
            whole = all(at >= 0 for at in mapped)
            for i in range(1, corners - 1):
                faces.append([points[0], points[i], points[i + 1]])
                triangle = [mapped[0], mapped[i], mapped[i + 1]]
                face_uv.append(triangle if whole or min(triangle) >= 0 else [-1] * 3)
    ending = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = "\n".join(lines) + draw(st.sampled_from(["", "\n"]))
    if ending == "\r" and "\\\n" in text:
        ending = "\r\n"
    return text.replace("\n", ending), vertices, uv, faces, face_uv


@settings(max_examples=200)
@given(obj_files())
def test_every_form_of_index_and_line(file):
    text, vertices, uv, faces, face_uv = file
    found = parsed(text)
    assert found.vertices.tolist() == vertices and found.uv.tolist() == uv
    assert found.faces.tolist() == faces and found.faces.dtype == np.int32
    assert found.face_uv.tolist() == face_uv


@settings(max_examples=25)
@given(st.integers(0, 1000))
def test_what_trimesh_writes_comes_back_and_what_trimesh_reads_is_the_same(seed):
    rng = np.random.default_rng(seed)
    faces = rng.integers(0, 40, (rng.integers(1, 60), 3))
    vertices = rng.normal(size=(40, 3)).round(8)
    uv = rng.uniform(size=(40, 2)).round(8)
    mesh = trimesh.Trimesh(vertices, faces, visual=trimesh.visual.TextureVisuals(uv=uv), process=False)
    text = mesh.export(file_type="obj", include_texture=True)
    text = text[0] if isinstance(text, tuple) else text
    found, oracle = parsed(text), trimesh.load(trimesh.util.wrap_as_stream(text), file_type="obj", process=False)
    np.testing.assert_array_equal(found.vertices[found.faces], vertices[faces])
    np.testing.assert_array_equal(found.uv[found.face_uv], uv[faces])
    np.testing.assert_array_equal(found.vertices[found.faces], oracle.vertices[oracle.faces])
    np.testing.assert_array_equal(found.uv[found.face_uv], oracle.visual.uv[oracle.faces])


def test_the_real_body_template(shared):
    data = (shared / "scans" / "smplx_neutral_template.obj").read_bytes()
    found = parsed(data)
    oracle = trimesh.load(shared / "scans" / "smplx_neutral_template.obj", process=False, maintain_order=True)
    assert found.vertices.shape == (10475, 3) and found.faces.shape == (20908, 3) and found.uv.shape == (11437, 2)
    np.testing.assert_array_equal(found.vertices[found.faces], oracle.vertices[oracle.faces])


@pytest.mark.parametrize(
    "face, what",
    [("1 2 4", "not there"), ("0 1 2", "an index 0"), ("-4 1 2", "not there"), ("1 2 x", "no number"),
     ("1 2 3.5", "no number"), ("1/1 2/1 3/1", "not there"), ("1 2 3/0", "an index 0"), ("1/1/1/1 2 3", "not there"),
     ("1 2 99999999999999999999", "not there"), ("1 2 -99999999999999999999", "not there"), ("1 2 +3", "no number"),
     ("/1 2 3", "no number"), ("1 2 3/x", "no number"), ("1 2 3//x", "no number"), ("1 2 2147483648", "not there"),
     ("1 2 --1", "no number")],
)  # fmt: skip
def test_indices_of_what_is_not_there_are_refused_with_their_line(face, what):
    with pytest.raises(FormatError, match=rf"^a\.obj: line 6: an? .*{what}|^a\.obj: line 6: {what}"):
        parsed(f"{TRIANGLE}vn 0 0 1\n# here:\nf {face}\nf 1 2 3\n")


@pytest.mark.parametrize("line, what", [
    ("v 1 2", "too few numbers"), ("v", "too few"), ("vt", "too few"), ("v 1 2 3 4 5", "as many numbers"),
    ("v" + " 1" * 9, "as many"), ("vt" + " 1" * 9, "as many numbers"),
])  # fmt: skip
def test_lines_of_too_few_or_many_numbers_are_refused(line, what):
    with pytest.raises(FormatError, match=f"line 4: {what}"):
        parsed(f"{TRIANGLE}{line}\nf 1 2 3\n")


def test_faces_may_name_vertices_that_come_later():
    assert parsed("f 1 2 3\n" + TRIANGLE).faces.tolist() == [[0, 1, 2]]
    with pytest.raises(FormatError, match="line 1"):
        parsed("f -1 -2 -3\n" + TRIANGLE)  # backwards means: before


def test_short_faces_are_counted_and_left_out():
    found = parsed(TRIANGLE + "f 1 2\nf 1\nf\nf 1 2 3\nl 1 2\np 1")
    assert found.short == 3 and found.faces.tolist() == [[0, 1, 2]]


def test_colours_of_vertices_are_read_where_the_first_has_them():
    found = parsed("v 0 0 0 1 0.5 0\nv 1 0 0 0 0 1 1\nv 0 1 0\nf 1 2 3")
    np.testing.assert_array_equal(found.colours, [[1, 0.5, 0], [0, 0, 1], [np.nan] * 3])
    assert parsed("v 0 0 0\nv 1 0 0 1 1 1\nv 0 1 0\nf 1 2 3").colours is None


def test_marks_say_where_materials_change():
    found = parsed(
        b"mtllib a b.mtl\r\n"
        + TRIANGLE.encode()
        + b"usemtl x \\\r\n y\nf 1 2 3\nusemtlz 3\nusemtl \xff\nf 1 2 3\nf 3 2 1 2"
    )
    assert [(line.split()[0], before) for line, before in found.marks] == [("mtllib", 0), ("usemtl", 0), ("usemtl", 1)]
    assert found.marks[0][0].strip() == "mtllib a b.mtl" and found.marks[2][0] == "usemtl \N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    "text",
    ["\ufeff" + TRIANGLE + "f 1 2 3", "\x00\x01\x7f\n" + TRIANGLE + "f 1 2 3\n", "# a \\\n" + TRIANGLE + "f 1 2 3",
     TRIANGLE + "f 1 2 \\\n\\\n3", TRIANGLE + "f 1 2 3 # a\\\nf 1 2 3 # b"],
)  # fmt: skip
def test_odd_files_are_read(text):
    found = parsed(text)
    assert found.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]] and found.faces[-1].tolist() == [0, 1, 2]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\\\n", b"#", b"v", b"f", b"\\", b"\x00" * 50, b"vt\\\n", b"usemtl"])
def test_empty_files_have_no_faces(data):
    try:
        assert not len(parsed(data).faces)
    except FormatError as error:
        assert "too few numbers" in str(error)


def test_very_many_lines_of_materials_are_refused():
    with pytest.raises(FormatError, match="refused as too many"):
        parsed("usemtl a\n" * 100_001)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(PARTS), max_size=60))
def test_any_bytes_give_a_mesh_or_an_error(parts):
    try:
        found = parse_obj(b"".join(parts), "a.obj")
    except FormatError as error:
        assert str(error).startswith("a.obj: ")
        return
    assert not len(found.faces) or 0 <= found.faces.min() <= found.faces.max() < len(found.vertices)
    assert not len(found.faces) or -1 <= found.face_uv.min() <= found.face_uv.max() < max(len(found.uv), 1)
