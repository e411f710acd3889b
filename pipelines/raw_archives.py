"""Zip archives that stand for folders: `ai_001_001.zip` is read in place as if it were unpacked beside itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from .raw_store import State, Store
from .raw_zip import Archive

ZIP_FOLDERS = ("", "scenes")  # where archives may lie
ENDING = ".zip"


@dataclass(frozen=True)
class Zipped:
    """A store with the folders that its archives stand for; a file of the store goes before a member of its path.

    Only the archive that a path leads into is opened, once in a process as long as it stays what it is.
    """

    base: Store

    def __str__(self) -> str:
        """What the store is called."""
        return str(self.base)

    def archive(self, path: str) -> str | None:
        """The archive that stands for a folder; None where there is none. It is not opened."""
        return next((name for name, _, inner in self._archives(path) if "/" not in inner), None)

    def locate(self, path: str) -> str:
        """As the store's."""
        return self.base.locate(path)

    def state(self, path: str) -> State | None:
        """State of a file, folder or member; a member has the modification time of its archive.

        Raises:
            ArchiveError: an archive that the path leads into is damaged or hostile.
        """
        found = self.base.state(path)
        if found is not None:
            return found
        for name, whole, inner in self._archives(path):
            size = -1 if "/" not in inner else self._open(name, whole).size(inner)
            if size is not None:
                return State(max(size, 0), whole.mtime_ns, "folder" if size < 0 else "file")
        return None

    def entries(self, folder: str) -> Mapping[str, bool]:
        """Names in a folder, and whether each is a folder.

        Raises:
            ArchiveError: as `state`.
        """
        found = dict(self.base.entries(folder))
        for name, whole, inner in self._archives(folder):
            found = {**self._open(name, whole).entries(inner), **found}
        if folder in ZIP_FOLDERS:
            for name in [name for name, is_folder in found.items() if name.endswith(ENDING) and not is_folder]:
                found.setdefault(name.removesuffix(ENDING), True)
        return found

    def read(self, path: str) -> bytes:
        """Content of a file or member.

        Raises:
            FileNotFoundError: there is none.
            RawDataError, OSError: it cannot be read.
        """
        if self.base.state(path) is not None:
            return self.base.read(path)
        for name, whole, inner in self._archives(path):
            archive = self._open(name, whole)
            if archive.size(inner) is not None:
                return archive.read(inner)
        raise FileNotFoundError(path)

    def _archives(self, path: str) -> Iterator[tuple[str, State, str]]:
        """Path and state of each archive that may hold a path, and the path within it."""
        for place in ZIP_FOLDERS:
            inner = path.removeprefix(f"{place}/") if place else path
            if inner and (not place or inner != path):
                name = f"{path[: len(path) - len(inner)]}{inner.split('/', 1)[0]}{ENDING}"
                whole = self.base.state(name)
                if whole is not None and whole.kind == "file":
                    yield name, whole, inner

    def _open(self, name: str, whole: State) -> Archive:
        return _archive(self.base, name, whole)


@lru_cache(maxsize=16)
def _archive(store: Store, name: str, whole: State) -> Archive:
    """An archive as it is now; one that has changed has another state."""
    root = name.rpartition("/")[2].removesuffix(ENDING)
    return Archive(name, whole.size, partial(store.read, name), root)
