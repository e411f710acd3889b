"""Records that cannot be given: which slots of a batch they are in, and why."""

from ..errors import StoreError, TesseraError


class Faults:
    """What went wrong with the records of one batch: slot to its first error."""

    def __init__(self) -> None:
        self.slots: dict[int, TesseraError] = {}

    def add(self, slot: int, error: TesseraError) -> None:
        """Note the error of a slot; the first one stays.

        Raises:
            StoreError: it is one. A store that is down is no record's fault, and to ask it for all others of the batch
                would take minutes.
        """
        if isinstance(error, StoreError):
            raise error
        self.slots.setdefault(slot, error)

    def __bool__(self) -> bool:
        """Whether anything went wrong."""
        return bool(self.slots)
