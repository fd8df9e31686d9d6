"""Where commands print."""

from rich.console import Console


def plain_console() -> Console:
    """Prints text as it is: no markup, no colours and no line breaks of its own."""
    return Console(markup=False, highlight=False, soft_wrap=True)
