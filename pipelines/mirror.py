"""A local folder that stands for an OUT on an object store: the same small files, and hollow tars of the same size."""

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..datasets.catalog import CATALOG
from ..datasets.errors import TesseraError, UsageError
from .lock import lock_finish
from .out_place import mirror_folder, out_url
from .out_store import OutError, OutStore
from .publish import hollow, send
from .raw_remote import open_remote
from .rawfiles import file_state
from .rejects import REJECTS
from .settings import RunSettings
from .store_lock import check_held, hold_store

SHARD = re.compile(r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*-\d+(-\d+)?(\.[a-z0-9_]+)?\.(tar|parquet)")
NOTE = re.compile(r"runs/notes/[a-z][a-z0-9_.-]*\.json")
ASSET = re.compile(r"assets/[a-z0-9][A-Za-z0-9_.-]*")
NOTES = "runs/notes"


@dataclass
class Mirror:
    """The mirror of an OUT, for the process that leads the run.

    A file in it has the size of its object, and the stamp of that as its time; so it is known to be the same, and a
    tar need have no content.
    """

    url: str
    folder: Path
    there: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def store(self) -> OutStore:
        """The store."""
        return OutStore(self.url)

    def pull(self) -> None:
        """Make the mirror what the store is: a file whose object is missing was never published, and goes.

        Raises:
            OutError: the store cannot be reached or refuses.
        """
        store = OutStore(self.url, waits=())
        self.there = self._known(store)
        for name in self._here() - self.there.keys():
            (self.folder / name).unlink()
        differing = [name for name, state in self.there.items() if file_state(self.folder / name) != state]
        for folder in {(self.folder / name).parent for name in differing}:
            folder.mkdir(parents=True, exist_ok=True)
        small = [name for name in differing if not name.endswith(".tar")]
        for name in set(differing).difference(small):
            hollow(self.folder / name, *self.there[name])
        if small:
            store.get(small, self.folder)
        for name in small:
            size, mtime = self.there[name]
            os.utime(self.folder / name, ns=(mtime, mtime))
            if file_state(self.folder / name)[0] != size:
                raise OutError(f"--out {self.url}: {name} changes while it is read; wait for the other writer")

    def push(self, run: str, names: Sequence[str]) -> None:
        """Put those of these small files that differ from their objects.

        Raises:
            OutError: it cannot be done, or OUT is no longer ours.
        """
        changed = [name for name in names if file_state(self.folder / name) not in ((-1, 0), self.there.get(name))]
        if changed:
            check_held(self.store, run)
            self.there |= send(self.store, self.folder, changed)

    def finish(self, run: str, built: bool) -> None:
        """Put what is left when all groups are published: notes of unchanged groups, rejects, then the catalog.

        Raises:
            OutError: as `push`, or another writer was at work.
        """
        self.there = self._known(self.store) if built else self.there
        for name, state in self.there.items():
            if SHARD.fullmatch(name) and file_state(self.folder / name) != state:
                raise OutError(f"--out {self.url}: {name} was changed by another writer; run the same command again")
        self.push(run, sorted(name for name in self._here() if name.startswith(NOTES)))
        self.push(run, [REJECTS])
        self.push(run, [CATALOG])

    def delete(self, run: str, paths: Sequence[Path]) -> None:
        """Delete the objects of files of the mirror, in this order."""
        if paths:
            check_held(self.store, run)
        for path in paths:
            name = path.relative_to(self.folder).as_posix()
            self.store.delete(name)
            self.there.pop(name, None)

    def keep_log(self, run: str) -> None:
        """Put the log of the run, and what lies beside it."""
        for path in sorted((self.folder / "runs" / run).iterdir()):
            if path.is_file():
                self.store.put(f"runs/{run}/{path.name}", path)

    def _known(self, store: OutStore) -> dict[str, tuple[int, int]]:
        """The objects that belong to a data set; logs and whatever else lies there is left alone."""
        return {name: state for name, state in store.list().items() if _belongs(name)}

    def _here(self) -> set[str]:
        """The files of the mirror that belong to a data set."""
        folders = [entry.name for entry in os.scandir(self.folder) if entry.is_dir() and entry.name != "runs"]
        found = set(os.listdir(self.folder))
        for folder in (*folders, NOTES):
            with suppress(FileNotFoundError):
                found |= {f"{folder}/{name}" for name in os.listdir(self.folder / folder)}
        return {name for name in found if _belongs(name)}


def _belongs(name: str) -> bool:
    kinds = (NOTE,) if name.startswith("runs/") else (SHARD, ASSET)
    return name in (CATALOG, REJECTS) or any(kind.fullmatch(name) for kind in kinds)


@contextmanager
def open_out(settings: RunSettings, run: str, *, write: bool = True) -> Iterator[Mirror | None]:
    """Bring the mirror of an OUT on an object store up to date and hold both; nothing where OUT is a local folder.

    Args:
        settings: of the run.
        run: the run's id.
        write: False to look only; OUT may then change meanwhile.

    Raises:
        UsageError: no library here knows such URLs, or `--part`.
        TesseraError: the store cannot be reached or refuses, or another run is at work.
    """
    url = out_url(settings.out)
    if url is None:
        yield None
        return
    if settings.part is not None:
        raise UsageError(f"--part writes to a folder that all parts see, and --out {url} is none: use --ray-address")
    open_remote(url)
    mirror = Mirror(url, mirror_folder(url))
    with ExitStack() as stack:
        stack.enter_context(_alone(mirror))
        if write:
            stack.enter_context(hold_store(url, run))
        with lock_finish(mirror.folder):  # a worker that has outlived its run may be about to publish a group
            mirror.pull()
        yield mirror


@contextmanager
def _alone(mirror: Mirror) -> Iterator[None]:
    """Keep two runs of this machine apart, and make the mirror's folder."""
    folder = mirror.folder
    try:
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        lock = folder.with_name(f"{folder.name}.lock").open("a")
    except OSError as error:
        raise TesseraError(
            f"--out {mirror.url}: its mirror {folder} cannot be made ({error.strerror}); TESSERA_CACHE names a folder "
            "for it"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TesseraError(f"--out {mirror.url}: another run on this machine is at work; wait for it") from error
        yield
