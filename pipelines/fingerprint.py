"""What a unit's records were made from, as one hash: the plan, the options, the labels and the raw content."""

import hashlib
import json
from typing import Any

from ..datasets.members import FORMAT_VERSION
from .recipe import Unit

REJECTED = "rejected:"
_JSON = json.JSONEncoder(sort_keys=True, allow_nan=False)  # one for all units: it is costly to make


def made_from(recipe: str, options: dict[str, Any], labels: dict[str, int], seed: int) -> dict[str, Any]:
    """What all records of a data set have in common, as kept in every index."""
    return {"recipe": recipe, "options": options, "labels": labels, "seed": seed, "format": FORMAT_VERSION}


def unit_spec(unit: Unit, common: dict[str, Any]) -> str:
    """Hash of all that is known of a unit before its files are read."""
    plan = {
        "unit": unit.name, "split": unit.split, "records": dict(unit.records), "payload": dict(unit.payload),
        "rejects": [vars(reject) for reject in unit.rejects], "made_from": common,
    }  # fmt: skip
    if unit.summaries:
        plan["summaries"] = dict(unit.summaries)
    return hashlib.sha256(_JSON.encode(plan).encode()).hexdigest()


def fingerprint(spec: str, content: str) -> str:
    """Hash of a unit's spec and the content of its raw files."""
    return hashlib.sha256(f"{spec}\n{content}".encode()).hexdigest()


def unit_seed(seed: int, dataset: str, unit: str) -> int:
    """Seed of a unit's keyed choices."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{dataset}\0{unit}\0seed".encode()).digest()[:8], "big")


def group_of(seed: int, dataset: str, unit: str, groups: int) -> int:
    """Group of a unit: a keyed hash, so that another unit's coming or going moves none."""
    digest = hashlib.sha256(f"{seed}\0{dataset}\0{unit}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % groups
