"""`tessera verify DIR`: every checksum."""

from pathlib import Path
from typing import Annotated

import tyro

from ..datasets.plain import printable
from ..datasets.verify import verify as check


def verify(data: Annotated[Path, tyro.conf.Positional]) -> int:
    """Check a data set: every checksum, keys, references, and that tars and indexes belong together.

    Args:
        data: folder of the data set.
    """
    shards = bad = damaged = 0
    for name, problems in check(data):
        shards += name != "dataset.json"
        for problem in problems:
            bad += 1
            damaged += name != "dataset.json"
            print(printable(f"{name}: {problem}"))
    todo = "; delete the tars and indexes named above, then run the same `tessera shards` command" if damaged else ""
    print(f"{shards} shards checked, {bad} problem{'s' * (bad != 1)}{todo}")
    return int(bad > 0)


def main(arguments: list[str]) -> int:
    """Run the verb."""
    return tyro.cli(verify, prog="tessera verify", args=arguments)
