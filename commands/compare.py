"""`tessera compare RUN...`: a table of several runs."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.table import Column, Table

from ..datasets.errors import UsageError
from ..datasets.plain import printable
from ..training.compare import COUNTS, Comparison, Figure, Row, compare, uneven
from .console import table_console

Format = Literal["table", "markdown", "csv"]
UP = ("iou", "precision", "recall", "accuracy", "below_", "ssim", "psnr")  # more is better; of all others less
NO_MERIT = ("asked", "seconds", "sigma", "sigma_tells", "chamfer_within_cm")  # what an evaluation took, and its spread
LEGEND = "+/-: half of the 95 % interval over subjects for one run, standard deviation over the seeds for n runs"


def more_is_better(name: str) -> bool:
    """Whether more of a figure is better: `iou`, `ssim_f`, `below_11_b`, with or without `val ` before it."""
    return name.removeprefix("val ").startswith(UP)


def best_value(table: Comparison, column: str) -> float | None:
    """The best value of a column; None where there is nothing to choose, and for steps and the like."""
    found = [row.figures[column].mean for row in table.rows if column in row.figures]
    found = [value for value in found if not math.isnan(value)]
    if column in (*COUNTS, *NO_MERIT) or len(found) < 2 or uneven(table.rows, [column]):
        return None
    return max(found) if more_is_better(column) else min(found)


def relative_to_first(table: Comparison, row: Row, column: str) -> float | None:
    """Difference of a row's figure to the first row's in percent; None for the first and where there is none."""
    first = table.rows[0].figures.get(column)
    if row is table.rows[0] or column not in row.figures or first is None or not first.mean:
        return None
    return 100 * (row.figures[column].mean - first.mean) / abs(first.mean)


def setting_text(value: Any) -> str:
    """A setting as on the command line, items of lists with blanks between; a dash for nothing."""
    if isinstance(value, list | tuple):
        return " ".join(map(setting_text, value)) or "-"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "-" if value is None or value == "" else printable(text)


def text_rows(table: Comparison, relative: bool, mark: str) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of texts, for a screen or a page.

    Args:
        table: what is shown.
        relative: add the difference to the first row.
        mark: what surrounds a column's best, such as `**`; one `*` only follows it.
    """
    several = any(row.runs > 1 for row in table.rows)
    best = {column: best_value(table, column) for column in table.figures}
    rows = []
    for row in table.rows:
        texts = [printable(row.name) + ("" if row.state == "finished" else f" ({printable(row.state)})")]
        texts += [setting_text(row.settings[column]) for column in table.settings]
        for column in table.figures:
            text = _figure_text(row.figures.get(column), column, row.runs)
            if column in row.figures and uneven(table.rows, [column]):
                text += f" ({row.figures[column].records:g} records)"
            if column in row.figures and row.figures[column].mean == best[column]:
                text = f"{text} *" if mark == "*" else f"{mark}{text}{mark}"
            other = relative_to_first(table, row, column) if relative and column not in COUNTS else None
            texts.append(text if other is None else f"{text} ({other:+.1f} %)")
        rows.append([*texts, *([str(row.runs)] if several else [])])
    return ["run", *map(printable, (*table.settings, *table.figures)), *(["n"] if several else [])], rows


def _figure_text(figure: Figure | None, column: str, runs: int) -> str:
    if figure is None or math.isnan(figure.mean):
        return "-"
    if column == "loader share":
        return f"{100 * figure.mean:.1f} %"
    if column in COUNTS:
        return f"{figure.mean:,.0f}"
    spread = "" if math.isnan(figure.spread) else f" +/- {figure.spread:.2g}"
    return f"{figure.mean:.4g}{spread}" + (f" (n={figure.count})" if figure.count != runs else "")


def markdown(table: Comparison, relative: bool = False) -> str:
    """The table as a page: the best of each column is bold."""
    headings, rows = text_rows(table, relative, "**")
    lines = [headings, ["---"] * len(headings), *rows]
    text = "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
    return f"{text}\n{_legend('bold', relative)}\n" + "".join(f"\nNote: {printable(note)}\n" for note in table.notes)


def csv_text(table: Comparison, relative: bool = False) -> str:
    """The table as CSV: numbers as they are, in columns of their own; nothing is marked."""
    shown = [x for x in table.figures if x not in COUNTS]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    more = [name for x in shown for name in (x, f"{x} +/-", *([f"{x} relative %"] if relative else []))]
    writer.writerow(["run", "state", "n", *table.settings, *more, *COUNTS])
    for row in table.rows:
        cells: list[Any] = [row.name, row.state, row.runs, *(setting_text(row.settings[x]) for x in table.settings)]
        for column in shown:
            figure = row.figures.get(column, Figure(math.nan))
            cells += [figure.mean, figure.spread]
            cells += [relative_to_first(table, row, column)] if relative else []
        cells += [row.figures[x].mean if x in row.figures else None for x in COUNTS]
        writer.writerow(["" if isinstance(x, float) and math.isnan(x) else x for x in cells])
    return stream.getvalue()


def show(table: Comparison, relative: bool = False) -> None:
    """Print the table; a column's best is marked with a star."""
    headings, rows = text_rows(table, relative, "*")
    console = table_console()
    lines = [headings, *rows]
    if not console.is_terminal:
        console.width = max(console.width, _width(lines))  # no column of a file is cut
    if _width(lines) <= console.width:
        console.print(_table(lines))
    else:  # figures below each other, and as many runs beside each other as there is room for
        for part in narrow(lines, console.width):
            console.print(_table(part))
    for line in (_legend("*", relative), *(f"note: {note}" for note in table.notes)):
        console.print(line, highlight=False, soft_wrap=True)


def narrow(lines: list[list[str]], width: int) -> list[list[list[str]]]:
    """A table turned round, its first line to the left, in parts that are no wider than `width` where that can be."""
    names, *runs = lines
    parts: list[list[list[str]]] = [[names]]
    for run in runs:
        if len(parts[-1]) > 1 and _width(_turned([*parts[-1], run])) > width:
            parts.append([names])
        parts[-1].append(run)
    return [_turned(part) for part in parts]


def _turned(lines: list[list[str]]) -> list[list[str]]:
    return [list(cells) for cells in zip(*lines, strict=True)]


def _width(lines: list[list[str]]) -> int:
    return 1 + sum(3 + max(map(len, cells)) for cells in zip(*lines, strict=True))


def _table(lines: list[list[str]]) -> Table:
    headings, *rows = lines
    made = Table(*(Column(text, overflow="fold") for text in headings))
    for texts in rows:
        made.add_row(*texts)
    return made


def write_tables(table: Comparison, folder: Path) -> None:
    """Print the table, and write it as `table.md` and `table.csv`."""
    (folder / "table.md").write_text(markdown(table), encoding="utf-8")
    (folder / "table.csv").write_text(csv_text(table), encoding="utf-8")
    show(table)


def _legend(mark: str, relative: bool) -> str:
    return f"{mark}: best of the column. {LEGEND}" + (". (%): to the first row" if relative else "")


def compare_runs(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional], by: str = "", split: str = "test",
    format: Format = "table", out: Path | None = None, relative: bool = False, mixed: bool = False,
) -> int:  # fmt: skip
    """Runs side by side: the settings that differ, then their figures. Runs that differ by their seed are averaged.

    Args:
        runs: folders of runs of one engine.
        by: settings that become columns, with commas between (model.inputs,optim.lr); all that differ by default.
        split: name of the evaluation (RUN/eval/SPLIT.json); where a run has none, best validations are shown.
        format: of what is written.
        out: file that is written instead of standard output; a page where no other format is asked for.
        relative: show the difference to the first run in percent.
        mixed: put up with figures of different data.
    """
    _check(runs, out)
    table = compare(runs, split, _names(by), mixed)
    if out is None and format == "table":
        show(table, relative)
        return 0
    text = csv_text(table, relative) if format == "csv" else markdown(table, relative)
    if out is None:
        print(text, end="")
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    return 0


def _check(runs: tuple[Path, ...], out: Path | None) -> None:
    places = [path.resolve() for path in runs]
    if not runs or len({*places}) < len(places):
        twice = ", ".join(sorted({str(path) for path in places if places.count(path) > 1}))
        raise UsageError(f"{twice}: named twice" if runs else "name the folders of the runs to compare")
    if out is not None and out.is_dir():
        raise UsageError(f"--out {out}: is a folder; name a file")


def _names(by: str) -> Sequence[str]:
    return [name.strip().replace("-", "_") for name in by.split(",") if name.strip()]


def main(arguments: list[str]) -> int:
    """Run the verb."""
    return tyro.cli(compare_runs, prog="tessera compare", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
