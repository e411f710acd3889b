"""The same bytes from every way of running the THuman2 recipe, what makes them stale, and what a plan says of them."""

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tessera.datasets import Dataset, verify
from tessera.datasets.errors import UsageError
from tessera.pipelines.add_label import add_label
from tessera.pipelines.out_store import OutStore
from tessera.pipelines.settings import RunSettings

from ..remote import objects
from .scan_runs import Once, hashes, rejects, run, some_subjects, subjects, tessera, thuman2_demo

# Two whole subjects, one of them with a hole, and two that are rejected: by the fit's distance, and as hostile.
NAMES = ("0004", "0006", "0010", "0011")
OPTIONS = ("--views", "2", "--size", "64", "--variants", "1", "--shard-mb", "1", "--max-reject", "1")
LEAN = (*OPTIONS, "--without", "surface,body_points,scan_surface,image")
BARE = {"views": 2, "size": 64, "variants": 0, "without": "points,surface,body_points,scan_surface,image,normals"}


@pytest.fixture(scope="module")
def raw(once: Once, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_subjects(thuman2_demo(once), tmp_path_factory.mktemp("thuman2") / "raw", NAMES, models=True)


def shards(raw: Path, out: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return tessera("shards", "thuman2", "--raw", raw, "--out", out, *options)


@pytest.fixture(scope="module")
def reference(raw: Path) -> Path:
    out = raw.parent / "reference"
    shards(raw, out, "--workers", 0, *OPTIONS)
    return out


@pytest.fixture(scope="module")
def lean(raw: Path) -> Path:
    out = raw.parent / "lean"
    shards(raw, out, "--workers", 0, *LEAN)
    return out


def test_a_run_leaves_the_subjects_that_are_sound_and_names_the_others(reference: Path) -> None:
    assert subjects(reference) == ["0004", "0006"] and sorted(rejects(reference)) == ["0010", "0011"]
    views = Dataset(reference).table("views")
    assert sorted(views.keys()) == ["0004-000", "0004-180", "0006-000", "0006-180"]
    assert sum(name.endswith(".tar") for name in hashes(reference)) >= 4
    assert "assets/body.npz" in hashes(reference) and Dataset(reference).catalog.state == "complete"


def test_ray_gives_the_same_bytes(raw: Path, reference: Path, tmp_path: Path) -> None:
    shards(raw, tmp_path / "out", "--workers", 2, *OPTIONS)
    assert hashes(tmp_path / "out") == hashes(reference)


def test_parts_give_the_same_bytes(raw: Path, lean: Path, tmp_path: Path) -> None:
    shards(raw, tmp_path / "out", "--part", "1/2", *LEAN)
    done = shards(raw, tmp_path / "out", "--part", "0/2", *LEAN)
    assert "complete" in done.stdout
    assert hashes(tmp_path / "out") == hashes(lean)


def test_a_killed_and_resumed_run_gives_the_same_bytes(raw: Path, lean: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["shards", "thuman2", "--raw", str(raw), "--out", str(out), "--workers", "0", *LEAN]
    process = subprocess.Popen([sys.executable, "-m", "tessera", *arguments], stderr=subprocess.DEVNULL, cwd="/")
    for _ in range(6000):  # until the first subject is there, of two, and its group is noted
        if list(out.glob("runs/notes/*.json")) or process.poll() is not None:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "complete" not in (out / "dataset.json").read_text(), "killed too late for this test to mean anything"
    kept = {name: sha for name, sha in hashes(out).items() if name.endswith(".tar") and sha == hashes(lean).get(name)}
    assert kept, "killed too early for this test to mean anything"
    times = {name: (out / name).stat().st_mtime_ns for name in kept}
    tessera(*arguments)
    assert hashes(out) == hashes(lean)
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == times
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and "runs" not in path.parts}
    assert "nothing to do" in tessera(*arguments).stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_another_seed_draws_other_places_and_noise_about_the_same_body(
    raw: Path, reference: Path, tmp_path: Path
) -> None:
    options = {"views": 2, "size": 64, "variants": 1, "without": "points,surface,body_points,image,normals"}
    run("thuman2", raw, tmp_path / "out", only="0004", seed=1, **options)
    one, other = (Dataset(path).table("subjects")["0004"] for path in (reference, tmp_path / "out"))
    assert not np.array_equal(one["scan_surface"], other["scan_surface"])
    assert np.array_equal(one["body_vertices"][0], other["body_vertices"][0])
    assert not np.array_equal(one["body_vertices"][1], other["body_vertices"][1])


def damaged(path: Path, how: str) -> None:
    if how == "deleted":
        path.unlink()
    elif how == "cut short":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


@pytest.mark.parametrize("how", ["deleted", "cut short", "one bit changed"])
def test_verify_tells_what_is_wrong_with_the_shared_body_and_the_same_command_mends_it(
    raw: Path, tmp_path: Path, how: str
) -> None:
    out = tmp_path / "out"
    run("thuman2", raw, out, only="0004", **BARE)
    whole = hashes(out)
    damaged(out / "assets" / "body.npz", how)
    told = [problem for _, problems in verify(out) for problem in problems]
    assert len(told) == 1 and "assets/body.npz" in told[0]
    summary = run("thuman2", raw, out, only="0004", **BARE)
    assert summary.complete and summary.built_groups == 0
    assert hashes(out) == whole and not [problem for _, problems in verify(out) for problem in problems]


def test_verify_as_a_command_fails_where_the_shared_body_is_missing(reference: Path, tmp_path: Path) -> None:
    shutil.copytree(reference, tmp_path / "out")
    assert "body.npz" not in tessera("verify", tmp_path / "out").stdout
    (tmp_path / "out" / "assets" / "body.npz").unlink()
    done = tessera("verify", tmp_path / "out", status=1)
    assert "assets/body.npz: missing" in done.stdout + done.stderr


def test_another_body_model_makes_units_stale_and_the_same_one_elsewhere_does_not(raw: Path, tmp_path: Path) -> None:
    out, models = tmp_path / "out", tmp_path / "models"
    shutil.copytree(raw / "body_models", models)
    first = run("thuman2", raw, out, only="0004", **BARE)
    assert first.built_records == 3
    whole = hashes(out)
    assert run("thuman2", raw, out, only="0004", body_models=models, **BARE).built_groups == 0
    assert hashes(out) == whole
    path = models / "smplx" / "SMPLX_MALE.npz"
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    arrays["v_template"] = arrays["v_template"] + 1e-3
    np.savez(path, **arrays)
    again = run("thuman2", raw, out, only="0004", body_models=models, **BARE)
    assert again.built_records == 3 and again.complete
    assert hashes(out) != whole
    assert run("thuman2", raw, out, only="0004", body_models=models, **BARE).built_groups == 0
    run("thuman2", raw, out, only="0004", **BARE)
    assert hashes(out) == whole


def test_limit_counts_views_and_keeps_the_subject_that_they_are_of(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = run("thuman2", raw, out, limit=1, **BARE)
    assert summary.complete and summary.records == 2
    (view,) = Dataset(out).table("views")
    assert view.key == "0004-000" and view.referred("subject").key == "0004" == subjects(out)[0]
    assert not [problem for _, problems in verify(out) for problem in problems]


def test_only_chooses_subjects_by_their_names(raw: Path, tmp_path: Path) -> None:
    run("thuman2", raw, tmp_path / "out", only="0*4", **BARE)
    assert subjects(tmp_path / "out") == ["0004"] and not rejects(tmp_path / "out")
    done = tessera("shards", "thuman2", "--raw", raw, "--out", tmp_path / "none", "--only", "9*", status=2)
    assert "--only" in done.stderr and "0004" in done.stderr and not (tmp_path / "none").exists()


def test_what_is_built_of_one_subject_depends_on_neither_company_nor_other_labels(
    raw: Path, reference: Path, tmp_path: Path
) -> None:
    options = {"views": 2, "size": 64, "variants": 1, "without": "surface,body_points,points"}
    run("thuman2", raw, tmp_path / "out", only="0004", **options)
    for table, key in (("subjects", "0004"), ("views", "0004-180")):
        one, other = (Dataset(out).table(table)[key] for out in (reference, tmp_path / "out"))
        assert set(other) <= set(one) and len(other) > 8
        for name in other:
            assert np.array_equal(one[name], other[name]), name


def test_a_label_that_is_added_later_is_the_one_of_a_run_that_had_it(raw: Path, tmp_path: Path) -> None:
    options = BARE | {"variants": 1, "only": "0004"}
    run("thuman2", raw, tmp_path / "added", **options)
    before = hashes(tmp_path / "added")
    add_label(tmp_path / "added", "sides", raw, RunSettings(workers=0, quiet=True))
    run("thuman2", raw, tmp_path / "whole", with_="sides", **options)
    after = hashes(tmp_path / "added")
    assert all(after[name] == sha for name, sha in before.items() if name != "dataset.json")
    for view in Dataset(tmp_path / "whole").table("views"):
        found = Dataset(tmp_path / "added").table("views")[view.key]
        for name in ("body_normal_l", "body_normal_r", "body_depth_l", "body_depth_r", "side_l", "side_r"):
            assert np.array_equal(found[name], view[name]) and np.abs(view[name]).max() > 0, name


def test_a_change_leaves_nothing_that_an_unbroken_run_would_not_write(raw: Path, tmp_path: Path) -> None:
    ignoring = BARE | {"fits": "ignore", "normalise": "height", "only": "0004"}
    run("thuman2", raw, tmp_path / "out", only="0004", **BARE)
    assert run("thuman2", raw, tmp_path / "out", **ignoring).complete
    run("thuman2", raw, tmp_path / "fresh", **ignoring)
    assert hashes(tmp_path / "out") == hashes(tmp_path / "fresh")


def test_a_run_writes_nowhere_but_in_out_even_where_its_assets_are_a_link(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "assets").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="symbolic link"):
        run("thuman2", raw, tmp_path / "out", only="0004", **BARE)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_objects_of_a_store_are_the_files_of_a_local_run_and_a_lost_asset_comes_back(
    raw: Path, tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESSERA_CACHE", str(tmp_path / "cache"))
    url, options = f"{bucket}/people", BARE | {"only": "0004"}
    run("thuman2", raw, url, **options)  # type: ignore[arg-type]
    run("thuman2", raw, tmp_path / "out", **options)
    whole = hashes(tmp_path / "out")
    assert objects(url) == whole
    shutil.rmtree(tmp_path / "cache")  # another machine
    OutStore(url).delete("assets/body.npz")
    assert "assets/body.npz" not in objects(url)
    assert run("thuman2", raw, url, **options).built_groups == 0  # type: ignore[arg-type]
    assert objects(url) == whole


def test_plan_states_bytes_within_a_tenth_and_writes_nothing(raw: Path, tmp_path: Path) -> None:
    options = {"only": "0004", "views": 30, "size": 64, "variants": 0, "without": "surface,body_points,image"}
    given = [text for name, value in options.items() for text in (f"--{name}", value)]
    plan = shards(raw, tmp_path / "out", "--plan", *given).stdout
    assert "measured on 24 records" in plan and not (tmp_path / "out").exists()
    run("thuman2", raw, tmp_path / "out", **options)
    total = float(plan.split("records, ")[-1].split(" MB")[0])
    tars = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.tar")) / 1e6
    assert abs(total / tars - 1) < 0.1
    for name in ("points", "sdf", "body_vertices", "normal_f", "body_visible"):
        assert re.search(rf"\b{name}\b", plan), name


def test_a_point_costs_at_most_40_bytes_with_the_three_variants_of_the_defaults(reference: Path) -> None:
    (record, *_) = Dataset(reference).table("subjects")
    sizes = record.stored_bytes()
    fields = ("points", "sdf", "surface_normal", "surface_rgb", "body_face", "body_bary", "body_sdf")
    bodies = record["body_sdf"].shape[1]
    assert bodies == 2
    scan, body = (sum(sizes[name] for name in some) for some in (fields[:4], fields[4:]))
    assert (scan + body / bodies * 4) / len(record["points"]) <= 40.1  # 128 bytes of headers
