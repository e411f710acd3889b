"""A run on a cluster whose nodes die: it ends by itself, with the bytes of an unbroken run, or says what is missing.

The nodes are Ray nodes on this machine, killed as a machine dies: the node's processes with all that they have started.
"""

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from tessera.datasets import TesseraError, verify
from tessera.pipelines import cluster as runs
from tessera.pipelines.rejects import read_rejects
from tessera.pipelines.status import read_standing

from .conftest import Toy

SETTINGS = {"shard_mb": 1, "max_reject": 1.0}


def until(what: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@dataclasses.dataclass
class Nodes:
    """A cluster of a head without CPUs and nodes of one CPU each."""

    cluster: Cluster

    @property
    def address(self) -> str:
        return self.cluster.address

    def add(self) -> int:
        """Start a node; returns the process id of its raylet."""
        node = self.cluster.add_node(num_cpus=1, include_dashboard=False, object_store_memory=80 << 20)
        return node.all_processes["raylet"][0].process.pid

    @staticmethod
    def kill(raylet: int) -> None:
        """Kill a node's raylet with its workers, as when the machine goes out."""
        process = psutil.Process(raylet)
        for one in [process, *process.children(recursive=True)]:
            try:
                os.kill(one.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@pytest.fixture
def nodes(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    """The environment is the nodes', too, and through them that of their workers."""
    monkeypatch.setenv("TOY_BYTES", "118000")
    monkeypatch.setenv("TOY_SECONDS", "0.06")
    cluster = Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 << 20})
    yield Nodes(cluster)
    ray.shutdown()
    cluster.shutdown()


def at_work(out: Path) -> list[str]:
    """Units that workers are reading, with more of their groups to come, as they say themselves."""
    standings = [read_standing(path) for path in out.glob("runs/*/status/*.json")]
    return [s.unit for s in standings if s.unit and s.stage not in ("start", "commit") and s.settled < 9]


@pytest.mark.slow
def test_a_node_that_dies_in_mid_run_costs_time_only(toy: Toy, nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.fill(14, 12)
    toy.unit("u03", "x nan raise" + " xx" * 9)
    doomed, kept = nodes.add(), nodes.add()
    process = toy.start("--shard-mb", "1", "--max-reject", "1", RAY_ADDRESS=nodes.address)
    until(lambda: process.poll() is not None or (len(at_work(toy.out)) == 2 and list(toy.out.glob("runs/notes/*"))))
    assert process.poll() is None, process.communicate()
    nodes.kill(doomed)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert [path.error for path in read_rejects(toy.out)] == ["ValueError: the toy was told to raise"]
    assert toy.events("end")[0]["retries"] == 1, stdout
    monkeypatch.delenv("TOY_SECONDS")  # the nodes' own environment keeps it
    assert toy.hashes() == toy.fresh(**SETTINGS)
    assert not [problem for _, problems in verify(toy.out) for problem in problems]
    assert not list(toy.out.rglob("*.tmp"))
    the_last_node_dies(toy, nodes, kept)


def the_last_node_dies(toy: Toy, nodes: Nodes, kept: int) -> None:
    """The rest of the test above, which has the cluster: a run without any CPU left does not wait for ever."""
    for u in range(14):
        toy.unit(f"u{u:02d}", "all are new here " * 3)
    before = len(list(toy.out.glob("runs/*/log.jsonl")))

    def strike() -> None:
        until(lambda: len(list(toy.out.glob("runs/*/log.jsonl"))) > before and at_work(toy.out))
        nodes.kill(kept)

    thread = threading.Thread(target=strike, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "PATIENCE", 2.0)
        with pytest.raises(TesseraError, match="the cluster has no CPU left: its nodes have died"):
            toy.run(ray_address=nodes.address, **SETTINGS)
    thread.join()
    assert toy.run(**SETTINGS).complete and toy.hashes() == toy.fresh(**SETTINGS)
