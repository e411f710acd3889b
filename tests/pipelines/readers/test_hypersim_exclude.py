"""Lists of frames to leave out and to keep."""

from pathlib import Path

import pytest
from tessera.datasets.errors import RawDataError, UsageError
from tessera.pipelines.raw import open_raw
from tessera.pipelines.readers.hypersim.exclude import load_exclusions, load_keep_list
from tessera.pipelines.readers.hypersim.layout import SPLIT_TABLE, find_table
from tessera.pipelines.readers.hypersim.splits import load_splits

SAMPLES = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "hypersim"
real = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the Hypersim sample is not on this machine")


def test_known_bad_entries_that_are_on_by_default():
    """Trap (#22): public frames with broken renderings or without depth; those without labels only on request."""
    known = load_exclusions(None, None)
    for scene, camera in [("ai_003_001", "cam_00"), ("ai_004_009", "cam_01"), ("ai_038_007", "cam_05")]:
        assert "broken rendering" in known.reason(scene, camera, 17)
    assert "no depth" in known.reason("ai_013_001", "cam_00", 0)
    assert known.reason("ai_023_004", "cam_01", 0) is None
    labelled = load_exclusions(None, ["default", "no_labels"])
    assert "no semantic labels" in labelled.reason("ai_023_004", "cam_01", 0)
    assert "odd_depth" in known.reason("ai_038_006", "cam_00", 4)
    for frame in [("ai_003_001", "cam_01", 0), ("ai_038_006", "cam_00", 5), ("ai_012_007", "cam_00", 0)]:
        assert known.reason(*frame) is None
    assert known.reason("ai_004_007", "cam_00", 0) is None


def test_lists_are_chosen_by_name():
    assert load_exclusions(None, ["none"]).reasons == load_exclusions(None, []).reasons == {}
    cull = load_exclusions(None, ["zipmap"])
    assert cull.reason("ai_004_007", "cam_00", 0) and cull.reason("ai_013_001", "cam_00", 0) is None
    both = load_exclusions(None, ["default", "cut3r"])
    assert both.reason("ai_012_007", "cam_00", 0) and both.reason("ai_013_001", "cam_00", 0)
    with pytest.raises(UsageError, match=r"no list 'zipmp'.*zipmap"):
        load_exclusions(None, ["zipmp"])


@real
def test_known_bad_entries_name_what_exists():
    """An entry with a wrong digit would silently leave nothing out. Two are in CUT3R's list though never released."""
    table = load_splits(find_table(open_raw(SAMPLES / "apple_ml-hypersim"), SPLIT_TABLE, None))
    listed = {(scene, camera, f) for scene, cams in table.frames.items() for camera in cams for f, _ in cams[camera]}
    names = {scene for scene, _, _ in listed} | {(scene, camera) for scene, camera, _ in listed} | listed
    names |= set(table.withheld)
    for scene, camera, frame in load_exclusions(None, ["default", "zipmap", "cut3r"]).reasons:
        entry = scene if camera is None else (scene, camera) if frame is None else (scene, camera, frame)
        assert entry in names


def test_a_file_of_the_user_replaces_the_known_bad_entries(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        '[lists.dark]\nreason = "too dark"\nentries = ["ai_901_001/cam_00/0007"]\n'
        '[lists.odd]\ndefault = false\nentries = ["ai_901_002"]\n'
    )
    mine = load_exclusions(path, None)
    assert mine.reason("ai_901_001", "cam_00", 7) == "dark: too dark"
    assert mine.reason("ai_901_002", "cam_00", 0) is None and mine.reason("ai_013_001", "cam_00", 0) is None
    assert load_exclusions(path, ["odd"]).reason("ai_901_002", "cam_00", 0) == "odd"


def test_plain_text_lists(tmp_path):
    path = tmp_path / "blurred.txt"
    path.write_text("# seen by eye\nai_901_001  # whole scene\n\nai_901_002/cam_01\nai_901_003/cam_00/12\n")
    mine = load_exclusions(path, None)
    assert mine.reason("ai_901_001", "cam_09", 3) == mine.reason("ai_901_002", "cam_01", 3) == "blurred"
    assert mine.reason("ai_901_003", "cam_00", 12) and mine.reason("ai_901_003", "cam_00", 1) is None


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "[lists.x]\nentries = ['ai_1_001']", "'ai_1_001' is no entry"),
        ("a.toml", "[lists.x]\nentries = ['ai_901_001/cam_00/00007']", "is no entry"),
        ("a.toml", "[lists.x]\nentries = [7]", "lists.x has no entries"),
        ("a.toml", "[lists]\nx = 3", "lists.x has no entries"),
        ("a.toml", "entries = []", "no [lists.NAME]"),
        ("a.toml", "[lists.x", "not a TOML file"),
        ("a.txt", "ai_901_001/../x", "is no entry"),
        ("a.txt", "ai_901_001/cam_00/", "is no entry"),
    ],
)
def test_bad_files_are_refused(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(RawDataError) as caught:
        load_exclusions(tmp_path / name, None)
    assert words in str(caught.value) and str(tmp_path / name) in str(caught.value)


def test_missing_and_binary_files(tmp_path):
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x80")
    for name, words in [("absent.toml", "cannot be read"), ("absent.txt", "cannot be read"), ("b.txt", "not a text")]:
        with pytest.raises(RawDataError, match=words):
            load_exclusions(tmp_path / name, None)


@real
@pytest.mark.parametrize(("split", "kept"), [("train", 53_885), ("val", 7_370), ("test", 7_682)])
def test_marigold_lists_keep_public_frames(split, kept):
    table = load_splits(find_table(open_raw(SAMPLES / "apple_ml-hypersim"), SPLIT_TABLE, None)).select(splits=[split])
    listed = {(scene, camera, f) for scene, cams in table.frames.items() for camera in cams for f, _ in cams[camera]}
    frames = load_keep_list(SAMPLES / "lists" / "marigold" / f"filename_list_{split}_filtered.txt")
    assert len(frames) == kept and frames <= listed


def test_keep_lists(tmp_path):
    path = tmp_path / "keep.txt"
    path.write_text("ai_901_001/rgb_cam_00_fr0003.png ai_901_001/depth_plane_cam_00_fr0003.png\nai_901_001/cam_01/4\n")
    assert load_keep_list(path) == {("ai_901_001", "cam_00", 3), ("ai_901_001", "cam_01", 4)}
    path.write_text("ai_901_001/rgb_cam_00_fr0003.png\nai_901_001\n")
    with pytest.raises(RawDataError, match="line 2"):
        load_keep_list(path)
    path.write_text("# nothing\n")
    with pytest.raises(RawDataError, match="keeps no frame"):
        load_keep_list(path)
