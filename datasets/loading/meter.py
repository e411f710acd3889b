"""What the threads of a stream did: seconds and bytes by field."""

import threading


class Meter:
    """Sums of seconds and bytes by name, of all threads; how many there have been does not matter."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, name: str, seconds: float, size: int = 0) -> None:
        """Add seconds and bytes to `name`."""
        with self._lock:
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds
            self._sizes[name] = self._sizes.get(name, 0) + size

    def seconds(self) -> dict[str, float]:
        """Seconds by name."""
        with self._lock:
            return dict(self._seconds)

    def sizes(self) -> dict[str, int]:
        """Bytes by name."""
        with self._lock:
            return dict(self._sizes)
