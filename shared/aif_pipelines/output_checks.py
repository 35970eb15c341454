"""Whether what a stage gave is what its definition asks for."""

from itertools import islice
from typing import Any

import jsonschema_rs

from aif_pipelines.definition import OutputValidation
from aif_pipelines.mistakes import MOST_MISTAKES, Mistake
from aif_pipelines.schema_words import value_mistakes
from aif_pipelines.schemas import compile_schema, schema_mistakes


class OutputCheck:
    """A compiled `output_validation`."""

    __slots__ = ("_validation", "_validator")

    def __init__(self, validation: OutputValidation, validator: jsonschema_rs.Draft202012Validator | None) -> None:
        self._validation = validation
        self._validator = validator

    @classmethod
    def compile(cls, validation: OutputValidation, path: str) -> tuple["OutputCheck", list[Mistake]]:
        if validation.schema is None:
            return cls(validation, None), []
        mistakes = schema_mistakes(validation.schema, f"{path}.schema")
        return cls(validation, None if mistakes else compile_schema(validation.schema)), mistakes

    def mistakes(self, output: Any, quality_score: float | None) -> list[Mistake]:
        """What is wrong with the output; empty when it may go on. An unknown quality fails a required one."""
        found = [*self._missing_fields(output), *self._low_quality(quality_score)]
        if self._validator is not None and self._validation.schema is not None:
            found += islice(value_mistakes(self._validator, self._validation.schema, output, "output"), MOST_MISTAKES)
        return found

    def _missing_fields(self, output: Any) -> list[Mistake]:
        return [
            Mistake(
                path=f"output.{name}",
                message=f"the required field {name} is missing or empty",
                mend="The worker must give it a value.",
            )
            for name in self._validation.required_fields
            if not isinstance(output, dict) or output.get(name) in (None, "", [], {})
        ]

    def _low_quality(self, quality_score: float | None) -> list[Mistake]:
        least = self._validation.min_quality_score
        if least is None or (quality_score is not None and quality_score >= least):
            return []
        given = "not given" if quality_score is None else f"{quality_score:g}"
        return [
            Mistake(
                path="quality_score",
                message=f"the quality score is {given}, at least {least:g} is asked for",
                mend="The stage is tried again, or lower min_quality_score.",
            )
        ]
