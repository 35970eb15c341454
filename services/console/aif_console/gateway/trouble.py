"""What to say of a call that got no answer."""

import httpx


def words_of(trouble: Exception | None) -> str:
    """httpx itself is silent about time that has run out."""
    if isinstance(trouble, httpx.TimeoutException):
        return "no answer in time"
    return str(trouble) or type(trouble).__name__
