"""SIGKILL at random moments, and what is left: a run that was killed and resumed must give the unbroken run's bytes.

The recipe is one of the benchmarks' own (`recipes/words.py`): two tables, two splits, several groups, a unit that fills
several shards, units and records that fail. Half of the runs start from nothing, half from the data set of earlier raw
data, of which texts were changed, added and removed since. Every third killed run is killed once more while it
recovers. Moments are uniform over the time that an unbroken run takes. Right after each kill, OUT is searched for
partial files; then the same command is given until it ends with status 0, and the end is compared.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from numpy.random import Generator

from ..pipelines.discover import FOLDERS
from ..pipelines.keyed import keyed_rng
from .fire.remains import lost_and_doubled, partial_files, tree_hashes
from .fire.strikes import Run, Strike, end_survivors, kill_driver, kill_session, kill_worker
from .recipes import RECIPES

PAUSE = {0: "0.012", 2: "0.06"}  # seconds slept for each record, by --workers
PATIENCE = 120.0
MOST_TRIES = 5
AGENTS = 150.0  # seconds until the last of Ray's own agents has noticed that its driver is dead, some 70
BEFORE = {"u03": "was another text", "u06": "a b c raise", "u20": "goes away", "u21": "goes, too"}
TEXTS = {
    **{f"u{u:02d}": " ".join("x" * (1 + (3 * u + i) % 7) for i in range(6)) for u in range(14)},
    "u04": "one raise two nan three", "u05": "word " * 100, "u09": "so broken", "u12": "raise", "u10": "nan v raise x",
}  # fmt: skip


@dataclass
class Row:
    """What the kills of one kind left behind; everything from `differing` to `processes` should be 0.

    `resumed` counts commands given after kills; `differing` files outside `runs/` that are not the unbroken run's;
    `partial` files incomplete under a final name; `lost` and `doubled` records; `problems` what `tessera verify` finds;
    `processes` those that never ended by themselves.
    """

    killed: str
    kills: int = 0
    resumed: int = 0
    differing: int = 0
    partial: int = 0
    lost: int = 0
    doubled: int = 0
    problems: int = 0
    processes: int = 0
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether nothing was left behind."""
        return not any((self.differing, self.partial, self.lost, self.doubled, self.problems, self.processes))


class Arena:
    """Raw data, the data set of their earlier state, and the unbroken data set of their present one."""

    def __init__(self, root: Path) -> None:
        self.root, self.raw, self.out = root, root / "raw", root / "out"
        self.raw.mkdir()
        self._write(TEXTS | BEFORE)
        self.unbroken(root / "older")
        for name in BEFORE.keys() - TEXTS.keys():
            (self.raw / f"{name}.txt").unlink()
        self._write({name: TEXTS[name] for name in BEFORE.keys() & TEXTS.keys()})
        self.durations = {0: self.unbroken(root / "wanted")}
        self.wanted = tree_hashes(root / "wanted")

    def _write(self, texts: dict[str, str]) -> None:
        for name, text in texts.items():
            (self.raw / f"{name}.txt").write_text(text)

    def start(self, out: Path, workers: int) -> Run:
        """Start the command, in a session of its own; what it says goes to the file `said`."""
        places = ["--raw", str(self.raw), "--out", str(out), "--workers", str(workers)]
        env = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        with (self.root / "said").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "tessera", "shards", "words", *places, "--shard-mb", "1", "--max-reject", "1"],
                cwd=self.root, env={**env, FOLDERS: str(RECIPES), "WORDS_SECONDS": PAUSE[workers]},
                stdout=said, stderr=said, start_new_session=True,
            )  # fmt: skip

    def unbroken(self, out: Path, workers: int = 0) -> float:
        """Run to the end; returns the seconds it took.

        Raises:
            RuntimeError: it fails.
        """
        start = time.perf_counter()
        status = self.start(out, workers).wait(PATIENCE)
        self.check(status == 0, f"status {status}")
        return time.perf_counter() - start

    def check(self, good: bool, what: str) -> None:
        """Give up unless all is good.

        Raises:
            RuntimeError: it is not; with what the commands said last.
        """
        if not good:
            raise RuntimeError(f"{what}: {(self.root / 'said').read_text()[-2000:]}")

    def duration(self, workers: int) -> float:
        """Seconds of an unbroken run from nothing, measured once."""
        if workers not in self.durations:
            self.durations[workers] = self.unbroken(self.root / f"unbroken-{workers}", workers)
        return self.durations[workers]

    def compare(self, row: Row) -> None:
        """Add to the row how OUT, which is finished, differs from the unbroken data set."""
        found = tree_hashes(self.out)
        row.differing += sum(found.get(name) != self.wanted.get(name) for name in found.keys() | self.wanted.keys())
        row.partial += len(partial_files(self.out)) + len(list(self.out.glob("runs/**/*.tmp")))
        counts = lost_and_doubled(self.out, planned())
        row.lost, row.doubled, row.problems = row.lost + counts[0], row.doubled + counts[1], row.problems + counts[2]


def planned() -> dict[str, set[str]]:
    """Keys of the records that must be there, by table; told from the texts, not by the pipeline."""
    whole = {name: text.split() for name, text in TEXTS.items() if "broken" not in text}
    words = {f"{name}-{i:03d}" for name, text in whole.items() for i, x in enumerate(text) if x not in ("raise", "nan")}
    return {"texts": set(whole), "words": words}


def trial(arena: Arena, row: Row, workers: int, strike: Strike, rng: Generator) -> set[int]:
    """Kill a run, resume it until it ends well, and add what is found to the row; returns the commands' process ids."""
    shutil.rmtree(arena.out, ignore_errors=True)
    if rng.random() < 0.5:
        shutil.copytree(arena.root / "older", arena.out)
    run = arena.start(arena.out, workers)
    leaders, more = {run.pid}, True
    while more:
        try:
            run.wait(rng.uniform(0, arena.duration(workers)))
        except subprocess.TimeoutExpired:
            row.kills += strike(run, rng)
            row.partial += len(_partial_for_good(arena.out))
        more = rng.random() < 1 / 3 and run.poll() is not None
        if more:
            run = arena.start(arena.out, workers)
            leaders.add(run.pid)
            row.resumed += 1
    tries = 0
    while run.wait(PATIENCE) != 0:
        tries += 1
        arena.check(tries <= MOST_TRIES, f"{tries} commands have failed")
        run = arena.start(arena.out, workers)
        leaders.add(run.pid)
        row.resumed += 1
    arena.compare(row)
    return leaders


def _partial_for_good(out: Path) -> set[str]:
    """Partial files; looked at twice, for a worker that outlives its driver a moment may replace files meanwhile."""
    found = set(partial_files(out))
    if found:
        time.sleep(1)
        found &= set(partial_files(out))
    return found


def kills(arena: Arena, name: str, workers: int, strike: Strike, count: int, seed: int = 0) -> Row:
    """Trials until `count` kills have met a living run."""
    row, start, number, leaders = Row(name), time.perf_counter(), 0, set[int]()
    while row.kills < count:
        number += 1
        leaders |= trial(arena, row, workers, strike, keyed_rng(seed, "kill", name, str(number)))
        if number % 10 == 0:
            print(f"{name}: {row.kills} of {count} kills", file=sys.stderr, flush=True)
    row.seconds = time.perf_counter() - start
    row.processes = end_survivors(leaders, AGENTS)
    return row


def tables(
    alone: int = 170, driver: int = 12, worker: int = 8, group: int = 10, seed: int = 0
) -> dict[str, list[dict[str, int | float | str]]]:
    """The benchmark's table, by title; takes about a quarter of an hour.

    Args:
        alone: kills of a run without Ray.
        driver: kills of a Ray run's driver alone.
        worker: kills of one of its workers alone.
        group: kills of driver, workers and Ray's own processes at once.
        seed: seed of the moments.
    """
    kinds: list[tuple[str, int, Strike, int]] = [
        ("--workers 0", 0, kill_driver, alone), ("--workers 2: the driver", 2, kill_driver, driver),
        ("--workers 2: a worker", 2, kill_worker, worker), ("--workers 2: all", 2, kill_session, group),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        arena = Arena(Path(folder))
        rows = [kills(arena, *kind, seed) for kind in kinds if kind[3]]
    return {"SIGKILL at random moments, then resumed": [asdict(row) for row in rows]}
