"""Labels that look across the records of a unit: what is left out late is not referred to."""

import pytest
from tessera.datasets import Dataset
from tessera.datasets.errors import UsageError
from tessera.datasets.verify import verify
from tessera.pipelines.discover import load_recipe


def problems(joint) -> list[str]:
    return [problem for _, found in verify(joint.out) for problem in found]


@pytest.mark.parametrize("word", ["early", "late", "bad"])
def test_others_do_not_refer_to_a_record_that_was_left_out(joint, word):
    joint.unit("a", f"one two {word} four")
    joint.unit("b", "five six")
    summary = joint.run()
    assert summary.complete and summary.records == 5 + 2 and len(summary.rejects) == 1
    assert (summary.rejects[0].key, summary.rejects[0].stage) == ("a-002", "others" if word == "bad" else "read")
    words = Dataset(joint.out).table("words")
    assert list(words.keys()) == ["a-000", "a-001", "a-003", "b-000", "b-001"]
    assert words["a-000"].columns["others"] == ["a-001", "a-003"]
    assert Dataset(joint.out).table("files")["a"]["count"].tolist() == [3]
    assert problems(joint) == []


def test_bytes_are_those_of_a_unit_without_the_record(joint):
    """Whether a record is refused early or late changes nothing for the others."""
    hashes = []
    for word in ("early", "lates", "late", "bad"):
        joint.unit("a", f"one two {word} four")
        joint.run(joint.root / word)
        table = Dataset(joint.root / word).table("words")
        hashes.append({r.key: (r["length"].tolist(), r.columns["others"]) for r in table if r.key != "a-002"})
    assert hashes[0] == hashes[2] == hashes[3] != hashes[1]


def test_several_passes_end(joint):
    joint.unit("a", "late one bad late two early bad")
    summary = joint.run(max_reject=1.0)
    assert summary.records == 3 and len(summary.rejects) == 5
    assert len({reject.key for reject in summary.rejects}) == 5
    assert problems(joint) == []


def test_unit_of_which_nothing_is_left_has_no_summary(joint):
    joint.unit("a", "late bad")
    joint.unit("b", "one")
    summary = joint.run(max_reject=1.0)
    assert summary.complete and summary.records == 2 and len(summary.rejects) == 2
    assert list(Dataset(joint.out).table("files").keys()) == ["b"]
    assert problems(joint) == []


def test_table_without_label_is_left_out_and_references_to_it_become_names(joint):
    joint.unit("a", "one two")
    joint.run(without="count")
    data = Dataset(joint.out)
    assert list(data.catalog.tables) == ["words"]
    assert data.table("words")["a-001"].columns["file"] == "a"
    assert [r.name for r in data.table("words").schema.references] == ["others"]
    with pytest.raises(UsageError, match="table words: every label"):
        load_recipe("joint").schemas(load_recipe("joint").options(without="plain,others"))


def test_limit_counts_records_not_summaries(joint):
    joint.unit("a", "one two three")
    joint.unit("b", "four five")
    assert joint.run(limit=4).records == 4 + 2


def test_summary_and_record_of_one_key_are_refused(joint, monkeypatch):
    from dataclasses import replace

    from tessera.datasets.errors import RawDataError
    from tessera.pipelines.recipe import Plan

    joint.unit("a", "one two")
    recipe = load_recipe("joint")
    unit = recipe.plan(joint.raw, recipe.options()).units[0]
    double = replace(recipe, plan=lambda raw, options: Plan((replace(unit, summaries={"a-000": {}}),)))
    with pytest.raises(RawDataError, match="planned twice"):
        joint.run(recipe=double)


def test_ray_gives_the_same_bytes(joint):
    for name in "abcd":
        joint.unit(name, f"one late {name} bad two")
    joint.run(workers=2, max_reject=1.0)
    assert joint.hashes() == joint.fresh(max_reject=1.0)
