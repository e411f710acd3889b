"""Where verbs print tables."""

from typing import Any

from rich.console import Console
from rich.text import Text

from ..datasets.plain import printable

PIPED_WIDTH = 160


class _Console(Console):
    """A console for strangers' texts, for which a reader that goes away is no failure (Rich's exits with status 1)."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Rich's own, without escapes that the text would send to the terminal."""
        return super().render_str(printable(text, keep="\n"), **options)

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
    return _Console(stderr=True, markup=False)
