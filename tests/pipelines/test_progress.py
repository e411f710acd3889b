"""Progress: plain lines that count up to the plan, a bar on a terminal, nothing where quiet is asked for."""

from io import StringIO

import pytest
from rich.console import Console
from tessera.pipelines import progress

from .conftest import Toy


def test_progress_in_plain_lines_counts_up_to_the_plan(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    toy.fill(4, records=5)
    toy.unit("u05", "x x truncated x x")
    toy.unit("u06", "x badline nan x x")
    console = Console(file=StringIO(), width=60)
    toy.run(console=console, max_reject=1.0)
    lines = console.file.getvalue().splitlines()
    done = [int(line.split()[1].split("/")[0]) for line in lines]
    assert all(line.startswith("toy: ") and "/30 records, " in line for line in lines), lines
    assert done == sorted(done) and done[-1] == 30
    assert lines[-1].endswith("0 s left, 3 rejected") and "\x1b" not in console.file.getvalue()


def test_progress_bar_on_a_terminal(toy: Toy) -> None:
    toy.fill(4, records=5)
    console = Console(file=StringIO(), width=120, force_terminal=True)
    toy.run(console=console)
    shown = console.file.getvalue()
    assert "\x1b[" in shown and "━" in shown and "20/20" in shown and "0 rejected" in shown


def test_progress_is_quiet_where_that_is_asked_for(toy: Toy, capfd: pytest.CaptureFixture[str]) -> None:
    toy.fill(2)
    toy.run(quiet=True)
    assert capfd.readouterr() == ("", "")
