"""What a pipeline must hold to beyond the language: its workers are there, and it reads nothing that is not kept."""

from collections.abc import Iterator

from aif_contracts.orders import FieldMistake
from aif_orchestrator.execution.assignee import CAPABILITY_WORKER
from aif_pipelines.checks import KnownActions, check_pipeline, examine
from aif_pipelines.definition import Pipeline
from aif_pipelines.mistakes import Mistake, did_you_mean
from aif_pipelines.stage_plan import StagePlan

NO_BUDGETS = "budgets are not kept by this release"
_BUDGET = "budget"


def mistakes_in(pipeline: Pipeline, known_actions: KnownActions | None) -> list[Mistake]:
    """Every mistake; without `known_actions` workers are not looked for."""
    found = examine(pipeline, known_actions)
    mistakes = list(found.mistakes)
    for compiled in found.stages:
        for path, plan in _with_added(compiled.plan, compiled.path):
            mistakes += _budgets_read(plan, path)
            if known_actions is not None:
                mistakes += _capability_missing(plan, path, known_actions)
    return mistakes


def workers_missing(pipeline: Pipeline, known_actions: KnownActions) -> list[Mistake]:
    """What nobody offers now of what a pipeline without other mistakes asks for."""
    assert not check_pipeline(pipeline), "a pipeline with mistakes was to be refused"
    return mistakes_in(pipeline, known_actions)


def as_field_mistake(mistake: Mistake) -> FieldMistake:
    where = "" if mistake.line is None else f" (line {mistake.line}, column {mistake.column})"
    return FieldMistake(field=mistake.path or "document", message=mistake.message + where, mend=mistake.mend)


def _with_added(plan: StagePlan, path: str) -> Iterator[tuple[str, StagePlan]]:
    """The stage and those that its rules add, with their places."""
    yield path, plan
    for index, rule in enumerate(plan.rules):
        if rule.added is not None:
            yield from _with_added(rule.added, f"{path}.rules[{index}].stage")


def _budgets_read(plan: StagePlan, path: str) -> Iterator[Mistake]:
    texts = [(f"{path}.input", plan.input.references)]
    if plan.when is not None:
        texts.append((f"{path}.when", plan.when.references))
    texts += [(f"{path}.rules[{index}].condition", rule.condition.references) for index, rule in enumerate(plan.rules)]
    if plan.compensation is not None:
        texts.append((f"{path}.compensate.input", plan.compensation.references))
    for place, references in texts:
        if any(reference.root == _BUDGET for reference in references):
            yield Mistake(path=place, message=NO_BUDGETS, mend="Leave out what reads budget.")


def _capability_missing(plan: StagePlan, path: str, known_actions: KnownActions) -> Iterator[Mistake]:
    capability = plan.stage.capability
    offered = known_actions.get(CAPABILITY_WORKER, frozenset())
    if capability is not None and capability not in offered:
        mend = did_you_mean(capability, offered, "Start a worker that offers it.")
        yield Mistake(path=f"{path}.capability", message=f"no worker offers {capability}", mend=mend)
