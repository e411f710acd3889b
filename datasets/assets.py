"""Files that all records of a data set share, such as the faces of a body: checked against the catalog, loaded once."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .catalog import CATALOG, Catalog
from .entries import ShardEntry
from .errors import FormatError, UsageError
from .loading.files import Files
from .numpy_files import npy_array, npz_members
from .regular import regular

MOST = 256 << 20  # bytes of an asset
Wanted = Mapping[str, tuple[str, tuple[int | None, ...]]]  # array to its dtype and shape, None for any length
Loads = Callable[[str, Wanted, str], dict[str, NDArray[Any]]]  # what a Stream gives to a transform: `Assets` below


class Assets:
    """Arrays of a data set's assets, by the files' names; each file is read and its checksum compared once.

    Args:
        catalog: the data set's catalog.
        files: where its bytes come from.
    """

    def __init__(self, catalog: Catalog, files: Files) -> None:
        self._catalog, self._files = catalog, files
        self._data: dict[str, bytes] = {}

    def __call__(self, name: str, wanted: Wanted, option: str) -> dict[str, NDArray[Any]]:
        """Arrays of an uncompressed `.npz`.

        Args:
            name: path in the data set's folder, `assets/body.npz`.
            wanted: arrays to their dtypes and shapes.
            option: what makes the recipe write such a file, for messages: `--body-models`.

        Returns:
            The arrays, read-only: threads share them.

        Raises:
            UsageError: the data set has no such asset.
            FormatError: it is missing, not the file that the catalog lists, or holds something else; no more memory was
                taken than the file has bytes.
        """
        if name not in self._catalog.assets:
            known = ", ".join(self._catalog.assets) or "none"
            raise UsageError(f"{self._catalog.name}: has no {name} (assets: {known}); build it with {option}")
        if name not in self._data:
            self._data[name] = self.content(name)
        try:
            members = npz_members(self._data[name], [*wanted])
            lacking = ", ".join(array for array in wanted if array not in members)
            if lacking:
                raise FormatError(f"there is no {lacking} in it; was it written by an older version?")
            found = {
                array: npy_array(memoryview(members[array]), np.dtype(dtype), shape)
                for array, (dtype, shape) in wanted.items()
            }
        except FormatError as error:
            raise FormatError(f"{self._catalog.name}: {name}: {error}") from error
        for array in found.values():
            array.flags.writeable = False
        return found

    def content(self, name: str) -> bytes:
        """A file as it is, its checksum compared.

        Raises:
            FormatError: it is missing, or not the file that the catalog lists.
        """
        sha256 = self._catalog.assets[name]
        # stores and caches know a small file by its path and checksum, and call it an index
        path = self._files.index(ShardEntry("", "", 0, 0, name, sha256, None, 0, "", 0, ()))
        try:
            data = regular(path, MOST).read_bytes()
        except OSError as error:
            raise FormatError(f"{path}: cannot be read ({error}); run `tessera verify`") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise FormatError(f"{path}: damaged, or not the file that {CATALOG} lists; run `tessera verify`")
        return data
