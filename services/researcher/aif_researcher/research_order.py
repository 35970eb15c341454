"""What an order for research says: the stage's input, checked."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from aif_contracts.blobs import BlobRef
from aif_runtime.assignment import WorkFailure


class ResearchOrder(Struct, frozen=True, kw_only=True, rename="camel"):
    topic: Annotated[str, Meta(min_length=1, max_length=2_000)] | None = None
    source: BlobRef | None = None
    """A SourceDocument as JSON."""
    target_audience: Annotated[str, Meta(min_length=1, max_length=500)] = "general audience"
    validation_enabled: bool = True
    validation_level: Annotated[int, Meta(ge=1, le=3)] = 2
    """1 the schema, 2 also that nothing is said twice, 3 also that the source proves it."""

    @property
    def effective_level(self) -> int:
        """The schema is always checked: nothing could be delivered otherwise."""
        return self.validation_level if self.validation_enabled else 1


def read_order(fields: Mapping[str, Any]) -> ResearchOrder:
    """The order in a stage's input. Raises WorkFailure `invalid_input` that names the field and the mend."""
    # A template passes every optional parameter on, and one that was not given arrives as null.
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        order = msgspec.convert(given, ResearchOrder)
    except msgspec.ValidationError as wrong:
        raise WorkFailure("invalid_input", f"the stage's input does not fit: {wrong}", retryable=False) from wrong
    if order.source is None and not (order.topic or "").strip():
        raise WorkFailure("invalid_input", "neither topic nor source is given: give at least one of them", retryable=False)
    return order
