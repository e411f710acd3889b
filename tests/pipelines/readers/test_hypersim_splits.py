"""The split table: the numbers of the real one, and its refusals."""

from pathlib import Path

import pytest
from tessera.datasets.errors import RawDataError
from tessera.pipelines.raw import open_raw
from tessera.pipelines.readers.hypersim.layout import SPLIT_TABLE, find_table
from tessera.pipelines.readers.hypersim.splits import load_splits

REPOSITORY = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "hypersim" / "apple_ml-hypersim"
HEADER = "scene_name,camera_name,frame_id,included_in_public_release,exclude_reason,split_partition_name\n"


@pytest.fixture(scope="module")
def real():
    if not REPOSITORY.is_dir():
        pytest.skip("the Hypersim sample is not on this machine")
    return load_splits(find_table(open_raw(REPOSITORY), SPLIT_TABLE, None))


def write(tmp_path, *lines, header=HEADER):
    path = tmp_path / SPLIT_TABLE
    path.write_text(header + "".join(line + "\n" for line in lines))
    return path


def test_numbers_of_the_real_table(real):
    assert real.counts() == {"train": 59_543, "val": 7_386, "test": 7_690}
    assert sum(real.counts().values()) == 74_619
    assert (len(real.frames), real.trajectories()) == (457, 769)
    assert sum(sum(cameras.values()) for cameras in real.withheld.values()) == 82_900 - 74_619
    assert sum(map(len, real.withheld.values())) == 829 - 769 + 159  # withheld whole, and in part


def test_first_volume_first_camera_train(real):
    """The selection whose table rows are known: 9 scenes, 897 frames; 36 and 61 of the first scene are withheld."""
    part = real.select(scenes=["ai_001_*"], cameras=["cam_00"], splits=["train"])
    assert len(part.frames) == part.trajectories() == 9
    assert part.counts() == {"train": 897, "val": 0, "test": 0}
    frames = [frame for frame, split in part.frames["ai_001_001"]["cam_00"]]
    assert len(frames) == 98 and frames == sorted(frames)
    assert set(range(100)) - set(frames) == {36, 61}
    assert part.withheld["ai_001_001"] == {"cam_00": 2}


def test_each_scene_is_in_one_split(real):
    for cameras in real.frames.values():
        assert len({split for listed in cameras.values() for _, split in listed}) == 1


def test_first_camera_only(real):
    part = real.select(cameras=["cam_00"])
    assert (sum(part.counts().values()), len(part.frames)) == (43_619, 449)


def test_frames_are_sorted_and_cameras_without_public_frames_are_absent(tmp_path):
    path = write(
        tmp_path,
        "ai_901_002,cam_01,7,True,,val",
        "ai_901_001,cam_00,3,True,,train",
        "ai_901_001,cam_00,1,True,,train",
        "ai_901_001,cam_00,2,False,CONTENT,",
        "ai_901_001,cam_01,0,False,CONTENT,",
        "ai_901_003,cam_00,0,False,CONTENT,",
    )
    table = load_splits(path)
    assert list(table.frames) == ["ai_901_001", "ai_901_002"]
    assert table.frames["ai_901_001"] == {"cam_00": [(1, "train"), (3, "train")]}
    assert table.withheld == {"ai_901_001": {"cam_00": 1, "cam_01": 1}, "ai_901_003": {"cam_00": 1}}
    assert table.select(splits=["val"]).frames == {"ai_901_002": {"cam_01": [(7, "val")]}}
    assert table.select(scenes=["ai_902_*"]).frames == {}


GOOD = "ai_901_001,cam_00,0,True,,train"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ai_901_001,cam_00,1,yes,,train", "included_in_public_release 'yes'"),
        ("ai_901_001,cam_00,1,True,,", "split ''"),
        ("ai_901_001,cam_00,1,True,,tra", "split 'tra'"),
        ("ai_901_001,cam_00,-1,True,,train", "'-1' is no frame number"),
        ("ai_901_001,cam_00,1.0,True,,train", "'1.0' is no frame number"),
        ("ai_901_001,cam_00,10000,True,,train", "'10000' is no frame number"),
        ("ai_901_001,cam_00,٣,True,,train", "is no frame number"),
        ("../../etc,cam_00,1,True,,train", "'../../etc'"),
        ("ai_901_001,cam_0,1,True,,train", "'cam_0'"),
        ("ai_901_001,cam_00,0,False,,", "ai_901_001/cam_00/0 is listed twice"),
        (GOOD, "ai_901_001/cam_00/0 is listed twice"),
        ("ai_901_001,cam_00,9,True,,train", "ai_901_001/cam_00/9 is listed twice"),
        ("ai_901_001,cam_00", "2 of 6 cells"),
        ('ai_901_001,cam_00,1,True,"never closed,train', "not a CSV text file"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, words):
    path = write(tmp_path, GOOD, "ai_901_001,cam_00,9,False,CONTENT,", line)
    with pytest.raises(RawDataError) as caught:
        load_splits(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and words in message
    assert "line 4" in message or "never closed" in line


def test_subject_leakage_a_scene_in_two_splits_is_refused(tmp_path):
    path = write(tmp_path, GOOD, "ai_901_001,cam_01,0,True,,test")
    with pytest.raises(RawDataError, match="line 3: ai_901_001 is in train and test"):
        load_splits(path)


def test_missing_column_and_missing_file(tmp_path):
    with pytest.raises(RawDataError, match="no column 'split_partition_name'"):
        load_splits(write(tmp_path, header=HEADER.replace(",split_partition_name", "")))
    with pytest.raises(RawDataError, match="no column 'scene_name'"):
        load_splits(write(tmp_path, header=""))
    with pytest.raises(RawDataError, match="cannot be read"):
        load_splits(tmp_path / "absent.csv")
