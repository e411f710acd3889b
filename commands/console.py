"""Where verbs print tables."""

from rich.console import Console

PIPED_WIDTH = 160


class _Console(Console):
    """A console for which a reader that goes away is no failure (Rich's own exits with status 1)."""

    def on_broken_pipe(self) -> None:
        """Leave it to the command line."""
        raise BrokenPipeError


def table_console() -> Console:
    """Standard output; wide where it is a file or a pipe, so that no column is cut.

    Texts come from data sets and raw files, so that square brackets in them are no markup.
    """
    console = _Console(markup=False)
    return console if console.is_terminal else _Console(markup=False, width=PIPED_WIDTH)


def progress_console() -> Console:
    """Standard error, for progress and notes."""
    return Console(stderr=True, markup=False)
