"""Where a worker stands: readable after its death, and of its present unit only."""

import os
from pathlib import Path

from tessera.pipelines.status import Standing, StatusFile, read_opened, read_standing


def test_standing_outlives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "status" / "train-000000.json"
    assert read_standing(path) == Standing() and read_opened(path) == ()
    child = os.fork()
    if child == 0:
        status = StatusFile(path)
        status.set(unit="u01", stage="read", settled=3)
        status.opens("a/b.txt")
        status.set(stage="square", key="u01-004", rejects=1)
        os._exit(9)
    os.waitpid(child, 0)
    assert read_standing(path) == Standing("u01", "u01-004", "square", 3, 1)
    assert read_opened(path) == ("a/b.txt",)


def test_opened_files_are_those_of_the_present_unit_each_once(tmp_path: Path) -> None:
    status = StatusFile(tmp_path / "status.json")
    status.set(unit="u01")
    for name in ("a-long-name.txt", "b.txt", "a-long-name.txt"):
        status.opens(name)
    status.set(stage="square")
    assert read_opened(tmp_path / "status.json") == ("a-long-name.txt", "b.txt")
    status.set(unit="u02")
    assert read_opened(tmp_path / "status.json") == ()
    status.opens("c")
    assert read_opened(tmp_path / "status.json") == ("c",)
    status.close()


def test_a_new_attempt_starts_with_nothing(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    first = StatusFile(path)
    first.set(unit="u01")
    first.opens("a")
    first.close()
    StatusFile(path).close()
    assert read_standing(path) == Standing() and read_opened(path) == ()


def test_a_damaged_standing_is_none(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_bytes(b'{"unit": "u0')
    assert read_standing(tmp_path / "status.json") == Standing()
