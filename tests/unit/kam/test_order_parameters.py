"""An order's parameters against its template's schema."""

from typing import Any

import pytest

from aif_contracts.orders import TemplateView
from aif_kam.order_parameters import check_wishes


def template_with(source: dict[str, Any]) -> TemplateView:
    properties = {"source": source, "pages": {"type": "integer"}}
    return TemplateView(
        name="lesson",
        version="1.0.0",
        title="",
        description="",
        structure_type=None,
        parameters={"type": "object", "properties": properties},
        stages=(),
    )


@pytest.mark.parametrize("given", [{"source": "src_1"}, {"source_text": "# Bees"}])
@pytest.mark.parametrize("source", [{"type": "string"}, {"type": "object", "required": ["title"]}])
def test_a_pipeline_whose_source_can_be_no_document_is_named_as_what_is_to_be_mended(
    source: dict[str, Any], given: dict[str, Any]
) -> None:
    wishes = check_wishes(template_with(source), {**given, "pages": "two"}, "parameters")

    assert [mistake.field for mistake in wishes.mistakes] == ["parameters.source", "parameters.pages"]
    assert wishes.mistakes[0].message == ("lesson declares source as something else than a source document, which is an object")
    assert wishes.mistakes[0].mend == "save a version of the pipeline whose parameters declare source as {type: object}"


def test_a_pipeline_whose_source_is_an_object_takes_a_document() -> None:
    assert check_wishes(template_with({"type": "object"}), {"source": "src_1"}, "parameters").mistakes == []
