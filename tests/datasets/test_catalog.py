"""`dataset.json`: comes back as written, tells what is committed, and refuses what a stranger made of it."""

import json
from dataclasses import replace

import pytest
from tessera.datasets import Catalog, Dataset
from tessera.datasets.catalog import scan_shards
from tessera.datasets.entries import index_paths
from tessera.datasets.errors import FormatError
from tessera.datasets.index import index_bytes, read_facts, read_rows
from tessera.datasets.members import FORMAT_VERSION


def edited(toy, change):
    """Rewrite dataset.json after `change` had its way with the parsed values."""
    path = toy.root / "dataset.json"
    values = json.loads(path.read_text())
    result = change(values)
    path.write_text(json.dumps(values if result is None else result))
    return path


def test_round_trip(toy):
    assets = {"assets/cameras.json": "ab"}
    catalog = toy.catalog(joint_sets={"smpl24": {"names": ["pelvis"]}}, assets=assets, rejects=3)
    assert Catalog.read(toy.root) == catalog
    assert catalog.splits == {"train": {"frames": 12, "scenes": 3}, "val": {"frames": 4, "scenes": 1}}
    assert catalog.to_bytes() == Catalog.read(toy.root).to_bytes()


def test_format_version_is_in_the_file(toy):
    assert json.loads((toy.root / "dataset.json").read_text())["format_version"] == FORMAT_VERSION


def test_writing_the_same_again_touches_nothing(toy):
    path = toy.root / "dataset.json"
    before = path.stat().st_mtime_ns, path.stat().st_ino
    Catalog.read(toy.root).write(toy.root, "later")
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


def test_entries_are_in_order_of_split_table_group_and_part(toy):
    toy.group("train", 1, ("s2", "s4", "s5"), limit=9000)
    entries = toy.catalog().shards
    frames = [(entry.group, entry.part) for entry in entries if (entry.split, entry.table) == ("train", "frames")]
    assert frames == sorted(frames) and len(frames) > 3
    assert [entry.index for entry in entries if entry.split == "val"] == [
        "val/frames-000000.parquet",
        "val/scenes-000000.parquet",
    ]
    units = {unit for entry in entries if (entry.table, entry.split) == ("frames", "train") for unit in entry.units}
    assert units == {"s0", "s1", "s2", "s4", "s5"}


def test_parts_are_ordered_by_number_not_by_name(tmp_path):
    (tmp_path / "train").mkdir()
    names = ["t-000000", "t-000000-1", "t-000000-2", "t-000000-10", "t-000001", "t-1000000"]
    for name in names:
        (tmp_path / "train" / f"{name}.parquet").touch()
    assert [path.stem for path in index_paths(tmp_path, "train", "t")] == names


@pytest.mark.parametrize(
    "name",
    ["frames-old.parquet", "frames-000000 (1).parquet", "frames-000000.seg.parquet", "frames-1-2-3.parquet",
     ".frames-000000.parquet.run.tmp", "frames-.parquet"],
)  # fmt: skip
def test_files_that_are_no_index_are_passed_over(toy, name):
    before = scan_shards(toy.root, Catalog.read(toy.root))
    (toy.root / "train" / name).write_bytes(b"something else")
    assert scan_shards(toy.root, Catalog.read(toy.root)) == before


def test_a_data_set_that_is_building_lists_what_is_committed(toy):
    toy.catalog("building")
    for path in (toy.root / "train").glob("frames-000000*.parquet"):
        path.unlink()
    found = Catalog.read(toy.root)
    assert found.state == "building"
    listed = {entry.index for entry in found.shards}
    assert listed == {"train/frames-000001.parquet", "train/scenes-000000.parquet", "train/scenes-000001.parquet",
                      "val/frames-000000.parquet", "val/scenes-000000.parquet"}  # fmt: skip
    assert len(Dataset(toy.root).table("frames")) == 8
    toy.group("train", 0, ("s0", "s1"))
    assert len(Dataset(toy.root).table("frames")) == 16


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "train/../../x.tar", ".."])
@pytest.mark.parametrize("entry", ["tar", "index"])
def test_shard_paths_that_leave_the_folder(toy, path, entry):
    edited(toy, lambda values: values["shards"][0].update({entry: path}))
    with pytest.raises(FormatError, match="leaves the data set's folder"):
        Catalog.read(toy.root)


@pytest.mark.parametrize("path", ["../secret.npz", "/etc/passwd"])
def test_asset_paths_that_leave_the_folder(toy, path):
    edited(toy, lambda values: values["assets"].update({path: "ab"}))
    with pytest.raises(FormatError, match="leaves the data set's folder"):
        Catalog.read(toy.root)


@pytest.mark.parametrize("key", ["groups", "tables"])
@pytest.mark.parametrize("name", ["../x", "/etc", "x/y", "*", "Train", ".."])
def test_split_and_table_names_that_leave_the_folder(toy, key, name):
    def change(values):
        values[key][name] = next(iter(values[key].values()))

    for state in ("complete", "building"):
        edited(toy, lambda values, state=state: (change(values), values.update(state=state))[1])
        with pytest.raises(FormatError, match=r"dataset\.json.*names match"):
            Catalog.read(toy.root)


@pytest.mark.parametrize(
    "change", [{"split": "val"}, {"table": "scenes"}, {"tar": "../../secret.tar"}, {"tar": "x.tar"}]
)
def test_an_index_that_names_another_shard_than_that_it_lies_beside(toy, change):
    facts = replace(read_facts(toy.index()), **change)
    rows = read_rows(toy.index()).to_pylist()
    toy.index().write_bytes(index_bytes(Catalog.read(toy.root).tables["frames"], rows, facts))
    edited(toy, lambda values: values.update(state="building"))
    with pytest.raises(FormatError, match=r"train/frames-000001\.parquet.*moved"):
        Catalog.read(toy.root)


def test_a_newer_data_set_is_refused_by_path_and_versions(toy):
    path = edited(toy, lambda values: values.update(format_version=FORMAT_VERSION + 1, news={}))
    with pytest.raises(FormatError) as caught:
        Dataset(toy.root)
    assert str(path) in str(caught.value) and "upgrade" in str(caught.value)
    assert f"version {FORMAT_VERSION + 1} " in str(caught.value) and f"({FORMAT_VERSION})" in str(caught.value)


def test_no_data_set_names_the_command_that_makes_one(tmp_path):
    with pytest.raises(FormatError, match=r"tessera shards RECIPE --out"):
        Catalog.read(tmp_path / "nowhere")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"3", b'"x"', b"null", b"\xff\xfe", b"[" * 100_000, b"\0" * 100])
def test_files_that_are_no_catalog(toy, data):
    (toy.root / "dataset.json").write_bytes(data)
    with pytest.raises(FormatError, match=r"dataset\.json"):
        Catalog.read(toy.root)


NUMBER_OF_FIELDS = 17


@pytest.mark.parametrize("wrong", [None, 3, "x", [], {}, [[]], {"x": 1}, {"x": []}, {"x": {"y": "z"}}, True, -1.5])
def test_values_of_a_wrong_type_anywhere_are_refused_or_keep_their_meaning(toy, wrong):
    good = json.loads((toy.root / "dataset.json").read_text())
    assert len(good) == NUMBER_OF_FIELDS
    refused = 0
    for name in good:
        edited(toy, lambda values, name=name: good | {name: wrong})
        try:
            Catalog.read(toy.root)
        except FormatError as error:
            assert "dataset.json" in str(error)
            refused += 1
    assert refused >= 9


@pytest.mark.parametrize("name", ["table", "split", "group", "part", "index", "index_sha256", "tar", "bytes", "sha256",
                                  "records", "units"])  # fmt: skip
@pytest.mark.parametrize("wrong", [3.5, ["x", 1], True])
def test_shard_entries_of_a_wrong_type(toy, name, wrong):
    edited(toy, lambda values: values["shards"][0].update({name: wrong}))
    with pytest.raises(FormatError, match=r"dataset\.json"):
        Catalog.read(toy.root)


@pytest.mark.parametrize("name", ["name", "tables", "groups", "state", "seed", "shards"])
def test_missing_values(toy, name):
    path = toy.root / "dataset.json"
    values = json.loads(path.read_text())
    del values[name]
    path.write_text(json.dumps(values))
    with pytest.raises(FormatError, match=rf"dataset\.json.*{name}"):
        Catalog.read(toy.root)


def test_a_storage_of_a_newer_version_names_the_file_and_says_upgrade(toy):
    def change(values):
        next(f for f in values["tables"]["frames"]["fields"] if f["name"] == "hdr")["storage"] = {"kind": "fancy"}

    edited(toy, change)
    with pytest.raises(FormatError, match=r"dataset\.json.*'fancy'.*upgrade"):
        Catalog.read(toy.root)


def test_shards_of_unknown_tables_and_splits(toy):
    for change in ({"table": "views"}, {"split": "test"}):
        toy.catalog()
        edited(toy, lambda values, change=change: values["shards"][0].update(change))
        with pytest.raises(FormatError, match="no table or split"):
            Catalog.read(toy.root)


def test_a_damaged_index_of_a_set_still_building_does_not_block_the_next_run(toy):
    """The same command has to be able to build that group again."""
    catalog = replace(Catalog.read(toy.root), state="building")
    catalog.write(toy.root, "run")
    (toy.root / catalog.shards[0].index).write_bytes(b"PAR1 not really")
    with pytest.raises(FormatError):
        Catalog.read(toy.root)
    assert Catalog.read(toy.root, scan=False).state == "building"
