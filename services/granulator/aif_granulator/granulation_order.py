"""What an order for a structure says: the stage's input, checked."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from aif_ai.requests import StructureKind
from aif_contracts.blobs import BlobRef
from aif_contracts.research import Research
from aif_contracts.structures import Course, KeyPoint
from aif_runtime.assignment import WorkFailure

_DEFAULT_QUESTIONS = 10
_WHOLE_OUTPUTS = {"course": "course", "research": "context"}
"""The field for an earlier stage's output that is handed over as the whole input, by its structure_type."""


class GranulationOrder(Struct, frozen=True, kw_only=True, rename="camel"):
    topic: Annotated[str, Meta(min_length=1, max_length=2_000)] | None = None
    source: BlobRef | None = None
    """A SourceDocument as JSON."""
    course: Course | None = None
    """Made by an earlier stage; the structure is then made of it, and `source` only proves what it says."""
    context: Research | tuple[KeyPoint, ...] | None = None
    """Found by an earlier stage."""
    granularity_level: Annotated[int, Meta(ge=1, le=5)] = 3
    target_audience: Annotated[str, Meta(min_length=1, max_length=500)] = "general audience"
    validation_enabled: bool = True
    validation_level: Annotated[int, Meta(ge=1, le=3)] = 2
    """1 the schema, 2 also the rules of the structure, 3 also that the source proves it."""
    structure_type: str | None = None
    question_count: Annotated[int, Meta(ge=1, le=100)] = _DEFAULT_QUESTIONS

    @property
    def effective_level(self) -> int:
        """The schema is always checked: nothing could be delivered otherwise."""
        return self.validation_level if self.validation_enabled else 1


def read_order(fields: Mapping[str, Any], kind: StructureKind) -> GranulationOrder:
    """The order in a stage's input. Raises WorkFailure `invalid_input` that names the field and the mend."""
    # A template passes every optional parameter on, and one that was not given arrives as null.
    given = {name: value for name, value in fields.items() if value is not None}
    whole = _WHOLE_OUTPUTS.get(str(given.get("structure_type")))
    if whole is not None:
        given = {whole: given}
    try:
        order = msgspec.convert(given, GranulationOrder)
    except msgspec.ValidationError as wrong:
        raise WorkFailure("invalid_input", f"the stage's input does not fit: {wrong}", retryable=False) from wrong
    if order.structure_type not in (None, kind.value):
        raise WorkFailure(
            "invalid_input",
            f"structureType is {order.structure_type!r}, but this action makes a {kind.value}: order the matching action",
            retryable=False,
        )
    if order.source is None and not order.course and not order.context and not (order.topic or "").strip():
        raise WorkFailure(
            "invalid_input",
            "neither topic nor source is given, nor the course or context of an earlier stage: give at least one of them",
            retryable=False,
        )
    return order
