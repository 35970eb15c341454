"""Why a file could not be read as a source document."""

MAX_CHARACTERS = 5_000_000
"""Of a document's text."""


class Unreadable(Exception):
    """A file that gives no source document.

    `code` is stable and snake_case; `message` says what was found, `mend` what the sender can do about it.
    """

    def __init__(self, code: str, message: str, mend: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.mend = mend


def too_long() -> Unreadable:
    return Unreadable(
        "source_too_long",
        f"the document holds more than {MAX_CHARACTERS:,} characters of text",
        "split the document and order each part on its own",
    )
