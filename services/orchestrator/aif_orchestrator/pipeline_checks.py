"""What a pipeline must hold to beyond the language, here and now: somebody does what its stages ask for."""

from collections.abc import Iterator

from aif_contracts.orders import FieldMistake
from aif_orchestrator.execution.assignee import CAPABILITY_WORKER
from aif_pipelines.checks import KnownActions, examine
from aif_pipelines.definition import Pipeline
from aif_pipelines.mistakes import Mistake, did_you_mean
from aif_pipelines.stage_plan import StagePlan

_SENT_CHARACTERS = 600
"""Of a text in a refusal: all of a hundred mistakes have to fit into one message."""


def mistakes_in(pipeline: Pipeline, known_actions: KnownActions | None) -> list[Mistake]:
    """Every mistake; without `known_actions` workers are not looked for."""
    found = examine(pipeline, known_actions)
    mistakes = list(found.mistakes)
    if known_actions is not None:
        for compiled in found.stages:
            for path, plan in _with_added(compiled.plan, compiled.path):
                mistakes += _capability_missing(plan, path, known_actions)
    return mistakes


def as_field_mistake(mistake: Mistake) -> FieldMistake:
    where = "" if mistake.line is None else f" (line {mistake.line}, column {mistake.column})"
    return FieldMistake(
        field=sendable(mistake.path or "document"),
        message=sendable(mistake.message + where),
        mend=sendable(mistake.mend),
    )


def sendable(text: str) -> str:
    """The text without what a message may not hold: a mistake can quote the very characters that are the mistake, and many."""
    short = text if len(text) <= _SENT_CHARACTERS else f"{text[: _SENT_CHARACTERS - 1]}…"
    return short.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def _with_added(plan: StagePlan, path: str) -> Iterator[tuple[str, StagePlan]]:
    """The stage and those that its rules add, with their places."""
    yield path, plan
    for index, rule in enumerate(plan.rules):
        if rule.added is not None:
            yield from _with_added(rule.added, f"{path}.rules[{index}].stage")


def _capability_missing(plan: StagePlan, path: str, known_actions: KnownActions) -> Iterator[Mistake]:
    capability = plan.stage.capability
    offered = known_actions.get(CAPABILITY_WORKER, frozenset())
    if capability is not None and capability not in offered:
        mend = did_you_mean(capability, offered, "Start a worker that offers it.")
        yield Mistake(path=f"{path}.capability", message=f"no worker offers {capability}", mend=mend)
