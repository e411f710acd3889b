"""Errors that a user can cause; every one says what was wrong, where, and what to do."""


class TesseraError(Exception):
    """Base of all errors that are shown as one line instead of a traceback."""


class SchemaError(TesseraError):
    """A record, field, key or name does not keep its schema; the message names the field."""


class FormatError(TesseraError):
    """A data set, shard or index on disk is newer than this code, damaged, or not ours."""


class StoreError(FormatError):
    """A store cannot be reached, or refuses: no fault of the record that was wanted, and the next ones fail, too."""


class RawDataError(TesseraError):
    """A raw file is missing, truncated, or not what its format says."""


class UsageError(TesseraError):
    """An argument or a combination of arguments makes no sense (exit status 2)."""


class StateError(UsageError):
    """A stream cannot go on from a state: it is of another stream."""
