"""`tessera verify DIR`: every checksum."""

from pathlib import Path
from typing import Annotated

import tyro

from ..datasets.verify import verify as check


def verify(data: Annotated[Path, tyro.conf.Positional]) -> int:
    """Check a data set: every checksum, keys, references, and that tars and indexes belong together.

    Args:
        data: folder of the data set.
    """
    shards = bad = 0
    for name, problems in check(data):
        shards += name != "dataset.json"
        for problem in problems:
            bad += 1
            print(f"{name}: {problem}")
    print(f"{shards} shards checked, {bad} problems" + ("" if bad == 0 else "; delete what is damaged and run again"))
    return int(bad > 0)


def main(arguments: list[str]) -> int:
    """Run the verb."""
    return tyro.cli(verify, prog="tessera verify", args=arguments)
