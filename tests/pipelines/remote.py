"""What lies in the object store of a test."""

import hashlib
import json
from pathlib import Path
from typing import Any

import s3fs
from tessera.datasets.index import read_facts
from tessera.pipelines import store_lock
from tessera.pipelines.out_store import OutStore


def objects(url: str, everything: bool = False) -> dict[str, str]:
    """SHA-256 of every object of a data set outside `runs/`."""
    store = OutStore(url)
    names = [name for name in store.list() if everything or not name.startswith("runs/")]
    return {name: hashlib.sha256(store.read(name) or b"").hexdigest() for name in sorted(names)}


def objects_through(endpoint: str, url: str) -> dict[str, str]:
    """The same, by a connection that is not cut."""
    files = s3fs.S3FileSystem(endpoint_url=endpoint, skip_instance_cache=True, use_listings_cache=False)
    root = url.removeprefix("s3://")
    found = {name.removeprefix(f"{root}/"): files.cat_file(name) for name in files.find(root)}
    return {k: hashlib.sha256(v).hexdigest() for k, v in found.items() if not k.startswith("runs/")}


def check_indexes(url: str, folder: Path) -> None:
    """Each index in the store has its tar beside it, as it says; and a complete catalog has all that it lists."""
    there = objects(url)
    catalog = json.loads(OutStore(url).read("dataset.json") or b"{}")
    for shard in catalog["shards"] if catalog.get("state") == "complete" else ():
        assert (there[shard["index"]], there[shard["tar"]]) == (shard["index_sha256"], shard["sha256"])
    for name in there:
        if name.endswith(".parquet") and "/" in name:
            (folder / "index").write_bytes(OutStore(url).read(name) or b"")
            facts = read_facts(folder / "index")
            assert facts.tar is None or there[f"{facts.split}/{facts.tar}"] == facts.tar_sha256


def lock(url: str) -> dict[str, Any]:
    return json.loads(OutStore(url).read(store_lock.LOCK) or b"{}")
