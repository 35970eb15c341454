"""How the makers tell how far they are."""

from collections.abc import Callable

Tell = Callable[[float, str], None]
"""Of the share of the work that is done, 0 to 1, and what is done now. Called in the thread that works."""


def tell_nobody(share: float, doing: str) -> None:
    """For whoever only waits for the end."""
