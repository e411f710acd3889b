"""Recipes as a table: for `tessera ls` and the docs, which follow from the recipe files."""

from dataclasses import dataclass

from ..datasets.schema import Field
from .discover import load_recipe, recipe_names
from .recipe import Label


@dataclass(frozen=True)
class RecipeRow:
    """One label of one recipe."""

    recipe: str
    summary: str
    table: str
    label: str
    fields: tuple[str, ...]
    default: bool


def recipe_rows() -> list[RecipeRow]:
    """All labels of all recipes, in order."""
    return [
        RecipeRow(name, recipe.summary, table, label.name, tuple(f.name for f in label.fields), label.default)
        for name in recipe_names()
        for recipe in [load_recipe(name)]
        for table, spec in recipe.tables.items()
        for label in spec.labels
    ]


def _stored(entry: Field) -> str:
    """`, rounded 8` or nothing."""
    return ", " + " ".join(str(value) for value in entry.storage.to_json().values()) if entry.storage else ""


def recipes_markdown() -> str:
    """The page docs/recipes.md."""
    lines = ["# Recipes", "", "Written by `tessera ls --markdown`; a recipe is one file in `pipelines/recipes/`.", ""]
    for name in recipe_names():
        recipe = load_recipe(name)
        lines += [f"## {name}", "", f"{recipe.summary}", ""]
        for table, spec in recipe.tables.items():
            lines += [f"Table `{table}`:", "", "| label | on | field | dtype | shape | codec | frame | content |"]
            lines += ["| --- | --- | --- | --- | --- | --- | --- | --- |"]
            lines += [_line(label, entry) for label in spec.labels for entry in label.fields]
            columns = [*spec.columns, *(column for label in spec.labels for column in label.columns)]
            named = (f"`{column.name}`" + (f" ({column.meaning})" if column.meaning else "") for column in columns)
            lines += ["", "Index columns: " + ", ".join(named), ""]
    return "\n".join(lines)


def _line(label: Label, entry: Field) -> str:
    shape = " x ".join(str(size) for size in entry.shape) or "scalar"
    on = "yes" if label.default else f"`--with {label.name}`"
    content = f"{entry.meaning}, {entry.unit}" if entry.unit else entry.meaning
    codec = entry.codec + _stored(entry)
    return f"| {label.name} | {on} | `{entry.name}` | {entry.dtype} | {shape} | {codec} | {entry.frame} | {content} |"
