"""Where things lie in RAW, the scene's small CSV files, and RAW folders that are not what they should be."""

import os
from pathlib import Path

import pytest
from tessera.datasets.errors import RawDataError
from tessera.pipelines.raw import open_raw
from tessera.pipelines.readers.hypersim.layout import (
    CAMERA_TABLE,
    MODALITIES,
    SPLIT_TABLE,
    find_table,
    frame_file,
    frames_on_disk,
    scene_folders,
)
from tessera.pipelines.readers.hypersim.metadata import parse_cameras_csv, parse_scene_csv

REPOSITORY = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "hypersim" / "apple_ml-hypersim"


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


@pytest.mark.skipif(not REPOSITORY.is_dir(), reason="the Hypersim sample is not on this machine")
def test_the_real_sample():
    folders = scene_folders(open_raw(REPOSITORY))
    assert folders["ai_037_002"] == "contrib/mikeroberts3000/jupyter/ai_037_002"  # has images; another has not
    assert frames_on_disk(open_raw(REPOSITORY), folders["ai_037_002"], "cam_00") == {0: frozenset({"depth_meters"})}
    assert (REPOSITORY / frame_file(folders["ai_037_002"], "cam_00", 0, "depth_meters")).is_file()
    assert all(find_table(open_raw(REPOSITORY), name, None).is_file() for name in (CAMERA_TABLE, SPLIT_TABLE))


@pytest.mark.parametrize("place", [".", "scenes", "evermotion_dataset/scenes", "contrib/mikeroberts3000/jupyter"])
def test_scenes_are_found_in_each_place(tmp_path, place):
    (tmp_path / place / "ai_901_002" / "images").mkdir(parents=True)
    (tmp_path / place / "ai_901_001" / "_detail").mkdir(parents=True)
    (tmp_path / place / "ai_901_003").mkdir()
    (tmp_path / place / "ai_901_004\n" / "images").mkdir(parents=True)
    (tmp_path / place / "other" / "images").mkdir(parents=True)
    touch(tmp_path / place / "ai_901_005")
    prefix = "" if place == "." else place + "/"
    assert scene_folders(open_raw(tmp_path)) == {name: prefix + name for name in ("ai_901_001", "ai_901_002")}
    assert list(scene_folders(open_raw(tmp_path))) == ["ai_901_001", "ai_901_002"]


def test_a_folder_with_images_goes_before_one_without(tmp_path):
    (tmp_path / "ai_901_001" / "_detail").mkdir(parents=True)
    (tmp_path / "scenes" / "ai_901_001" / "images").mkdir(parents=True)
    assert scene_folders(open_raw(tmp_path)) == {"ai_901_001": "scenes/ai_901_001"}


def test_missing_empty_and_wrong_folders(tmp_path):
    with pytest.raises(RawDataError, match="no such folder; give the folder"):
        scene_folders(open_raw(tmp_path / "absent"))
    with pytest.raises(RawDataError, match="no Hypersim scene in it; a Hypersim folder holds ai_VVV_NNN/images"):
        scene_folders(open_raw(tmp_path))
    touch(tmp_path / "file")
    with pytest.raises(RawDataError, match="no such folder"):
        scene_folders(open_raw(tmp_path / "file"))
    (tmp_path / "ai_901_001" / "images").mkdir(parents=True)
    with pytest.raises(RawDataError, match="is one scene; give the folder that holds it"):
        scene_folders(open_raw(tmp_path / "ai_901_001"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_unreadable_folder(tmp_path):
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes").chmod(0)
    try:
        with pytest.raises(RawDataError, match=r"cannot be listed.*permissions"):
            scene_folders(open_raw(tmp_path))
    finally:
        (tmp_path / "scenes").chmod(0o700)


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    (tmp_path / "ai_901_001" / "images").mkdir(parents=True)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(RawDataError, match=r"cannot be listed \(Permission denied\); check its permissions"):
        scene_folders(open_raw(tmp_path))


def test_symbolic_links_must_stay_in_raw(tmp_path):
    raw, outside = tmp_path / "raw", tmp_path / "outside"
    (outside / "ai_901_001" / "images").mkdir(parents=True)
    (raw / "store" / "ai_901_002" / "images").mkdir(parents=True)
    (raw / "ai_901_002").symlink_to(raw / "store" / "ai_901_002")
    assert scene_folders(open_raw(raw)) == {"ai_901_002": "ai_901_002"}
    (raw / "ai_901_001").symlink_to(outside / "ai_901_001")
    with pytest.raises(RawDataError, match="ai_901_001: a symbolic link leaves the raw folder; refused"):
        scene_folders(open_raw(raw))
    (outside / "frames").mkdir()
    link = raw / "ai_901_002" / "images" / "scene_cam_00_final_hdf5"
    link.symlink_to(outside / "frames")
    with pytest.raises(RawDataError, match="scene_cam_00_final_hdf5: a symbolic link leaves"):
        frames_on_disk(open_raw(raw), "ai_901_002", "cam_00")


def test_frames_on_disk(tmp_path):
    """Trap (#7): a modality may be missing for one frame; a listed camera may have no folder (#67)."""
    for frame, modality in [(5, "color"), (5, "depth_meters"), (0, "color"), (99, "semantic")]:
        touch(tmp_path / frame_file("scenes/ai_901_001", "cam_02", frame, modality))
    geometry = tmp_path / "scenes/ai_901_001/images/scene_cam_02_geometry_hdf5"
    strays = ["frame.0007.color.hdf5", "frame.0007.depth.hdf5", "frame.7.semantic.hdf5", ".frame.0007.semantic.hdf5"]
    for stray in [*strays, "frame.0007.semantic.hdf5.part", "frame.0007.semantic.hdf5\n"]:
        touch(geometry / stray)
    found = frames_on_disk(open_raw(tmp_path), "scenes/ai_901_001", "cam_02")
    assert found == {0: {"color"}, 5: {"color", "depth_meters"}, 99: {"semantic"}}
    assert list(found) == [0, 5, 99]
    assert frames_on_disk(open_raw(tmp_path), "scenes/ai_901_001", "cam_03") == {}


def test_modalities():
    assert len(MODALITIES) == 14 and all(name == modality.name for name, modality in MODALITIES.items())
    assert frame_file("ai_901_001", "cam_00", 7, "color") == (
        "ai_901_001/images/scene_cam_00_final_hdf5/frame.0007.color.hdf5"
    )
    assert frame_file("s", "cam_01", 12, "position") == "s/images/scene_cam_01_geometry_hdf5/frame.0012.position.hdf5"
    assert MODALITIES["depth_meters"].channels == 0 and MODALITIES["normal_cam"].channels == 3


@pytest.mark.parametrize(
    ("name", "option", "origin"),
    [
        (CAMERA_TABLE, "--camera-csv", "contrib/mikeroberts3000"),
        (SPLIT_TABLE, "--split-csv", "evermotion_dataset/analysis"),
    ],
)
def test_tables(tmp_path, name, option, origin):
    with pytest.raises(RawDataError) as caught:
        find_table(open_raw(tmp_path), name, None)
    assert all(word in str(caught.value) for word in (str(tmp_path), name, option, origin, "apple/ml-hypersim", "zips"))
    with pytest.raises(RawDataError, match=f"no such file; {option} must name {name}"):
        find_table(open_raw(tmp_path), name, tmp_path / "absent.csv")
    for place in (origin, "."):
        touch(tmp_path / place / name)
        assert str(find_table(open_raw(tmp_path), name, None)) == str(tmp_path / place / name)
    touch(tmp_path / "elsewhere.csv")
    assert find_table(open_raw(tmp_path), name, tmp_path / "elsewhere.csv") == tmp_path / "elsewhere.csv"


def test_scene_and_camera_csv():
    assert parse_cameras_csv(b"camera_name\ncam_00\ncam_02\n", "s") == ["cam_00", "cam_02"]
    assert parse_cameras_csv(b"\xef\xbb\xbfcamera_name\r\ncam_00\r\n\r\n", "s") == ["cam_00"]
    scene = b"parameter_name,parameter_value\nother,x\nmeters_per_asset_unit,0.0254\n"
    assert parse_scene_csv(scene, "s") == 0.0254


@pytest.mark.parametrize(
    ("parse", "data", "words"),
    [
        (parse_scene_csv, b"", "no column 'parameter_name'"),
        (parse_scene_csv, b"parameter_name,parameter_value\n", "no row 'meters_per_asset_unit'"),
        (parse_scene_csv, b"parameter_name,parameter_value\nmeters_per_asset_unit", "line 2 has 1 of 2 cells"),
        (parse_scene_csv, b"parameter_name,parameter_value\nmeters_per_asset_unit,\n", "line 2: '' is not a finite"),
        (parse_scene_csv, b"parameter_name,parameter_value\nmeters_per_asset_unit,NaN\n", "'NaN' is not a finite"),
        (parse_scene_csv, b"parameter_name,parameter_value\nmeters_per_asset_unit,0\n", "must be positive"),
        (parse_scene_csv, b"\x89HDF\r\n\x1a\n", "not a CSV text file"),
        (parse_scene_csv, b"parameter_name,parameter_value\n\0,1\n", ""),
        (parse_cameras_csv, b"camera\ncam_00\n", "no column 'camera_name'"),
        (parse_cameras_csv, b"camera_name\n", "lists no camera"),
        (parse_cameras_csv, b"camera_name\ncam_00\ncam_00\n", "line 3: 'cam_00'"),
        (parse_cameras_csv, b"camera_name\n../../etc\n", "'../../etc'"),
        (parse_cameras_csv, b'camera_name\n"cam_00\n"\n', "no new camera name"),
    ],
)
def test_bad_scene_and_camera_csv(parse, data, words):
    with pytest.raises(RawDataError) as caught:
        parse(data, "ai_901_001/_detail/metadata.csv")
    assert str(caught.value).startswith("ai_901_001/_detail/metadata.csv: ") and words in str(caught.value)
