"""The command line of the THuman2 recipe: what it refuses and how, body models, labels, and the tools on its data."""

import io
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tessera.commands import pictures, show
from tessera.datasets import Dataset
from tessera.datasets.errors import TesseraError, UsageError
from tessera.pipelines.bodies.model import load_model, model_path
from tessera.pipelines.demo.thuman2.files import write_fit

from .scan_runs import Once, rejects, run, some_subjects, subjects, tessera, thuman2_demo

BARE = {"views": 2, "size": 64, "variants": 1, "without": "points,surface,body_points,scan_surface,image"}
LEAN = BARE | {"without": "surface,body_points,scan_surface"}


@pytest.fixture(scope="module")
def raw(once: Once, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sound subjects without body models."""
    return some_subjects(thuman2_demo(once), tmp_path_factory.mktemp("command") / "raw", ["0002", "0005"])


@pytest.fixture(scope="module")
def models(once: Once) -> Path:
    return thuman2_demo(once) / "body_models"


@pytest.fixture(scope="module")
def data(raw: Path, models: Path) -> Path:
    """Both subjects, with points and pictures."""
    summary = run("thuman2", raw, raw.parent / "data", body_models=models, **LEAN)
    assert summary.complete and not summary.rejects and summary.records == 6
    return raw.parent / "data"


def refused(*arguments: object) -> str:
    """The one line that a command which exits with 2 says."""
    (line,) = tessera(*arguments, status=2).stderr.strip().splitlines()
    return line


def test_without_body_models_one_line_says_where_they_come_from(raw: Path, tmp_path: Path) -> None:
    line = refused("shards", "thuman2", "--raw", raw, "--out", tmp_path / "out")
    assert "https://smpl-x.is.tue.mpg.de" in line and "register" in line
    assert "smplx/SMPLX_MALE.npz" in line and "--body-models" in line and str(raw / "body_models") in line
    elsewhere = refused("shards", "thuman2", "--raw", raw, "--out", tmp_path / "out", "--body-models", tmp_path)
    assert str(tmp_path) in elsewhere and "SMPLX_MALE.npz" in elsewhere
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("views", "0"), ("views", "361"), ("pitch", "x"), ("pitch", "90"), ("pitch", "0,0"), ("size", "1"),
     ("size", "5000"), ("variants", "99"), ("variants", "-1"), ("height", "9"), ("height", "0"), ("height", "nan"),
     ("noise-pose", "-1"), ("noise-shape", "inf"), ("lights", "0")],
)  # fmt: skip
def test_options_out_of_range_are_refused_with_their_names(
    raw: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    from tessera.cli import run as command

    arguments = ["shards", "thuman2", "--raw", str(raw), "--out", str(tmp_path / "out"), f"--{option}={value}"]
    assert command([*arguments, "--body-models", str(models)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"--{option}" in line and not (tmp_path / "out").exists()


def test_a_bad_option_is_one_line_of_the_command_too(raw: Path, models: Path, tmp_path: Path) -> None:
    line = refused("shards", "thuman2", "--raw", raw, "--out", tmp_path / "out", "--body-models", models, "--views", 0)
    assert "--views 0" in line and "360" in line


def test_unknown_labels_are_refused_with_those_that_there_are(raw: Path, models: Path, tmp_path: Path) -> None:
    for option in ("--with", "--without"):
        line = refused("shards", "thuman2", "--raw", raw, "--out", tmp_path / "out", "--body-models", models, option,
                       "occupancy")  # fmt: skip
        assert "occupancy" in line and "points" in line


def unmarked(path: Path) -> None:
    """The same fit without the mark of the stand-in: what the authors publish."""
    values = pickle.loads(path.read_bytes())
    del values["tessera_stand_in"]
    path.write_bytes(pickle.dumps(values, protocol=3))


def test_a_real_fit_met_with_the_stand_in_is_refused(once: Once, models: Path, tmp_path: Path) -> None:
    raw = some_subjects(thuman2_demo(once), tmp_path / "raw", ["0002", "0005"])
    unmarked(raw / "fits" / "0002" / "smplx_param.pkl")
    run("thuman2", raw, tmp_path / "out", body_models=models, **BARE)
    assert subjects(tmp_path / "out") == ["0005"]
    reject = rejects(tmp_path / "out")["0002"]
    assert "SMPL-X" in reject.error and "stand-in" in reject.error and "--body-models" in reject.error


def test_a_fit_of_another_stand_in_is_refused(once: Once, models: Path, tmp_path: Path) -> None:
    raw = some_subjects(thuman2_demo(once), tmp_path / "raw", ["0002"])
    path = raw / "fits" / "0002" / "smplx_param.pkl"
    values = pickle.loads(path.read_bytes())
    scale, move = (np.asarray(values.pop(name)) for name in ("scale", "translation"))
    del values["tessera_stand_in"]
    write_fit(path, values, float(scale), move, "stand-in of clay")
    run("thuman2", raw, tmp_path / "out", body_models=models, **BARE)
    assert "clay" in rejects(tmp_path / "out")["0002"].error and not subjects(tmp_path / "out")


def test_later_fits_of_thuman2_1_need_their_gender(once: Once, models: Path, data: Path, tmp_path: Path) -> None:
    """Hands of 45 numbers: those of the same hands give the same body, once the gender is given."""
    raw = some_subjects(thuman2_demo(once), tmp_path / "raw", ["0002"])
    path, model = raw / "fits" / "0002" / "smplx_param.pkl", load_model(model_path(models, "male"))
    values = pickle.loads(path.read_bytes())
    for side in ("left", "right"):
        values[f"{side}_hand_pose"] = model.hand_pose(side, values[f"{side}_hand_pose"][0], flat=True)[None]
    path.write_bytes(pickle.dumps(values, protocol=3))
    run("thuman2", raw, tmp_path / "out", body_models=models, **BARE)
    assert "gender" in rejects(tmp_path / "out")["0002"].error
    for gender in ("male", "female"):
        summary = run("thuman2", raw, tmp_path / "out", body_models=models, later_gender=gender, **BARE)
        assert summary.built_groups == 1 and not summary.rejects
        later, earlier = (Dataset(folder).table("subjects")["0002"] for folder in (tmp_path / "out", data))
        assert later.columns["gender"] == gender and earlier.columns["gender"] == "male"
        assert np.allclose(later["body_vertices"][0], earlier["body_vertices"][0], atol=1e-6)  # stand-ins are alike


def test_fits_can_be_ignored_and_then_no_body_model_is_needed(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tessera("shards", "thuman2", "--raw", raw, "--out", out, "--workers", 0, "--fits", "ignore", "--normalise",
            "height", "--height", 1.75, "--views", 2, "--size", 64, "--without", "surface,scan_surface")  # fmt: skip
    assert subjects(out) == ["0002", "0005"] and not (out / "assets").exists()
    for table in ("subjects", "views"):
        for record in Dataset(out).table(table):
            assert record.columns["body_model"] == ""
            assert not [name for name in record if "body" in name or name.startswith("noisy") or name == "joints"]
    assert all(float(record["height"]) == pytest.approx(1.75, abs=1e-6) for record in Dataset(out).table("subjects"))
    assert all(len(record["points"]) >= 400_000 for record in Dataset(out).table("subjects"))


def test_without_fits_and_without_a_height_one_line_says_how_to_go_on(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"how large a unit is is not known: .*--normalise height"):
        run("thuman2", raw, tmp_path / "out", fits="ignore", **BARE)
    assert not (tmp_path / "out").exists()


def test_labels_that_are_off_by_default_come_with_their_fields(raw: Path, models: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = BARE | {"with_": "sides,orientation,relit", "lights": 2, "without": "points,surface,body_points,normals"}
    run("thuman2", raw, out, only="0002", body_models=models, **options)
    (view, _) = Dataset(out).table("views")
    for name in ("body_normal_l", "body_normal_r", "body_depth_l", "orientation", "relit", "image"):
        assert name in view, name
    assert view["relit"].shape == (2, 64, 64, 3) and not np.array_equal(view["relit"][0], view["relit"][1])
    assert "normal_f" not in view and "depth_f" in view and "body_normal_f" in view
    (person,) = Dataset(out).table("subjects")
    assert "scan_surface" in person and not {"points", "sdf", "body_face", "surface_rgb"} & {*person}


def test_views_size_pitch_and_camera_are_what_the_options_say(raw: Path, models: Path, tmp_path: Path) -> None:
    options = BARE | {"views": 4, "size": 48, "pitch": "0,-20.5", "camera": "perspective"}
    run("thuman2", raw, tmp_path / "out", only="0002", body_models=models, **options)
    views = [*Dataset(tmp_path / "out").table("views")]
    assert len(views) == 8 and views[0]["mask"].shape == (48, 48)
    places = {(view.columns["yaw"], view.columns["pitch"]) for view in views}
    assert places == {(yaw, pitch) for yaw in (0.0, 90.0, 180.0, 270.0) for pitch in (0.0, -20.5)}
    for view in views:
        height = view["world_from_camera"][1, 3]
        forward = view["world_from_camera"][:3, 2]
        assert (height < -0.1 and forward[1] > 0.1) == (view.columns["pitch"] < 0)
        assert 0.05 < view["mask"].mean() < 0.6


def test_every_record_says_that_its_body_is_a_stand_in(data: Path) -> None:
    for table, count in (("subjects", 2), ("views", 4)):
        marks = [record.columns["body_model"] for record in Dataset(data).table(table)]
        assert len(marks) == count and all(mark.startswith("stand-in") for mark in marks), marks
        assert all("not SMPL-X" in mark for mark in marks)


def test_pictures_say_it_in_their_titles(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    sheet = pictures.sheet

    def noted(rows: list, *rest: object) -> Image.Image:
        titles.extend(title for title, _ in rows)
        return sheet(rows, *rest)

    monkeypatch.setattr(show, "sheet", noted)
    for arguments in (["0002-000"], ["0005", "--table", "subjects"], [], ["--table", "subjects"]):
        assert show.main([str(data), *arguments, "--out", str(tmp_path)]) == 0
    assert len(titles) == 4 and all("stand-in" in title and "not SMPL-X" in title for title in titles), titles


def test_show_draws_views_and_subjects(data: Path, tmp_path: Path) -> None:
    done = tessera("show", data, "0002-000", "0005-180", "--out", tmp_path)
    assert done.stdout.split() == [str(tmp_path / "0002-000.png"), str(tmp_path / "0005-180.png")]
    tessera("show", data, "--table", "subjects", "0005", "--out", tmp_path)
    tessera("show", data, "--table", "subjects", "--out", tmp_path)
    for name in ("0002-000.png", "0005-180.png", "0005.png", "contact_sheet.png"):
        picture = np.asarray(Image.open(tmp_path / name).convert("RGB"))
        assert picture.shape[1] >= 384 and picture.std() > 15, name
    (tmp_path / "0005.png").unlink()
    tessera("show", data, "0005", "--out", tmp_path)  # a key of the other table
    assert (tmp_path / "0005.png").exists()
    assert "0002-000" in refused("show", data, "0009", "--out", tmp_path)


def test_info_and_ls_tell_what_there_is(data: Path) -> None:
    info = tessera("info", data).stdout
    for word in ("thuman2", "complete", "subjects", "views", "points", "body_vertices", "body_visible"):
        assert word in info, word
    listed = tessera("ls").stdout
    for name in ("thuman2", "renderpeople", "cape", "scans", "hypersim"):
        assert name in listed, name


def test_shared_body_and_joint_set_are_those_of_the_bodies(data: Path, models: Path) -> None:
    asset = np.load(io.BytesIO((data / "assets" / "body.npz").read_bytes()), allow_pickle=False)
    with np.load(models / "smplx" / "SMPLX_NEUTRAL.npz", allow_pickle=False) as model:
        assert np.array_equal(asset["faces"], model["f"])
    assert asset["canonical"].min() == 0 and asset["canonical"].max() == 1
    assert asset["part"].shape == (10475,) and asset["part"].max() < len(asset["part_names"])
    assert [*Dataset(data).catalog.joint_sets] == ["smplx55"]
    (person, *_) = Dataset(data).table("subjects")
    assert person["joints"].shape == (2, 55, 3) and asset["faces"].max() < person["body_vertices"].shape[1]


def test_another_schema_is_refused_with_how_to_go_on(data: Path, raw: Path, models: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "out")
    for change, what in (
        ({"size": 32}, "another schema"),
        ({"variants": 2}, "another schema"),
        ({"views": 3}, "views"),
    ):
        with pytest.raises(TesseraError, match=what) as refusal:
            run("thuman2", raw, tmp_path / "out", body_models=models, **LEAN | change)
        assert "--out" in str(refusal.value)
