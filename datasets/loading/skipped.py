"""Records that a stream skipped because they cannot be read."""

import logging
import threading

from ..errors import TesseraError
from ..plain import printable

LOG = logging.getLogger("tessera.stream")
MOST = 10_000  # remembered by name


class Skipped:
    """Each record that could not be read, with its error; each is logged once."""

    def __init__(self) -> None:
        self._errors: dict[int, str] = {}
        self._times = 0
        self._lock = threading.Lock()

    def add(self, item: int, error: TesseraError) -> None:
        """Note a record that was skipped."""
        with self._lock:
            self._times += 1
            if item in self._errors or len(self._errors) >= MOST:
                return
            self._errors[item] = text = printable(str(error))
        LOG.warning("skipped a record: %s", text)

    @property
    def times(self) -> int:
        """How often a record was skipped, over all epochs of this process."""
        return self._times

    @property
    def errors(self) -> list[str]:
        """One message for each record that was skipped; it names shard and key."""
        with self._lock:
            return list(self._errors.values())

    def __reduce__(self) -> tuple[type["Skipped"], tuple[()]]:
        """A copy in another process counts its own."""
        return Skipped, ()
