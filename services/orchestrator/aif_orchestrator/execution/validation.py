"""Whether a stage's output is what its definition asks for."""

from typing import Any

import jsonschema_rs

from aif_pipelines.plan import StagePlan

MISTAKES_TOLD = 5


def output_mistakes(plan: StagePlan, value: Any, quality_score: float | None) -> list[str]:
    """What is wrong with an output, in words; empty when it is as it should be."""
    wanted = plan.stage.output_validation
    if wanted is None:
        return []
    mistakes = []
    if wanted.required_fields:
        if isinstance(value, dict):
            mistakes += [
                f"the output has no {name}" for name in wanted.required_fields if value.get(name) in (None, "", [], {})
            ]
        else:
            mistakes.append("the output is no JSON object, so it has none of the required fields")
    if wanted.min_quality_score is not None:
        if quality_score is None:
            mistakes.append(f"no quality score was reported; at least {wanted.min_quality_score:g} is asked for")
        elif quality_score < wanted.min_quality_score:
            mistakes.append(f"the quality score is {quality_score:g}; at least {wanted.min_quality_score:g} is asked for")
    if wanted.schema is not None:
        errors = list(jsonschema_rs.validator_for(wanted.schema).iter_errors(value))
        mistakes += [
            f"{'.'.join(map(str, error.instance_path)) or 'the output'}: {error.message}" for error in errors[:MISTAKES_TOLD]
        ]
    return mistakes
