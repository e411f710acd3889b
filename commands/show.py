"""`tessera show DIR KEY...`: records as pictures, a contact sheet, or a page that can be turned."""

from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Annotated

import tyro
from PIL import Image

from ..datasets.errors import UsageError
from ..datasets.table import Dataset, Record, Table
from .pictures import Picture, panels, sheet


def show(
    data: Annotated[Path, tyro.conf.Positional],
    keys: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
    table: str | None = None,
    split: str | None = None,
    out: Path = Path("show"),
    fields: str = "",
    columns: int = 4,
    width: int = 384,
    count: int = 20,
    html: bool = False,
) -> int:
    """Show records: with keys one picture each, without keys a contact sheet of records spread over the data set.

    Args:
        data: folder of the data set.
        keys: keys of the records.
        table: table, where the data set has several.
        split: only this split.
        out: folder of the pictures.
        fields: only these, separated by commas.
        columns: panels beside each other.
        width: pixels of a panel.
        count: records of the contact sheet.
        html: write a page with the record's coloured points, to be turned with the mouse, instead of a picture.
    """
    for option, value in (("--columns", columns), ("--width", width), ("--count", count)):
        if not 1 <= value <= 10_000:
            raise UsageError(f"{option} {value}: between 1 and 10000")
    dataset = Dataset(data)
    records = dataset.table(table or dataset.catalog.main_table, split)
    out.mkdir(parents=True, exist_ok=True)
    wanted = {name.strip() for name in fields.split(",") if name.strip()}
    for key in keys:
        record = _find(records if table else _table_of(dataset, key, records, split), key)
        path = out / f"{key}.{'html' if html else 'png'}"
        if html:
            from .page import write_page

            write_page(record, path, _title(record))
        else:
            sheet([(_title(record), _chosen(record, wanted))], columns, width).save(path)
        print(path)
    if not keys:
        path = out / "contact_sheet.png"
        contact_sheet(records, str(data), count, columns, width, wanted).save(path)
        print(path)
    return 0


def contact_sheet(
    records: Table,
    title: str,
    count: int = 20,
    columns: int = 4,
    width: int = 384,
    wanted: AbstractSet[str] = frozenset(),
) -> Image.Image:
    """The first picture of each of up to `count` records spread over a table, `columns` beside each other.

    Args:
        records: the table.
        title: what stands above.
        count: number of records.
        columns: pictures in a row.
        width: pixels of a picture.
        wanted: names of the fields that may be shown; empty: all.

    Raises:
        UsageError: there is nothing to show.
    """
    if not len(records):
        raise UsageError(f"{title}: no record to show")
    names = list(records.keys())
    some = min(count, len(names))
    chosen = [names[(2 * i + 1) * len(names) // (2 * some)] for i in range(some)]
    first = [(key, _chosen(records[key], wanted)[0][1]) for key in chosen]
    marks = sorted({mark for key in chosen if (mark := stand_in(records[key]))})
    title = f"{title}: {len(chosen)} of {len(names)} records" + "".join(f"; {mark}" for mark in marks)
    return sheet([(title, first)], columns, width)


def stand_in(record: Record) -> str:
    """What a record's body labels are made of, where that is a stand-in; else empty."""
    body = str(record.columns.get("body_model") or "")
    return f"body: {body}" if body.startswith("stand-in") else ""


def _title(record: Record) -> str:
    mark = stand_in(record)
    return f"{record.key}; {mark}" if mark else record.key


def _table_of(dataset: Dataset, key: str, usual: Table, split: str | None) -> Table:
    """The table that has a key: the usual one, or the first other one that has it."""
    if key in usual:
        return usual
    others = (dataset.table(name, split) for name in dataset.catalog.tables)
    return next((other for other in others if key in other), usual)


def _find(records: Table, key: str) -> Record:
    try:
        return records[key]
    except KeyError:
        some = ", ".join(key for key, _ in zip(records.keys(), range(3), strict=False))
        raise UsageError(f"{records.root}: no record {key!r} (records are called {some}, ...)") from None


def _chosen(record: Record, wanted: AbstractSet[str]) -> list[tuple[str, Picture]]:
    found = [(name, picture) for name, picture in panels(record) if not wanted or name in wanted]
    if not found:
        raise UsageError(f"{record.key}: nothing to show (fields: {', '.join(record)})")
    return found


def main(arguments: list[str]) -> int:
    """Run the verb."""
    return tyro.cli(show, prog="tessera show", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
