"""A label that is added to a finished data set equals one that it had from the start."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tessera.datasets import Catalog, Dataset, SchemaError, TesseraError, UsageError, record_decoder, tar_paths, verify
from tessera.pipelines.recipe import Reject
from tessera.pipelines.rejects import read_rejects

from .conftest import Toy, file_hashes
from .sidecars import add, agree, clean, contents


@pytest.fixture
def built(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """Twelve units of four records in six groups, without the label `cube`."""
    monkeypatch.setenv("TOY_BYTES", "118000")
    toy.fill(12)
    toy.run(shard_mb=1)
    return toy


@pytest.fixture
def parted(pairs: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """Two tables, two splits, groups of several shards."""
    monkeypatch.setenv("TOY_BYTES", "1")
    pairs.unit("u00", "x yy")
    pairs.unit("u01", "word " * 70)
    pairs.unit("u02", "x yy zzz")
    pairs.unit("u03", "word " * 60)
    pairs.run(shard_mb=1)
    return pairs


def test_it_equals_a_run_that_had_it_from_the_start(built: Toy) -> None:
    before = built.hashes()
    summary = add(built, "cube")
    assert (summary.sidecar_groups, summary.sidecar_records, summary.built_groups) == (6, 48, 0)
    assert summary.complete and summary.status == 0 and summary.records == 48
    after = built.hashes()
    assert {name: after[name] for name in before if name != "dataset.json"} == {
        name: digest for name, digest in before.items() if name != "dataset.json"
    }, "the shards that were there stay as they are"
    clean(built.out)
    built.run(built.root / "whole", shard_mb=1, with_="cube")
    agree(built.out, built.root / "whole")


def test_two_tables_and_a_shard_for_each_part(parted: Toy) -> None:
    add(parted, "more")
    names = {path.name for path in (parted.out / "train").glob("words-*.tar")}
    assert {"words-000000-1.tar", "words-000000-1.more.tar", "words-000000.more.tar"} <= names
    assert {name.replace(".more", "") for name in names if ".more" in name} == {n for n in names if ".more" not in n}
    clean(parted.out)
    parted.run(parted.root / "whole", shard_mb=1, with_="more")
    agree(parted.out, parted.root / "whole")


def test_workers_give_the_same_bytes(built: Toy) -> None:
    other = built.root / "other"
    shutil.copytree(built.out, other)
    add(built, "cube")
    assert add(built, "cube", other, workers=2).sidecar_records == 48
    assert file_hashes(other) == built.hashes()


def test_labels_that_look_across_records_and_refer_to_them(joint: Toy) -> None:
    joint.unit("u01", "one early two three")
    joint.unit("u02", "one two late three")
    joint.unit("u03", "one two three")
    joint.run(without="others", max_reject=1.0)
    add(joint, "others", max_reject=1.0)
    clean(joint.out)
    joint.run(joint.root / "whole", max_reject=1.0)
    agree(joint.out, joint.root / "whole", "words")  # what `files` say of a unit changes with what is left out of it


def test_a_record_that_cannot_have_the_label_is_left_without_and_nothing_refers_to_it(joint: Toy) -> None:
    joint.unit("u01", "one bad two three")
    joint.unit("u02", "one two three")
    joint.run(without="others")
    assert read_rejects(joint.out) == []
    add(joint, "others", max_reject=1.0)
    clean(joint.out)
    assert read_rejects(joint.out) == [Reject("u01", "u01-001", "u01.txt", "others: others", "ValueError: a bad word")]
    joint.run(joint.root / "whole", max_reject=1.0)
    ours, whole = contents(joint.out)["words"], contents(joint.root / "whole")["words"]
    assert set(ours) - set(whole) == {"u01-001"}
    assert {key: ours[key] for key in whole} == whole
    bad = Dataset(joint.out).table("words")["u01-001"]
    assert set(bad) == {"text"} and bad.columns == {"file": "u01", "letters": 3, "others": None}


def test_raw_files_that_have_gone_bad_cost_their_records_and_are_tried_again_when_mended(built: Toy) -> None:
    text = (built.raw / "u03.txt").read_text(), (built.raw / "u05.txt").read_text()
    built.unit("u03", "x truncated x x")
    built.unit("u05", "x badline xx xxx")
    summary = add(built, "cube", max_reject=0.5)
    rejects = [
        Reject("u03", "", "u03.txt", "cube: read", "u03.txt: truncated"),
        Reject("u05", "u05-001", "u05.txt", "cube: read", "bad line"),
    ]
    assert summary.rejects == read_rejects(built.out) == rejects and (summary.lost_units, summary.status) == (1, 0)
    clean(built.out)
    table = Dataset(built.out).table("numbers")
    lost = {record.key for record in table if "cube" not in record}
    assert lost == {"u05-001", *(f"u03-{i:03d}" for i in range(4))}
    assert table["u03-001"]["square"] is not None and len(table) == 48
    assert add(built, "cube", max_reject=0.5).sidecar_groups == 0, "what failed is not tried again unasked"
    assert add(built, "cube", max_reject=0.0).status == 1
    built.unit("u03", text[0])
    built.unit("u05", text[1])
    assert 0 < add(built, "cube").sidecar_groups <= 2
    assert read_rejects(built.out) == []
    built.run(built.root / "whole", shard_mb=1, with_="cube")
    agree(built.out, built.root / "whole")


def test_retry_failed_tries_again_what_failed(built: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_MARKER", str(built.root / "open"))
    built.unit("u03", "x shut x x")
    add(built, "cube", max_reject=1.0)
    assert [reject.unit for reject in read_rejects(built.out)] == ["u03"]
    (built.root / "open").touch()
    assert add(built, "cube", max_reject=1.0).sidecar_groups == 0
    assert add(built, "cube", retry_failed=True).sidecar_groups == 1
    assert read_rejects(built.out) == []


def test_strict_stops_with_nothing_half_written_and_goes_on_later(built: Toy) -> None:
    text = (built.raw / "u03.txt").read_text()
    built.unit("u03", "x truncated x x")
    with pytest.raises(TesseraError, match=r"u03 \(u03.txt\): cube: read: u03.txt: truncated"):
        add(built, "cube", strict=True)
    assert Catalog.read(built.out).sidecars["cube"].state == "building"
    assert {path.with_suffix("") for path in built.out.glob("*/*.cube.tar")} == {
        path.with_suffix("") for path in built.out.glob("*/*.cube.parquet")
    }
    built.unit("u03", text)
    assert add(built, "cube", strict=True).complete
    clean(built.out)


def test_a_second_call_does_nothing_and_touches_nothing(built: Toy) -> None:
    add(built, "cube")
    before = {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in built.out.rglob("*") if p.is_file()}
    summary = add(built, "cube")
    assert (summary.sidecar_groups, summary.sidecar_records, summary.status) == (0, 0, 0)
    assert all((p.stat().st_ino, p.stat().st_mtime_ns) == state for p, state in before.items() if "runs" not in p.parts)


def test_it_can_be_read_while_it_is_being_added(built: Toy) -> None:
    add(built, "cube")
    whole = contents(built.out)["numbers"]
    shard = Catalog.read(built.out).sidecars["cube"].shards[0]
    catalog = json.loads((built.out / "dataset.json").read_text())
    catalog["sidecars"]["cube"] |= {"state": "building", "shards": []}
    (built.out / "dataset.json").write_text(json.dumps(catalog))
    (built.out / shard.index).unlink()
    table = Dataset(built.out).table("numbers")
    assert "cube" in table.schema.by_name
    for record in table:
        assert ("cube" in record) == (record.unit not in shard.units)
        assert {**whole[record.key]}.keys() - {"cube"} == {*record, "column line", "column value"} - {"cube"}
    assert table.index()["cube.offset"].null_count == shard.records
    said = [text for _, found in verify(built.out) for text in found]
    assert any("label cube is building, 5 of 6 shards have it" in text for text in said)
    add(built, "cube")
    assert contents(built.out)["numbers"] == whole
    clean(built.out)


def test_other_loaders_get_the_shards_that_were_there(built: Toy) -> None:
    tars = tar_paths(built.out, "numbers", "train")
    add(built, "cube")
    assert tar_paths(built.out, "numbers", "train") == tars
    with pytest.raises(SchemaError, match="no field 'cube' in table numbers"):
        record_decoder(built.out, "numbers", ("cube",))


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("square", "the data set has label square from the start"),
        ("nonsense", r"no label 'nonsense' in recipe toy, which made this data set \(labels that can be added: cube\)"),
        ("../x", "no label"),
    ],
)
def test_labels_that_cannot_be_added(built: Toy, label: str, said: str) -> None:
    before = built.hashes()
    with pytest.raises(UsageError, match=said):
        add(built, label)
    assert built.hashes() == before


def test_a_label_of_a_table_that_is_not_there(joint: Toy) -> None:
    joint.unit("u01", "one two")
    joint.run(without="count")
    with pytest.raises(UsageError, match="label count belongs to table files, which this data set does not have"):
        add(joint, "count")


def test_an_unfinished_data_set_is_refused_with_the_command_to_go_on(built: Toy) -> None:
    catalog = json.loads((built.out / "dataset.json").read_text())
    catalog["options"]["scale"] = 2.0
    (built.out / "dataset.json").write_text(json.dumps(catalog | {"state": "building"}))
    again = f"first run: tessera shards toy --raw {built.raw} --out {built.out} --scale 2.0$"
    with pytest.raises(TesseraError, match=again):
        add(built, "cube")


def test_another_raw_folder_is_refused(built: Toy) -> None:
    shutil.rmtree(built.raw)
    built.unit("v01", "x yy")
    with pytest.raises(TesseraError, match="holds none of the units of"):
        add(built, "cube")


def test_units_that_raw_no_longer_has_are_left_without(built: Toy) -> None:
    (built.raw / "u03.txt").unlink()
    add(built, "cube")
    (reject,) = read_rejects(built.out)
    assert (reject.unit, reject.key, reject.stage) == ("u03", "", "cube: plan") and "not in RAW" in reject.error
    assert {record.unit for record in Dataset(built.out).table("numbers") if "cube" not in record} == {"u03"}
    clean(built.out)


def test_the_selection_and_options_are_those_of_the_data_set(toy: Toy) -> None:
    toy.fill(6)
    toy.run(only="u0[1-4]", limit=10, scale=3.0, points=5, without="square", seed=4)
    add(toy, "square")
    add(toy, "cube")
    clean(toy.out)
    toy.run(toy.root / "whole", only="u0[1-4]", limit=10, scale=3.0, points=5, with_="cube", seed=4)
    agree(toy.out, toy.root / "whole")


@pytest.mark.parametrize("before", ["nothing", "stale"])
def test_killed_at_every_change_of_the_disk(parted: Toy, before: str) -> None:
    start, wanted = parted.root / "before", parted.root / "wanted"
    if before == "stale":
        add(parted, "more")
        (parted.raw / "u03.txt").touch()
        parted.unit("u02", "a changed text")  # the data set is not brought up to date, the label is
    shutil.copytree(parted.out, start)
    shutil.copytree(start, wanted)
    add(parted, "more", wanted, max_reject=1.0)
    script = Path(__file__).with_name("kill_points.py")
    places = [parted.raw, start, wanted, parted.root / "killed"]
    command = [sys.executable, script, parted.name, *map(str, places), "more"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert len(done.stdout.splitlines()) == 1, done.stdout[-3000:] + done.stderr
    (line,) = done.stdout.splitlines()
    assert done.returncode == 0 and line.endswith("points, then 0"), line
    assert int(line.split()[0]) > 15


def test_a_killed_command_goes_on_where_it_was(built: Toy) -> None:
    command = [sys.executable, "-m", "tessera", "add-label", str(built.out), "cube", "--raw", str(built.raw)]
    slow = os.environ | {"TOY_SECONDS": "0.1"}
    process = subprocess.Popen([*command, "--workers", "0"], env=slow, stderr=subprocess.DEVNULL)
    while not list(built.out.glob("*/*.cube.parquet")) and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert Catalog.read(built.out).sidecars["cube"].state == "building", "killed too late to mean anything"
    done = subprocess.run([*command, "--workers", "0"], capture_output=True, text=True)
    assert done.returncode == 0 and "built cube for" in done.stdout, done.stderr
    clean(built.out)
    again = subprocess.run([*command, "--workers", "0"], capture_output=True, text=True)
    assert again.returncode == 0 and "nothing to do: label cube is there, 48 records" in again.stdout
    built.run(built.root / "whole", shard_mb=1, with_="cube")
    agree(built.out, built.root / "whole")
