"""Fields that another service names in its words, to fields as the caller wrote them."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from aif_contracts.orders import FieldMistake


def renamed(mistakes: Sequence[FieldMistake], words: Mapping[str, str]) -> tuple[FieldMistake, ...]:
    """What stands before the first dot is said in the caller's words."""
    return tuple(_renamed(mistake, words) for mistake in mistakes)


def _renamed(mistake: FieldMistake, words: Mapping[str, str]) -> FieldMistake:
    first, dot, rest = mistake.field.partition(".")
    return replace(mistake, field=f"{words.get(first, first)}{dot}{rest}")
