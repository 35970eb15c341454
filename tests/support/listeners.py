"""Those who hear of a provider's call while it is made."""


class Unheard:
    """Nobody reads along."""

    async def __call__(self, piece: str) -> None:
        pass

    async def comes_on(self, share: float, doing: str) -> None:
        pass


class Notes(Unheard):
    """Remembers how the work came on."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    async def comes_on(self, share: float, doing: str) -> None:
        self.shares.append(share)
