"""The keys of the factory's own configuration, and what each may hold."""

import difflib
import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from aif_contracts.configuration import (
    ACTION_SWITCHES,
    ENABLE_FALLBACK,
    FALLBACK_MODEL,
    PRICES,
    PRIMARY_MODEL,
    ModelName,
    RequestsPerMinute,
)
from aif_contracts.orders import FieldMistake
from aif_kam.failures import InvalidInput, NotFound
from aif_prices.failures import OverridesInvalid
from aif_prices.overrides import read_overrides

MOST_PRICE_BYTES = 256 * 1024
_AGENT = re.compile(r"agent\.[a-z][a-z0-9_]{0,63}\.(?P<switch>[a-z_]+)")
_RATE = re.compile(r"provider_requests_per_minute\.[a-z][a-z0-9_]{0,63}")


class SystemKey(Struct, frozen=True, kw_only=True):
    name: str
    description: str
    check: Callable[[Any], None]
    """Raises InvalidInput for what the key cannot hold."""


def system_key(name: str) -> SystemKey:
    """Raises NotFound for what is no key."""
    if name in _PLAIN:
        return _PLAIN[name]
    agent = _AGENT.fullmatch(name)
    if agent is not None and agent["switch"] in _SWITCHES:
        general = _SWITCHES[agent["switch"]]
        return SystemKey(name=name, description=f"For this action alone: {general.description}", check=general.check)
    if _RATE.fullmatch(name) is not None:
        return SystemKey(name=name, description="Requests that a process sends to the provider in a minute", check=_rate)
    near = difflib.get_close_matches(name, _PLAIN, 1)
    known = f"did you mean {near[0]}?" if near else "known are " + ", ".join((*_PLAIN, *_PATTERNS))
    raise NotFound(f"{name[:100]!r} is no key of the configuration: {known}", code="unknown_configuration_key")


def plain_keys() -> tuple[SystemKey, ...]:
    """Those that need no name of an action or a provider."""
    return tuple(_PLAIN.values())


def _typed(kind: Any, mend: str) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as wrong:
            raise _invalid("value", f"cannot be used: {wrong}", mend) from wrong

    return check


def _prices(value: Any) -> None:
    document = msgspec.json.encode(value)
    if len(document) > MOST_PRICE_BYTES:
        raise _invalid("value", f"has {len(document)} bytes as JSON", f"send at most {MOST_PRICE_BYTES}")
    try:
        read_overrides(document)
    except OverridesInvalid as wrong:
        mistakes = tuple(
            FieldMistake(field=f"value.{mistake.field}", message=mistake.message, mend=mistake.mend)
            for mistake in wrong.mistakes
        )
        raise InvalidInput("the prices cannot be used", mistakes=mistakes) from wrong


def _invalid(field: str, message: str, mend: str) -> InvalidInput:
    return InvalidInput(message, mistakes=(FieldMistake(field=field, message=message, mend=mend),))


_model = _typed(ModelName, "send a model's name, such as gpt-4o-mini")
_model_or_none = _typed(ModelName | None, "send a model's name, such as gpt-4o-mini, or null for no fallback")
_switch = _typed(bool, "send true or false")
_rate = _typed(RequestsPerMinute, "send a whole number from 1 to 1000000")

_PLAIN = {
    key.name: key
    for key in (
        SystemKey(
            name=PRIMARY_MODEL,
            description="Model that is asked first; unset: the first one that the worker is started with",
            check=_model,
        ),
        SystemKey(
            name=FALLBACK_MODEL,
            description="Model that is asked when the first one fails; null: none; unset: the next one that the worker has",
            check=_model_or_none,
        ),
        SystemKey(
            name=ENABLE_FALLBACK,
            description="Whether another model is asked when the first one fails; unset: true",
            check=_switch,
        ),
        SystemKey(
            name=PRICES,
            description="The operator's own prices, which stand before the shipped ones",
            check=_prices,
        ),
    )
}
_SWITCHES = dict(zip(ACTION_SWITCHES, (_PLAIN[PRIMARY_MODEL], _PLAIN[FALLBACK_MODEL], _PLAIN[ENABLE_FALLBACK]), strict=True))
_PATTERNS = (*(f"agent.<action>.{switch}" for switch in ACTION_SWITCHES), "provider_requests_per_minute.<provider>")
