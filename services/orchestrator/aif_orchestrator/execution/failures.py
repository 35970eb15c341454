"""What the core refuses."""


class IllegalHappening(Exception):
    """Something happened that the table does not list for the state it met: a mistake in this code, not in its input."""

    def __init__(self, status: str, happening: str) -> None:
        super().__init__(f"{happening} is not listed for a stage that is {status}")
        self.status = status
        self.happening = happening
