"""Where commands print."""

from rich.console import Console


def terminal(stderr: bool = False) -> Console:
    """The terminal; a log file or pipe has no width of its own, and in the 80 columns that rich would take the scoreboard's cells break."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=140)
