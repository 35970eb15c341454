"""What a pipeline must hold to beyond the language, here and now: somebody does what its stages ask for."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from aif_contracts.orders import FieldMistake
from aif_orchestrator.engine.workforce import Present
from aif_orchestrator.execution.assignee import CAPABILITY_WORKER
from aif_pipelines.checks import KnownActions, examine
from aif_pipelines.definition import Pipeline
from aif_pipelines.mistakes import Mistake, did_you_mean
from aif_pipelines.stage_plan import CompiledStage, StagePlan
from aif_prices.listing import PriceFile
from aif_runtime.redaction import readable

_SERVED_ELSEWHERE = "openai_compatible"
"""How a worker calls a server whose address no price list knows."""
_SENT_CHARACTERS = 600
"""Of a text in a refusal: all of a hundred mistakes have to fit into one message."""


class Offered(Struct, frozen=True, kw_only=True):
    """What the live workers have, and could have."""

    actions: KnownActions
    live_providers: frozenset[str] = frozenset()
    """Of the worker that does what stages ask for by a capability; empty while nobody is there to ask."""
    other_providers: frozenset[str] = frozenset()
    """Those that it has as soon as they are configured."""


def offered_by(present: Present, price_files: Iterable[PriceFile]) -> Offered:
    live = present.providers_of(CAPABILITY_WORKER)
    priced = frozenset({_SERVED_ELSEWHERE, *(price_file.provider for price_file in price_files)})
    return Offered(actions=present.actions(), live_providers=live, other_providers=priced - live)


def mistakes_in(pipeline: Pipeline, offered: Offered | None) -> list[Mistake]:
    """Every mistake; without `offered` workers are not looked for."""
    found = examine(pipeline, None if offered is None else offered.actions)
    return [*found.mistakes, *([] if offered is None else _not_offered(found.stages, offered))]


def notes_on(pipeline: Pipeline, offered: Offered) -> list[Mistake]:
    """What lets a sound pipeline wait, or go another way than it asks for: workers and providers that are not there."""
    found = examine(pipeline, offered.actions)
    return [*found.mistakes, *_not_offered(found.stages, offered), *_absent_providers(found.stages, offered)]


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
    return readable(short)


def _not_offered(stages: Iterable[CompiledStage], offered: Offered) -> Iterator[Mistake]:
    for path, plan in _planned(stages):
        yield from _capability_missing(plan, path, offered.actions)
        yield from _providers_unknown(plan, path, offered)


def _absent_providers(stages: Iterable[CompiledStage], offered: Offered) -> Iterator[Mistake]:
    """Preferred providers that there could be, and that no live worker has: another does the work until one is configured."""
    for path, plan in _planned(stages):
        for place, name in _preferred(plan, path):
            if name in offered.other_providers:
                yield Mistake(path=place, message=f"no live worker has {name} configured", mend="Another one does the work.")


def _planned(stages: Iterable[CompiledStage]) -> Iterator[tuple[str, StagePlan]]:
    for compiled in stages:
        yield from _with_added(compiled.plan, compiled.path)


def _with_added(plan: StagePlan, path: str) -> Iterator[tuple[str, StagePlan]]:
    """The stage and those that its rules add, with their places."""
    yield path, plan
    for index, rule in enumerate(plan.rules):
        if rule.added is not None:
            yield from _with_added(rule.added, f"{path}.rules[{index}].stage")


def _capability_missing(plan: StagePlan, path: str, known_actions: KnownActions) -> Iterator[Mistake]:
    capability = plan.stage.capability
    offered = known_actions.get(CAPABILITY_WORKER, frozenset())
    if capability is None or capability in offered:
        return
    lacks = f"does not offer {capability}" if offered else f"is not running, so nobody offers {capability}"
    message = f"the worker {CAPABILITY_WORKER}, which does what is asked for by a capability, {lacks}"
    mend = did_you_mean(capability, offered, "Start it, or name a worker and its action instead.")
    other = min((worker for worker, actions in known_actions.items() if capability in actions), default=None)
    if other is not None:
        mend = f"Say `worker: {other}` and `action: {capability}` instead."
    yield Mistake(path=f"{path}.capability", message=message, mend=mend)


def _providers_unknown(plan: StagePlan, path: str, offered: Offered) -> Iterator[Mistake]:
    known = offered.live_providers | offered.other_providers
    for place, name in _preferred(plan, path):
        if offered.live_providers and name not in known:
            yield Mistake(path=place, message=f"no provider is called {name}", mend=did_you_mean(name, known, "Leave it out."))


def _preferred(plan: StagePlan, path: str) -> Iterator[tuple[str, str]]:
    for index, name in enumerate(plan.stage.prefer_providers):
        yield f"{path}.prefer_providers[{index}]", name
