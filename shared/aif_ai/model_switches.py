"""What an operator may change about models while the factory runs: a port, and the answer when nobody has changed anything."""

from typing import Protocol

from msgspec import Struct

from aif_contracts.packets import Context
from aif_prices.book import PriceBook


class Switches(Struct, frozen=True, kw_only=True):
    """How one generation is to choose its models. None leaves a question to the process's settings."""

    primary_model: str | None = None
    fallback_model: str | None = None
    enable_fallback: bool | None = None
    """False keeps to one model, whatever fails."""


class ModelSwitches(Protocol):
    """Asked before every generation, so every answer comes from memory and no question raises: what cannot be read or used
    is None."""

    async def switches(self, action: str, context: Context) -> Switches:
        """What holds for a worker's action and a client: the action's own switches before the general ones."""
        ...

    def named_by_operator(self, action: str) -> tuple[str, ...]:
        """Models that the operator has named for the action: they may be used though no settings list them. What a client
        prefers may not."""
        ...

    def not_to_be_had(self, action: str, model: str) -> None:
        """Hear that nobody here offers a model that the operator has named for the action, so that others serve. Again is
        harmless."""
        ...

    def requests_per_minute(self, provider: str) -> int | None: ...

    def prices(self) -> PriceBook | None:
        """The price book with the operator's overrides; None for the one that the door was opened with."""
        ...


class UnchangedSwitches:
    """Nothing is configured at run time: the settings hold."""

    async def switches(self, action: str, context: Context) -> Switches:
        return Switches()

    def named_by_operator(self, action: str) -> tuple[str, ...]:
        return ()

    def not_to_be_had(self, action: str, model: str) -> None:
        """Nobody has named one."""

    def requests_per_minute(self, provider: str) -> int | None:
        return None

    def prices(self) -> PriceBook | None:
        return None
