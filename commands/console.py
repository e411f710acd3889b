"""Where verbs print tables."""

from rich.console import Console

PIPED_WIDTH = 160


def table_console() -> Console:
    """Standard output; wide where it is a file or a pipe, so that no column is cut."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPED_WIDTH)
