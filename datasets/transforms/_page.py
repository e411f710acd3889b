"""The table of docs/transforms.md, written from the transforms themselves."""

import inspect
import re
from pathlib import Path

from . import load_transform, transform_names

MARK = "<!-- table: tessera.datasets.transforms._page -->\n"
HEAD = "| transform | does | options | reads | adds | draws |\n| --- | --- | --- | --- | --- | --- |\n"


def transforms_table() -> str:
    """A Markdown table, a line a transform with its default options; ends with a line break."""
    return HEAD + "".join(_line(name) for name in transform_names())


def with_table(page: str) -> str:
    """The page's text with the table behind its mark, in place of the one that was there."""
    return re.sub(re.escape(MARK) + r"(\|.*\n)*", lambda _: MARK + transforms_table(), page)


def write(path: str) -> None:
    """Bring the table of the page at `path` up to date."""
    Path(path).write_text(with_table(Path(path).read_text(encoding="utf-8")), encoding="utf-8")


def _line(name: str) -> str:
    transform = load_transform(name)
    kind = type(transform)
    does = (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")
    options = ", ".join(f"`{option.name}={option.default!r}`" for option in inspect.signature(kind).parameters.values())
    reads = ", ".join(f"`{field}`" for field in transform.reads) or "as the schema says"
    adds = ", ".join(f"`{field.name}`" for field in transform.writes) or "nothing; replaces what it changes"
    draws = "yes" if getattr(transform, "random", False) else ""
    return f"| `{name}` | {does} | {options} | {reads} | {adds} | {draws} |\n"
