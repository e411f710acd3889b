"""A checkpoint knows what it was trained on: what does not mean the same is refused by name, more of it is fine."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tessera.commands import eval as eval_command
from tessera.datasets import Catalog, Column, Field
from tessera.datasets.errors import TesseraError, UsageError
from tessera.datasets.joints import JOINT_SETS
from tessera.training.evaluate import pick_split
from tessera.training.trained import Trained, load_trained

from . import people
from .runs import checkpoint, figures, go


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of the engine `implicit`; not to be changed."""
    out = tmp_path_factory.mktemp("trained") / "run"
    go("implicit", data, out, "--max-epochs", 1)
    return out


@pytest.fixture
def other(data: Path, tmp_path: Path) -> Path:
    """A copy of the data set."""
    return Path(shutil.copytree(data, tmp_path / "other"))


def change(root: Path, **changes: object) -> None:
    replace(Catalog.read(root), **changes).write(root, "run")


def new_field(root: Path, table: str, name: str, **changes: object) -> None:
    catalog = Catalog.read(root)
    schema = catalog.tables[table]
    fields = tuple(replace(x, **changes) if x.name == name else x for x in schema.fields)
    change(root, tables=catalog.tables | {table: replace(schema, fields=fields)})


def load(run: Path, data: Path, split: str = "test") -> Trained:
    trained = load_trained(run, str(data), device="cpu")
    assert pick_split(trained, split) == split
    return trained


def go_on(data: Path, trained: Path, tmp_path: Path, *more: object) -> Path:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    go("implicit", data, run, "--max-epochs", 2, "--resume", *more)
    return run


def test_another_joint_set_of_the_same_name_is_refused(other, trained, tmp_path):
    wrong = replace(JOINT_SETS["smplx55"], joints=tuple(reversed(JOINT_SETS["smplx55"].joints)))
    change(other, joint_sets={"smplx55": wrong.to_json()})
    for use in (lambda: load(trained, other), lambda: go_on(other, trained, tmp_path)):
        with pytest.raises(UsageError, match="joint set smplx55 of people is another one"):
            use()


def test_a_joint_set_of_another_name_is_refused_with_both(other, trained):
    change(other, joint_sets={"smpl24": JOINT_SETS["smpl24"].to_json()})
    with pytest.raises(UsageError, match="trained with joint set smplx55; people has smpl24"):
        load(trained, other)


@pytest.mark.parametrize(("table", "name", "changes", "path"), [
    ("subjects", "sdf", {"unit": "millimetre"}, r"subject\.sdf"),
    ("subjects", "points", {"frame": "camera"}, r"subject\.points"),
    ("views", "normal_f", {"meaning": "normals that point inwards"}, "normal_f"),
    ("subjects", "body_sdf", {"meaning": "signed distance to each body, positive inside"}, r"subject\.body_sdf"),
])  # fmt: skip
def test_a_field_of_another_meaning_is_refused_by_name(table, name, changes, path, other, trained, tmp_path):
    new_field(other, table, name, **changes)
    for use in (lambda: load(trained, other), lambda: go_on(other, trained, tmp_path)):
        with pytest.raises(UsageError, match=rf"{path} of people does not mean what it was trained on"):
            use()


def test_how_a_field_is_stored_does_not_matter(other, trained):
    new_field(other, "views", "image", codec="jpg")
    assert load(trained, other)


def test_a_field_that_is_not_asked_for_does_not_matter(other, trained):
    new_field(other, "views", "body_parts", meaning="something else")
    assert load(trained, other)


def test_added_labels_are_fine(other, trained, tmp_path):
    catalog = Catalog.read(other)
    views = catalog.tables["views"]
    more = Field("hair", "uint8", ("height", "width"), "blosc", optional=True)
    schema = replace(views, fields=(*views.fields, more), columns=(*views.columns, Column("hair_share", "float64")))
    change(other, labels=catalog.labels | {"hair": 1}, tables=catalog.tables | {"views": schema},
           joint_sets=catalog.joint_sets | {"smpl24": JOINT_SETS["smpl24"].to_json()})  # fmt: skip
    assert load(trained, other)


def test_added_subjects_are_fine_and_are_known_from_then_on(trained, tmp_path):
    more = people.write_people(tmp_path / "more", people.SPLITS | {"train": {0: (0, 1, 2), 1: (3, 4), 2: (9,)}})
    run = go_on(more, trained, tmp_path)
    assert len(checkpoint(run)["callbacks"]["Checkpoints"]["trained"]["units"]) == 6
    assert figures(run)[-1]["epoch"] == "1"
    tested = people.write_people(tmp_path / "tested", {"train": {0: (0,)}, "test": {0: (9,)}})
    with pytest.raises(UsageError, match="was trained on 1 of the 1 units of split 'test'"):
        pick_split(load_trained(run, str(tested), "last", "cpu"), "test")


def test_amid_an_epoch_other_records_are_refused_with_what_to_do(data, tmp_path):
    run = tmp_path / "run"
    go("implicit", data, run, "--max-steps", 1, "--save-every", 1)
    more = people.write_people(tmp_path / "more", people.SPLITS | {"train": {0: (0, 1, 2), 1: (3, 4), 2: (9,)}})
    with pytest.raises(UsageError, match=r"^--resume: stream state: records was .* begin anew; .* --init-from .*run$"):
        go("implicit", more, run, "--max-steps", 3, "--resume")


@pytest.mark.parametrize("split", ["val", "test"])
def test_testing_on_a_subject_that_was_trained_on_is_refused_with_its_name(split, trained, tmp_path):
    mixed = people.write_people(tmp_path / "mixed", {"train": {0: (0,)}, split: {0: (3, 7, 8)}})
    with pytest.raises(UsageError) as caught:
        load(trained, mixed, split)
    text = str(caught.value)
    assert f"trained on 1 of the 3 units of split '{split}' (0003)" in text and "--split train" in text


def test_going_on_where_a_test_subject_was_trained_on_is_refused(trained, tmp_path):
    mixed = people.write_people(tmp_path / "mixed", {"train": {0: (0, 1)}, "val": {0: (5,)}, "test": {0: (4,)}})
    with pytest.raises(UsageError, match=r"units of split 'test' \(0004\)"):
        go_on(mixed, trained, tmp_path)


def test_the_same_subjects_under_another_recipe_are_others(trained, tmp_path):
    cape = people.write_people(tmp_path / "cape", {"train": {0: (5,)}, "test": {0: (3,)}}, recipe="cape")
    assert load(trained, cape)


def test_the_training_split_is_evaluated_by_its_name_only(data, trained, tmp_path, capsys):
    assert pick_split(load_trained(trained, str(data), device="cpu"), "") == "test"
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    line = [str(run), "--data", str(data), "--device", "cpu", "--limit", "1", "--split", "train"]
    assert eval_command.main(line) == 0
    assert (run / "eval" / "train.csv").is_file()
    assert "(trained on)" in " ".join(capsys.readouterr().out.split())


def test_without_test_and_val_a_split_must_be_named(trained, tmp_path):
    only = people.write_people(tmp_path / "only", {"train": {0: (0,)}})
    with pytest.raises(UsageError, match="neither test nor val"):
        pick_split(load_trained(trained, str(only), device="cpu"), "")


def test_a_checkpoint_that_does_not_say_what_it_was_trained_on_is_refused(data, trained, tmp_path):
    import torch

    run = Path(shutil.copytree(trained, tmp_path / "run"))
    state = checkpoint(run)
    del state["callbacks"]["Checkpoints"]["trained"]
    torch.save(state, run / "checkpoints" / "best.ckpt")
    with pytest.raises(TesseraError, match="does not say what it was trained on"):
        load(run, data)
