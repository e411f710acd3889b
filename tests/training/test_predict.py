"""Pictures of one's own: the mesh is that of the same record in shards, and what does not fit is refused."""

import csv
import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tessera.cli import run
from tessera.datasets import Dataset
from tessera.datasets.errors import FormatError, UsageError
from tessera.training.people.own_body import TALL
from tessera.training.predict import picture_paths, read_given

from .runs import go


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that sees picture, normals and body, trained for as long as it takes to have a surface."""
    out = tmp_path_factory.mktemp("runs") / "run"
    seen = ("--model.geometry", "sdf", "cmap", "--model.no-by-visibility")  # exact of so coarse a body, unlike normals
    go("implicit", data, out, "--max-epochs", 12, "--optim.lr", 0.01, *seen)
    return out


@pytest.fixture(scope="module")
def normals(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "normals"
    go("normals", data, out, "--max-epochs", 1)
    return out


@pytest.fixture
def key(data: Path) -> str:
    return sorted(Dataset(data).table("views", "test").keys())[1]


@pytest.fixture
def images(data: Path, key: str, tmp_path: Path) -> Path:
    """A record of the test split as files."""
    record, folder = Dataset(data).table("views")[key], tmp_path / "images"
    subject, calib = record.referred("subject"), record["calib"]
    folder.mkdir()
    alpha = np.where(record["mask"], 255, 0).astype(np.uint8)
    Image.fromarray(np.dstack([record["image"], alpha])).save(folder / "a.png")
    for side in "fb":
        coded = np.rint((record[f"normal_{side}"] * [1, -1, -1] + 1) * 127.5).astype(np.uint8)
        Image.fromarray(coded).save(folder / f"a_normal_{side}.png")
    cube = subject["body_vertices"][0].astype(np.float64) @ calib[:3, :3].T + calib[:3, 3]
    height = TALL / float(np.linalg.norm(calib[0, :3]))
    np.savez(folder / "a.npz", vertices=cube * [1, -1, 1] * height / TALL, height=height)
    return folder


def predict(trained: Path, images: Path, *more: object) -> int:
    return run(["predict", str(trained), "--images", str(images), "--device", "cpu", *map(str, more)])


def vertices(path: Path) -> np.ndarray:
    lines = [line.split()[1:4] for line in path.read_text().splitlines() if line.startswith("v ")]
    return np.array(lines, float)


def test_a_picture_gives_the_mesh_of_its_record(
    trained: Path, images: Path, key: str, data: Path, tmp_path: Path
) -> None:
    assert predict(trained, images, "--out", tmp_path / "out") == 0
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == {"a.obj", "a.glb", "a.png", "a_overlay.png", "predictions.csv"}
    options = ["--data", str(data), "--split", "test", "--meshes", "--device", "cpu"]
    assert run(["eval", str(trained), *options]) == 0
    mine, theirs = vertices(tmp_path / "out" / "a.obj"), vertices(trained / "eval" / "meshes" / f"{key}.obj")
    calib = Dataset(data).table("views")[key]["calib"]
    seen = (theirs @ calib[:3, :3].T + calib[:3, 3]) * [1, -1, 1] / np.linalg.norm(calib[0, :3])
    cell = 2 / 32 / np.linalg.norm(calib[0, :3])
    assert np.abs(mine.min(0) - seen.min(0)).max() < cell and np.abs(mine.max(0) - seen.max(0)).max() < cell
    assert abs(mine.mean(0) - seen.mean(0)).max() < cell / 2
    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").open()))
    assert rows[0]["picture"] == "a" and float(rows[0]["height_m"]) == pytest.approx(np.ptp(mine[:, 1]), rel=1e-4)


def test_evaluation_writes_figures_and_what_they_are_of(trained: Path, data: Path) -> None:
    options = ["--data", str(data), "--split", "test", "--device", "cpu", "--limit", "2", "--name", "two"]
    assert run(["eval", str(trained), *options]) == 0
    found = json.loads((trained / "eval" / "two.json").read_text())
    assert found["records"] == 2 and len(found["data_hash"]) == 16 and found["checkpoint"] == "best.ckpt"
    rows = list(csv.DictReader((trained / "eval" / "two.csv").open()))
    assert found["means"]["chamfer_cm"]["mean"] == pytest.approx(np.mean([float(row["chamfer_cm"]) for row in rows]))
    assert 0 < found["means"]["iou"]["mean"] <= 1 and float(rows[0]["chamfer_cm"]) < 20
    again = ["--data", str(data), "--split", "test", "--device", "cpu", "--limit", "2", "--name", "again"]
    assert run(["eval", str(trained), *again]) == 0
    other = list(csv.DictReader((trained / "eval" / "again.csv").open()))
    for row in (*rows, *other):
        row.pop("seconds")
    assert rows == other  # the same draw each time


def test_normals_are_made_by_a_run_where_there_are_none(trained: Path, normals: Path, images: Path, tmp_path: Path,
                                                        capsys: pytest.CaptureFixture) -> None:  # fmt: skip
    for path in images.glob("*_normal_*.png"):
        path.unlink()
    assert predict(trained, images, "--out", tmp_path / "none") == 1
    assert "a_normal_f.png, a_normal_b.png, or --normals RUN" in capsys.readouterr().err
    assert predict(trained, images, "--out", tmp_path / "made", "--normals", normals) == 0
    assert predict(normals, images, "--out", tmp_path / "normals") == 0
    picture = np.asarray(Image.open(tmp_path / "normals" / "a_normal_f.png"))
    length = np.linalg.norm(picture[..., :3] / 127.5 - 1, axis=-1)[picture[..., 3] > 0]
    assert abs(length - 1).max() < 0.02


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "a.npz").unlink(), r"a\.npz: missing; the network wants a body"),
        (lambda folder: np.savez(folder / "a.npz", vertices=np.zeros((5, 3))), r"5 vertices; the run was trained with"),
        (lambda folder: (folder / "a.npz").write_bytes(b"nothing"), r"a\.npz: no npz of plain arrays"),
        (lambda folder: np.savez(folder / "a.npz", vertices=np.full((people_vertices(folder), 3), 9.0)),
         r"0 % of the body's vertices lie on the person"),
        (lambda folder: rewritten(folder, height=np.array([])), r"`height` is one number of metres, 0.3 to 3.0"),
        (lambda folder: rewritten(folder, height=np.array(0.0)), r"`height` is one number of metres"),
        (lambda folder: rewritten(folder, height=np.array("tall")), r"height: <U4 \(\) in .* not an array of numbers"),
        (lambda folder: rewritten(folder, vertices=np.array(["a", "b"])), r"vertices: <U1 \(2,\) .* not an array of"),
        (lambda folder: huge(folder), r"vertices: float64 \(1000000000000, 3\) in \d+ bytes: not an array of numbers"),
        (lambda folder: (folder / "a.png").write_bytes(b"nothing"), r"a\.png: cannot be read"),
        (lambda folder: Image.new("RGBA", (32, 20)).save(folder / "a.png"), r"32 x 20 pixels; crop or pad it"),
        (lambda folder: Image.new("RGB", (32, 32)).save(folder / "a.png"), r"alpha channel, or a_mask\.png"),
        (lambda folder: Image.new("RGBA", (32, 32)).save(folder / "a.png"), r"its mask is empty"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(trained, images, tmp_path, capsys, spoil, message):
    spoil(images)
    assert predict(trained, images, "--out", tmp_path / "out") in (1, 2)
    error = capsys.readouterr().err.strip()
    assert re.search(message, error) and "Traceback" not in error and "0 predictions" in error, error


def rewritten(folder: Path, **arrays: np.ndarray) -> None:
    with np.load(folder / "a.npz") as file:
        known = {name: file[name] for name in file.files}
    np.savez_compressed(folder / "a.npz", **(known | arrays))


def huge(folder: Path) -> None:
    """A header that claims 24 TB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 3)})
    with zipfile.ZipFile(folder / "a.npz", "w") as archive:
        archive.writestr("vertices.npy", header.getvalue() + bytes(240))


def test_a_bad_body_does_not_cost_the_other_pictures(trained, images, tmp_path, capsys) -> None:
    for path in images.glob("a*"):
        shutil.copy(path, images / path.name.replace("a", "b", 1))
    huge(images)
    assert predict(trained, images, "--out", tmp_path / "out") == 1
    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").open()))
    assert [(row["picture"], bool(row["note"])) for row in rows] == [("a", True), ("b", False)]
    assert (tmp_path / "out" / "b.obj").is_file() and not (tmp_path / "out" / "a.obj").exists()


def people_vertices(folder: Path) -> int:
    with np.load(folder / "a.npz") as file:
        return len(file["vertices"])


def test_a_mask_beside_the_picture_is_the_mask(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (200, 100, 50)).save(tmp_path / "x.jpg", quality=95)
    mask = np.zeros((8, 8), np.uint8)
    mask[2:6, 3:5] = 255
    Image.fromarray(mask).save(tmp_path / "x_mask.png")
    (path,) = picture_paths(tmp_path)
    found = read_given(path, 8)
    assert found.name == "x" and (found.mask == (mask > 0)).all() and (found.image[~found.mask] == 0).all()
    with pytest.raises(UsageError, match="no such folder"):
        picture_paths(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no picture in it"):
        picture_paths(tmp_path / "empty")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "x_mask.png")
    with pytest.raises(FormatError, match="mask is empty"):
        read_given(path, 8)


def test_a_picture_that_fails_leaves_the_others(trained: Path, images: Path, tmp_path: Path) -> None:
    (images / "b.png").write_bytes(b"nothing")
    assert predict(trained, images, "--out", tmp_path / "out") == 1
    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").open()))
    assert [row["picture"] for row in rows] == ["a", "b"] and rows[0]["note"] == ""
    assert "cannot be read" in rows[1]["note"] and (tmp_path / "out" / "a.obj").is_file()
