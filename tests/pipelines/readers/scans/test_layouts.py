"""Folder layouts: which scans there are, their fits, textures, units and splits, and what is missing."""

import zipfile
from collections import Counter

import pytest
from tessera.datasets.errors import RawDataError
from tessera.datasets.names import check_key
from tessera.pipelines.fingerprint import unit_spec
from tessera.pipelines.keyed import keyed_share
from tessera.pipelines.raw import open_raw
from tessera.pipelines.readers.scans.cape import CAPE_GENDERS, plan_cape
from tessera.pipelines.readers.scans.folder import plan_folder
from tessera.pipelines.readers.scans.renderpeople import plan_renderpeople
from tessera.pipelines.readers.scans.splits import hashed_split
from tessera.pipelines.readers.scans.thuman2 import plan_thuman2
from tessera.pipelines.readers.scans.unit import ScanUnit, unit_name

NAME = "00215-jerseyshort-pose_model-000200"


def planned(folder, planner, **options):
    """Units by name, and what is left out: name to error. No file may be opened."""
    plan = planner(open_raw(folder.root), **options)
    assert [unit.name for unit in plan.units] == sorted(unit.name for unit in plan.units)
    for unit in plan.units:
        unit_spec(unit, {})  # its payload is of JSON values
        assert check_key(f"{unit.name}-000-ab", unit.name)
    kept = {unit.name: unit for unit in plan.units if not unit.rejects}
    return kept, {x.name: x.rejects[0].error for x in plan.units if x.rejects}, plan.notes


def put_thuman2(folder, ids, scan="scans/{0}/{0}.obj", fit="fits/{0}/smplx_param.pkl"):
    for number in ids:
        folder.put(scan.format(f"{number:04d}"))
        if fit:
            folder.put(fit.format(f"{number:04d}"))


@pytest.mark.parametrize("base", ["", "thuman2/"])
@pytest.mark.parametrize("scan", ["scans/{0}/{0}.obj", "model/{0}/{0}.obj", "{0}/{0}.obj"])
@pytest.mark.parametrize(
    "fit", ["fits/{0}/smplx_param.pkl", "smplx/{0}/smplx_param.pkl", "smplx/{0}.pkl", "beside the scan"]
)
def test_scans_and_fits_of_thuman2_are_found_in_each_place(folder, base, scan, fit):
    scan = base + scan
    fit = scan.replace("{0}.obj", "smplx_param.pkl") if fit == "beside the scan" else base + fit
    put_thuman2(folder, [0, 1], scan, fit)
    folder.put(f"{base}smplx/0001.obj")
    folder.put(f"{base}scans/notes.txt")
    units, left_out, notes = planned(folder, plan_thuman2)
    assert list(units) == ["0000", "0001"] and not left_out
    assert ScanUnit.of(units["0001"]) == ScanUnit(
        "thuman2", scan.format("0001"), fit=fit.format("0001"), fit_kind="thuman2", units_per_metre=None
    )
    assert units["0001"].records == {} and notes[0].startswith(
        "splits by a hash of each id, for ICON's split needs more"
    )


def test_what_is_missing_of_thuman2_is_left_out_and_said(folder):
    put_thuman2(folder, [0, 1, 3])
    (folder.root / "fits/0001/smplx_param.pkl").unlink()
    (folder.root / "scans/0003/0003.obj").unlink()
    folder.put("fits/0002/smplx_param.pkl")
    folder.put("scans/0004/0004.ply")
    units, left_out, _ = planned(folder, plan_thuman2)
    assert list(units) == ["0000"]
    assert left_out["0001"].startswith("a scan without a fit")
    assert left_out["0002"] == "a fit without a scan: scans/0002/0002.obj is missing"
    assert left_out["0003"].startswith("a fit without a scan") and left_out["0004"] == "a folder without its scan"
    plan = plan_thuman2(open_raw(folder.root))
    assert [(x.rejects[0].stage, x.rejects[0].path) for x in plan.units if x.name == "0001"] == [
        ("plan", "scans/0001/0001.obj")
    ]
    units, left_out, _ = planned(folder, plan_thuman2, need_fit=False)
    assert ScanUnit.of(units["0001"]).fit is None and sorted(left_out) == ["0002", "0003", "0004"]


def test_no_thuman2_folder_or_no_fits_at_all(folder):
    with pytest.raises(RawDataError, match="no such folder; give the folder"):
        plan_thuman2(open_raw(folder.root))
    folder.put("scans/readme.txt")
    with pytest.raises(RawDataError, match=r"no THuman2 scan in it; a THuman2 folder holds scans/0000/0000\.obj"):
        plan_thuman2(open_raw(folder.root))
    put_thuman2(folder, [0], fit=None)
    with pytest.raises(RawDataError, match="scans but no SMPL-X fits"):
        plan_thuman2(open_raw(folder.root))


def test_trap_icons_split_has_its_test_before_its_val(folder):
    put_thuman2(folder, range(526))
    units, _, notes = planned(folder, plan_thuman2)
    splits = [units[f"{number:04d}"].split for number in range(526)]
    assert splits == ["train"] * 500 + ["test"] * 5 + ["val"] * 21
    assert notes == ("splits by ICON's rule: 500 train, 21 val, 5 test",)


def test_icons_split_counts_the_ids_of_all_txt_whatever_is_there(folder):
    put_thuman2(folder, [3, 501, 520, 600])
    folder.put("all.txt", "\n".join(f"thuman2/{number:04d}" for number in range(526)))
    units, _, notes = planned(folder, plan_thuman2)
    assert {name: unit.split for name, unit in units.items()} == {"0003": "train", "0501": "test", "0520": "val"}
    assert notes[1:] == ("1 scans that all.txt does not list are left out", "523 scans of all.txt are not in RAW")


def test_trap_scans_of_thuman2_1_do_not_all_become_val(folder):
    put_thuman2(folder, range(1026), scan="model/{0}/{0}.obj")
    units, _, notes = planned(folder, plan_thuman2)
    counts = Counter(unit.split for name, unit in units.items() if name >= "0526")
    assert counts["train"] > 400 and counts["val"] < 50 and counts["test"] < 50
    assert "ICON's rule, and a hash of each id after the first 526" in notes[0]
    assert units["0500"].split == "test" and units["0525"].split == "val"


def test_lists_of_splits_decide(folder):
    put_thuman2(folder, range(6))
    folder.put("train.txt", "# ours\nthuman2/0000\nthuman2/0001\n\n")
    folder.put("test.txt", "thuman2\\0003\r\n0009\r\n")
    folder.put("val.txt", "0002")
    units, left_out, notes = planned(folder, plan_thuman2)
    assert {name: unit.split for name, unit in units.items()} == {
        "0000": "train", "0001": "train", "0002": "val", "0003": "test"}  # fmt: skip
    assert not left_out and notes == ("splits by the lists in RAW: 2 train, 1 val, 1 test",
                                      "2 scans that no list of a split names are left out")  # fmt: skip
    folder.put("val.txt", "0002\n0003")
    with pytest.raises(RawDataError, match=r"0003 is in val\.txt and test\.txt; a subject has one split"):
        plan_thuman2(open_raw(folder.root))
    folder.put("val.txt", b"\xff\xfe0")
    with pytest.raises(RawDataError, match=r"val\.txt: not a text file"):
        plan_thuman2(open_raw(folder.root))


def test_hashed_splits_are_the_same_everywhere_and_move_with_no_other_subject(folder):
    assert keyed_share(0, "thuman2", "0000", "split") == 0.689556417409463
    put_thuman2(folder, range(30))
    before, _, _ = planned(folder, plan_thuman2)
    put_thuman2(folder, range(30, 60))
    after, _, _ = planned(folder, plan_thuman2)
    assert all(after[name].split == unit.split == hashed_split("thuman2", name) for name, unit in before.items())
    counts = Counter(hashed_split("x", str(number)) for number in range(2000))
    assert 1750 < counts["train"] < 1850 and counts["val"] > 60 and counts["test"] > 60


def test_one_bad_link_costs_one_scan(folder, tmp_path):
    put_thuman2(folder, range(3))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "0005.obj").touch()
    (folder.root / "scans" / "0005").symlink_to(tmp_path / "elsewhere")
    folder.put("fits/0005/smplx_param.pkl")
    units, left_out, _ = planned(folder, plan_thuman2)
    assert sorted(units) == ["0000", "0001", "0002"]
    assert "a symbolic link leaves the raw folder" in left_out["0005"]


def test_scans_in_an_archive_are_found_as_others(folder, tmp_path):
    put_thuman2(folder, range(3))
    plain = planned(folder, plan_thuman2)
    with zipfile.ZipFile(tmp_path / "scans.zip", "w") as archive:
        for number in range(3):
            archive.write(folder.root / f"scans/{number:04d}/{number:04d}.obj", f"scans/{number:04d}/{number:04d}.obj")
    for path in sorted((folder.root / "scans").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder.root / "scans").rmdir()
    (tmp_path / "scans.zip").rename(folder.root / "scans.zip")
    assert planned(folder, plan_thuman2) == plain


def put_pifu(folder, *names):
    for name in names:
        folder.put(f"{name}_OBJ/{name}_100k.obj")
        folder.put(f"{name}_OBJ/tex/{name}_dif_2k.jpg")


def test_renderpeople_in_pifus_layout(folder):
    put_pifu(folder, "rp_anna_posed_001", "rp_bob_posed_002", "rp_cleo_posed_003", "rp_dan_posed_004")
    (folder.root / "rp_cleo_posed_003_OBJ/tex/rp_cleo_posed_003_dif_2k.jpg").unlink()
    (folder.root / "rp_dan_posed_004_OBJ/rp_dan_posed_004_100k.obj").unlink()
    folder.put("val.txt", "rp_bob_posed_002\n")
    units, left_out, notes = planned(folder, plan_renderpeople)
    assert {name: unit.split for name, unit in units.items()} == {
        "rp_anna_posed_001": "train",
        "rp_bob_posed_002": "val",
    }
    scan = ScanUnit.of(units["rp_anna_posed_001"])
    assert scan == ScanUnit(
        "renderpeople", "rp_anna_posed_001_OBJ/rp_anna_posed_001_100k.obj",
        "rp_anna_posed_001_OBJ/tex/rp_anna_posed_001_dif_2k.jpg", units_per_metre=100.0,
    )  # fmt: skip
    assert left_out["rp_cleo_posed_003"].startswith("a scan without its texture")
    assert left_out["rp_dan_posed_004"].startswith("a folder of a scan without") and notes == ()
    (folder.root / "val.txt").unlink()
    assert planned(folder, plan_renderpeople)[2] == ("splits by a hash of each name, for there is no val.txt",)


def put_pamir(folder, *names):
    for name in names:
        for file in ("smpl/smpl_param.pkl", "smpl/smpl_mesh.obj", f"{name}_100k.obj", f"{name}_dif_2k.jpg"):
            folder.put(f"mesh_data/{name}/{file}")


def test_renderpeople_in_pamirs_layout(folder):
    """Its meshes were overwritten by ones of the height of a box, so that units are not centimetres."""
    put_pamir(folder, "a", "b", "c", "d", "e", "f")
    (folder.root / "mesh_data/b/b_100k.obj").unlink()
    folder.put("mesh_data/c/other.obj")
    (folder.root / "mesh_data/d/d_dif_2k.jpg").unlink()
    (folder.root / "mesh_data/e/smpl/smpl_param.pkl").unlink()
    folder.put("data_list.txt", "a\nb\nc\nd\ne\n")
    units, left_out, notes = planned(folder, plan_renderpeople)
    assert ScanUnit.of(units["a"]) == ScanUnit(
        "renderpeople", "mesh_data/a/a_100k.obj", "mesh_data/a/a_dif_2k.jpg", "mesh_data/a/smpl/smpl_param.pkl",
        "pamir", "neutral", None,
    )  # fmt: skip
    assert list(units) == ["a", "e"] and ScanUnit.of(units["e"]).fit is None
    assert left_out["b"] == "a fit without a scan: mesh_data/b/*.obj is missing"
    assert left_out["c"] == "2 meshes and 1 textures; a scan has one each"
    assert left_out["d"].startswith("a scan without its texture")
    assert notes == (
        "splits by a hash of each name, for there is no val.txt",
        "1 scans that data_list.txt does not list are left out",
        "1 fits whose files do not say the gender: neutral", "1 scans of PaMIR's layout without a fit",
    )  # fmt: skip
    assert ScanUnit.of(planned(folder, plan_renderpeople, gender="male")[0]["a"]).gender == "male"


def test_no_renderpeople_folder(folder):
    folder.put("a/b.obj")
    with pytest.raises(RawDataError, match=r"no RenderPeople scan in it; a RenderPeople folder holds NAME_OBJ/"):
        plan_renderpeople(open_raw(folder.root))


@pytest.mark.parametrize("base", ["", "cape/"])
def test_cape_is_to_test_on(folder, base):
    female, odd = NAME.replace("00215", "03223"), NAME.replace("00215", "99999")
    for name in (NAME, female, odd):
        folder.put(f"{base}scans/{name}.obj")
        folder.put(f"{base}smpl/{name}.npz")
        folder.put(f"{base}smpl/{name}.obj")
    folder.put(f"{base}scans/00032-a.obj")
    folder.put(f"{base}smpl/00096-b.npz")
    units, left_out, notes = planned(folder, plan_cape)
    assert {name: unit.split for name, unit in units.items()} == {NAME: "test", female: "test"}
    assert ScanUnit.of(units[NAME]) == ScanUnit(
        "cape", f"{base}scans/{NAME}.obj", None, f"{base}smpl/{NAME}.npz", "cape", "male", 1.0
    )
    assert ScanUnit.of(units[female]).gender == "female"
    assert left_out["00032-a"].startswith("a scan without a fit") and left_out["00096-b"].startswith(
        "a fit without a scan"
    )
    assert left_out[odd].startswith("a subject whose gender is not known")
    assert notes == ("5 scans to test on; they have no texture",)
    with pytest.raises(RawDataError, match="no CAPE scan in it; a CAPE folder holds"):
        plan_cape(open_raw(folder.root / "scans"))


def test_trap_genders_of_cape_differ_by_subject():
    counts = Counter(CAPE_GENDERS.values())
    assert counts == {"male": 10, "female": 5} and CAPE_GENDERS["03375"] == "male" and CAPE_GENDERS["00134"] == "female"


def test_any_folder_of_meshes(folder):
    for path in ("Statue 1.obj", "b.PLY", "b.pkl", "deep/er/c.glb", "deep/er/smplx_param.pkl", "two/d.stl", "two/e.stl",
                 "two/smplx_param.pkl", "two/e.npz", ".hidden/f.obj", "b.txt", "mesh.obj/inner.obj"):  # fmt: skip
        folder.put(path)
    units, left_out, notes = planned(folder, plan_folder, units_per_metre=1000.0, gender="female")
    assert {name: (unit.payload["scan"], unit.payload["fit"]) for name, unit in units.items()} == {
        "Statue_1": ("Statue 1.obj", None), "b": ("b.PLY", "b.pkl"),
        "deep-er-c": ("deep/er/c.glb", "deep/er/smplx_param.pkl"), "two-d": ("two/d.stl", None),
        "two-e": ("two/e.stl", "two/e.npz"), "mesh_obj-inner": ("mesh.obj/inner.obj", None),
    }  # fmt: skip
    scan = ScanUnit.of(units["b"])
    assert (scan.fit_kind, scan.gender, scan.units_per_metre, scan.texture) == ("any", "female", 1000.0, None)
    assert not left_out and notes == ("splits by a hash of each name", "3 meshes without a fit")
    assert units["b"].split == hashed_split("folder", "b")


def test_meshes_of_one_name_and_links(folder, tmp_path):
    for path in ("a.obj", "a.ply", "a.stl", "a-2.glb", "x y.obj", "x_y.obj"):
        folder.put(path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/z.obj").touch()
    (folder.root / "linked").symlink_to(tmp_path / "out")
    (folder.root / "z.obj").symlink_to(tmp_path / "out/z.obj")
    (folder.root / "dangling.obj").symlink_to(tmp_path / "nothing")
    units, left_out, _ = planned(folder, plan_folder)
    assert {name: unit.payload["scan"] for name, unit in units.items()} == {
        "a": "a.obj", "a-2": "a-2.glb", "x_y": "x y.obj"}  # fmt: skip
    assert left_out["a-3"] == left_out["a-4"] == "a second mesh of the name a"
    assert left_out["x_y-2"] == "a second mesh of the name x_y"
    assert "leaves the raw folder" in left_out["z"] and "dangling" in left_out


def test_lists_of_a_folder_and_empty_folders(folder):
    for path in ("a.obj", "b/c.obj", "d.obj"):
        folder.put(path)
    folder.put("train.txt", "a")
    folder.put("test.txt", "b-c")
    units, _, notes = planned(folder, plan_folder)
    assert {name: unit.split for name, unit in units.items()} == {"a": "train", "b-c": "test"}
    assert notes == ("splits by the lists in RAW", "2 meshes without a fit",
                     "1 meshes that no list of a split names are left out")  # fmt: skip
    folder.put("empty/x.txt")
    with pytest.raises(RawDataError, match=r"no mesh in it; a folder of scans holds meshes that end with \.obj"):
        plan_folder(open_raw(folder.root / "empty"))
    with pytest.raises(RawDataError, match="no such folder"):
        plan_folder(open_raw(folder.root / "absent"))


@pytest.mark.parametrize("text, name", [
    ("a b/c.d", "a_b_c_d"), ("_x", "x"), ("äß", "scan"), ("", "scan"), ("x" * 200, "x" * 64), ("-1", "1"),
    ("a-b_C", "a-b_C"),
])  # fmt: skip
def test_names_of_units_can_begin_keys(text, name):
    assert unit_name(text) == name


def test_payloads_are_checked():
    unit = ScanUnit("folder", "a.obj", fit="a.pkl", fit_kind="any").unit("a", "train")
    assert ScanUnit.of(unit).fit_kind == "any"
    unit.payload["fit_kind"] = "other"
    with pytest.raises(TypeError, match="fit_kind"):
        ScanUnit.of(unit)
