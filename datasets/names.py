"""Names of fields, tables and dimensions, and keys of records."""

import re

from .errors import SchemaError

NAME = re.compile(r"[a-z][a-z0-9_]*")
LONGEST = 88  # of the 100 that ustar gives a name, `.labels.npz` takes 11
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def check_name(name: str, what: str) -> str:
    """Return `name` if it is a lower-case identifier (WebDataset's reader folds case).

    Raises:
        SchemaError: it is not; the message says what kind of name it is.
    """
    if not NAME.fullmatch(name):
        raise SchemaError(f"{what} {name!r}: names match [a-z][a-z0-9_]* (WebDataset's reader folds case)")
    return name


def check_key(key: str, unit: str) -> str:
    """Return `key` if it can name tar members and begins with its unit's name.

    WebDataset cuts the key at the first dot, so dots are refused; a key is its unit's name, or that name,
    a hyphen and more, so that a key is found without opening every index.

    Raises:
        SchemaError: it is not.
    """
    if len(key) > LONGEST:
        room = f"tar members' names have room for {LONGEST}"
        raise SchemaError(f"key {key[:LONGEST]!r}...: {len(key)} characters, {room}")
    if not KEY.fullmatch(key):
        raise SchemaError(f"key {key!r}: keys hold letters, digits, '_' and '-' only (a dot would end the key)")
    if key != unit and not key.startswith(f"{unit}-"):
        raise SchemaError(f"key {key!r}: a key is its unit's name {unit!r}, or that and a hyphen and more")
    return key


def unit_candidates(key: str) -> list[str]:
    """Every unit name that `key` can belong to, longest first: the key and its prefixes that end before a hyphen."""
    cuts = [i for i, letter in enumerate(key) if letter == "-"]
    return [key, *(key[:cut] for cut in reversed(cuts))]
