"""What a stream was asked for, as a tree: a table's fields and columns, and the same of the tables it refers to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..catalog import Catalog
from ..errors import UsageError
from ..schema import Field, Reference, Schema
from .cuts import Request, Sample, Window, sample_of

OWN = ("repeat",)  # names that batches have beside the fields'
COMPANIONS = ("present", "offsets", "shapes")  # behind a reference `scene`, `scene.offsets` is not a field's


@dataclass
class Asked:
    """What is wanted of one table.

    Attributes:
        table: name of the table.
        prefix: what stands before its names in a batch, such as `subject.`.
        fields: fields by name.
        columns: scalar columns of the index.
        keys: references whose keys are wanted.
        cuts: samples and windows by dimension.
        children: references that are followed, with what is wanted behind them.
        reduced: JPEG pictures that are decoded smaller, and how many times.
        windowed: JPEG pictures of which only the window is decoded that the first transform cuts.
    """

    table: str
    prefix: str = ""
    fields: dict[str, Field] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    keys: list[Reference] = field(default_factory=list)
    cuts: dict[str, Sample | Window] = field(default_factory=dict)
    children: dict[str, tuple[Reference, "Asked"]] = field(default_factory=dict)
    reduced: dict[str, int] = field(default_factory=dict)
    windowed: set[str] = field(default_factory=set)

    def cut(self, entry: Field) -> Sample | Window | None:
        """The cut along a field's first axis."""
        return self.cuts.get(str(entry.shape[0])) if entry.shape else None


def ask(catalog: Catalog, table: str, names: Iterable[str] | None, samples: Mapping[str, Request]) -> Asked:
    """The tree of what was asked for.

    Args:
        catalog: the data set's catalog.
        table: the table whose records are streamed.
        names: fields, index columns, references, and paths over references (`subject.points`); None for all fields.
        samples: path of a field or a dimension to what is drawn of its pool.

    Raises:
        UsageError: a name that the data set does not have; the message lists those that it has.
    """
    if isinstance(names, str):
        raise UsageError(f"fields: {names!r} is one text; give a list, such as [{names!r}]")
    root = Asked(table)
    schema = catalog.schema(table)
    for name in schema.by_name if names is None else names:
        node, leaf = _walk(catalog, root, name)
        _add(catalog, node, leaf, name)
    for path, request in samples.items():
        node, leaf = _walk(catalog, root, path)
        _sample(catalog.schema(node.table), node, leaf, request, path)
    return root


def _walk(catalog: Catalog, root: Asked, path: str) -> tuple[Asked, str]:
    """The node of a path's table, made where it is not there, and the path's last name."""
    node = root
    *way, leaf = path.split(".")
    for name in way:
        reference = catalog.referred(node.table, name, path)
        if name not in node.children:
            node.children[name] = reference, Asked(reference.table, f"{node.prefix}{name}.")
        node = node.children[name][1]
    return node, leaf


def _add(catalog: Catalog, node: Asked, leaf: str, path: str) -> None:
    if leaf in (COMPANIONS if node.prefix else OWN):
        raise UsageError(f"{path!r}: batches use this name themselves; leave it out of `fields`, or rename it")
    schema = catalog.schema(node.table)
    references = {entry.name: entry for entry in schema.references}
    columns = [entry.name for entry in schema.columns]
    if leaf in schema.by_name:
        node.fields[leaf] = schema.by_name[leaf]
    elif leaf in references:
        node.keys.append(references[leaf])
    elif leaf in columns:
        node.columns.append(leaf)
    elif path == "key":
        raise UsageError("'key': it is in every batch, without being asked for")
    else:
        known = ", ".join([*schema.by_name, *columns, *references])
        raise UsageError(f"{path!r}: table {node.table!r} has no {leaf!r} (it has {known})")


def _sample(schema: Schema, node: Asked, leaf: str, request: Request, path: str) -> None:
    if leaf in schema.by_name:
        shape = schema.by_name[leaf].shape
        dimension = shape[0] if shape else None
    else:
        dimension = leaf if leaf in schema.dimensions else None
    if not isinstance(dimension, str):
        raise UsageError(f"sample {path!r}: table {node.table!r} has no field or dimension {leaf!r} to draw from")
    grids = [x.name for x in node.fields.values() if x.shape[:1] == (dimension,) and _is_picture(x)]
    if grids:
        raise UsageError(f"sample {path!r}: {grids[0]!r} is a grid, not a pool of elements; nothing is drawn from it")
    if not any(entry.shape[:1] == (dimension,) for entry in node.fields.values()):
        raise UsageError(f"sample {path!r}: no field over dimension {dimension!r} is among the fields asked for")
    if dimension in node.cuts:
        raise UsageError(f"sample {path!r}: dimension {dimension!r} is drawn from twice")
    refuse_other_axes(node, dimension, f"sample {path!r}")
    node.cuts[dimension] = sample_of(schema, dimension, request, node.table)


def _is_picture(entry: Field) -> bool:
    rows, columns = (*entry.shape[:2], 0, 0)[:2]
    named = str(rows).endswith("height") and str(columns).endswith("width")
    return named or entry.codec in ("jpg", "png", "rgb")


def refuse_other_axes(node: Asked, dimension: str, what: str) -> None:
    """Refuse a cut along a dimension that is a later axis of another field: its elements would not match any more.

    Raises:
        UsageError: with the fields' names.
    """
    names = [name for name, entry in node.fields.items() if dimension in entry.shape[1:]]
    if names:
        raise UsageError(
            f"{what}: {', '.join(names)} has {dimension!r} as a later axis, which is not cut; leave it out"
        )
