"""The first word of verbs whose options depend on it: a recipe, an engine."""

from collections.abc import Iterable

from ..datasets.errors import UsageError


def first_word(arguments: list[str], kind: str, names: Iterable[str], usage: str, more: str = "") -> str | None:
    """The word that says which recipe or engine is meant; None where help was asked for instead, and printed.

    Args:
        arguments: of the verb.
        kind: what is to be named: "recipe".
        names: those that there are.
        usage: the verb's command line.
        more: a last line of the help.

    Raises:
        UsageError: nothing was named.
    """
    there = ", ".join(names)
    if arguments and not arguments[0].startswith("-"):
        return arguments[0]
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: tessera {usage}\n{kind}s: {there}")
        if more:
            print(f"\n{more}")
        return None
    article = "an" if kind[0] in "aeiou" else "a"
    raise UsageError(f"name {article} {kind} first ({there})")
