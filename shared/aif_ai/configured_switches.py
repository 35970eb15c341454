"""What an operator and a client switch at run time, as the door asks for it.

For one action of a worker: the operator's word for the action goes first, then the client's preferred models, then the
operator's word for all actions. Where either of them wants no fallback there is none.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from aif_ai.configuration import Configurations
from aif_ai.configuration_complaints import Complaints
from aif_ai.configuration_entries import ConfigurationEntries
from aif_ai.model_switches import Switches
from aif_contracts.configuration import (
    ENABLE_FALLBACK,
    FALLBACK_MODEL,
    PRICES,
    PRIMARY_MODEL,
    SYSTEM,
    AiSettings,
    ConfigurationEntry,
    ModelName,
    RequestsPerMinute,
    agent_key,
    requests_per_minute_key,
)
from aif_contracts.packets import Context
from aif_prices.book import PriceBook
from aif_prices.failures import PriceFailure
from aif_prices.overrides import PriceOverrides, read_overrides

T = TypeVar("T")


class _Said(Struct, frozen=True, kw_only=True):
    """The operator's word, for one action or for all."""

    primary: str | UnsetType
    fallback: str | UnsetType | None
    """None: there shall be none."""
    enable: bool | UnsetType


class ConfiguredSwitches:
    """Implements `ModelSwitches`."""

    def __init__(
        self,
        *,
        entries: ConfigurationEntries,
        configurations: Configurations,
        complaints: Complaints,
        price_book: Callable[[PriceOverrides], PriceBook],
    ) -> None:
        """`price_book` is the process's own with an operator's prices before it; it raises PriceFailure."""
        self._entries = entries
        self._configurations = configurations
        self._complaints = complaints
        self._price_book = price_book
        self._priced_by: ConfigurationEntry | None = None
        self._prices: PriceBook | None = None

    async def switches(self, action: str, context: Context) -> Switches:
        settings = await self._configurations.ai_settings(context.client_id)
        own, general = self._operators_words(action)
        return Switches(
            primary_model=_first(own.primary, _preferred(settings, 0), general.primary),
            fallback_model=_first(own.fallback, _preferred(settings, 1), general.fallback),
            enable_fallback=_is_enabled(own, general, settings),
        )

    def named_by_operator(self, action: str) -> tuple[str, ...]:
        said = (word for each in self._operators_words(action) for word in (each.primary, each.fallback))
        return tuple(word for word in said if isinstance(word, str))

    def not_to_be_had(self, action: str, model: str) -> None:
        own = (agent_key(action, "primary_model"), agent_key(action, "fallback_model"))
        for key in (*own, PRIMARY_MODEL, FALLBACK_MODEL):
            if self._values().get(key) == model:
                reason = f"{model} is offered by no provider of this worker, or has no price there: other models serve"
                self._complaints.note(SYSTEM, self._entries.system.revision, key, reason)

    def requests_per_minute(self, provider: str) -> int | None:
        limit: int | UnsetType = self._value(requests_per_minute_key(provider), RequestsPerMinute)
        return None if limit is UNSET else limit

    def prices(self) -> PriceBook | None:
        entry = self._entries.system
        if entry is not self._priced_by:
            self._prices = self._book(entry)
            self._priced_by = entry
        return self._prices

    def _book(self, entry: ConfigurationEntry) -> PriceBook | None:
        document = self._values().get(PRICES)
        if document is None:
            return None
        try:
            return self._price_book(read_overrides(msgspec.json.encode(document)))
        except PriceFailure as wrong:
            self._complaints.note(SYSTEM, entry.revision, PRICES, str(wrong))
            return None

    def _operators_words(self, action: str) -> tuple[_Said, _Said]:
        """For the action, and for all."""
        own = self._said(*(agent_key(action, switch) for switch in ("primary_model", "fallback_model", "enable_fallback")))
        return own, self._said(PRIMARY_MODEL, FALLBACK_MODEL, ENABLE_FALLBACK)

    def _said(self, primary: str, fallback: str, enable: str) -> _Said:
        return _Said(
            primary=self._value(primary, ModelName),
            fallback=self._value(fallback, ModelName | None),
            enable=self._value(enable, bool),
        )

    def _value(self, key: str, kind: Any) -> Any:
        """UNSET where the key is not set, or holds what cannot be used."""
        values = self._values()
        if key not in values:
            return UNSET
        try:
            return msgspec.convert(values[key], kind)
        except msgspec.ValidationError as wrong:
            self._complaints.note(SYSTEM, self._entries.system.revision, key, str(wrong))
            return UNSET

    def _values(self) -> dict[str, Any]:
        entry = self._entries.system
        if entry.content is None:
            return {}
        values = entry.content.get("values") if isinstance(entry.content, dict) else None
        if isinstance(values, dict):
            return values
        self._complaints.note(SYSTEM, entry.revision, "values", "is no object")
        return {}


def _preferred(settings: AiSettings, place: int) -> str | UnsetType:
    return settings.preferred_models[place] if len(settings.preferred_models) > place else UNSET


def _first(*said: str | UnsetType | None) -> str | None:
    """The first word that there is."""
    return next((word for word in said if word is not UNSET), None)


def _is_enabled(own: _Said, general: _Said, settings: AiSettings) -> bool | None:
    removed = (general.fallback if own.fallback is UNSET else own.fallback) is None
    if removed or settings.enable_fallback is False:
        return False
    said = general.enable if own.enable is UNSET else own.enable
    return None if said is UNSET else said
