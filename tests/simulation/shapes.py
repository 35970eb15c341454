"""The pipelines of the simulated factory: one to four stages, in chains and diamonds, with all that a stage can say.

A third of them is plain. The others have rules, added stages and who reads them, compensations, and people to ask.
"""

import random
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from aif_orchestrator.engine.plans import Plans
from aif_pipelines.definition import (
    AddStage,
    Approve,
    Backoff,
    Compensation,
    Fail,
    Output,
    OutputValidation,
    Pipeline,
    Retry,
    RetryStage,
    Rule,
    SkipStage,
    Stage,
)

WORKER = "press"
PAID, FREE = "print", "fold"
STAGE_IDS = ("one", "two", "three", "four")
MOST_SHAPES = 60
HIGHEST_MARK = 9
"""Every output has a mark from 0 to 9 for rules to judge."""


class Shapes:
    """Made once, used by all histories."""

    def __init__(self) -> None:
        chance = random.Random("shapes")
        self.pipelines = tuple(_pipeline(chance, number) for number in range(MOST_SHAPES))
        self.plans = Plans(self.pipelines)
        self._small = tuple(each for each in self.pipelines if _is_one_paid_stage(each))

    def any(self, chance: random.Random) -> Pipeline:
        return self.pipelines[int(chance.random() * MOST_SHAPES)]

    def small(self, chance: random.Random) -> Pipeline:
        """Of one stage that costs money, and nothing else."""
        return chance.choice(self._small)


def parameters_of(chance: random.Random) -> dict[str, Any]:
    """Now and then a text that is too large to ride in a packet."""
    return {"text": "x" * (9_000 if chance.random() < 0.1 else 20), "wanted": chance.random() < 0.6}


def sources_of(template: Any) -> dict[str, list[str]]:
    """Whose output each input field holds: of the first of these stages that has one."""
    return {
        field: [path.strip().split(".")[0] for path in text.strip("{}").split("??")]
        for field, text in template.items()
        if ".made" in text
    }


def _pipeline(chance: random.Random, number: int) -> Pipeline:
    count = 1 + number // 3 % 4
    stages: list[Stage] = []
    for stage_id in STAGE_IDS[:count]:
        stages.append(_stage(chance, stage_id, stages))
    if number % 3:
        stages = _grown(chance, stages)
    return Pipeline(
        name=f"shape_{number}",
        version="1.0.0",
        parameters={"type": "object", "properties": {"text": {"type": "string"}, "wanted": {"type": "boolean"}}},
        stages=tuple(stages),
        outputs=(Output(name="thing", stage=stages[-1].id),),
        timeout_seconds=chance.choice((300.0, 600.0, 1200.0)),
    )


def _stage(chance: random.Random, stage_id: str, before: Sequence[Stage]) -> Stage:
    ids = [stage.id for stage in before]
    parents = sorted(chance.sample(ids, min(len(ids), chance.choice((0, 1, 1, 2, 3)))))
    given: dict[str, Any] = {
        parent: f"{{{{{parent}.made{'?' if chance.random() < 0.6 else ''}}}}}" for parent in parents if chance.random() < 0.9
    }
    if chance.random() < 0.3:
        given["text"] = "{{params.text}}"
    return Stage(
        id=stage_id,
        worker=WORKER,
        action=PAID if chance.random() < 0.7 else FREE,
        depends_on=tuple(parents),
        input=given,
        when=_condition(chance, [stage.id for stage in before if stage.id in parents and _is_sure(stage)]),
        optional=chance.random() < 0.3,
        retry=Retry(max_attempts=chance.choice((1, 2, 3)), backoff=Backoff(initial_ms=chance.choice((0, 500, 5_000)))),
        timeout_seconds=chance.choice((20.0, 60.0)),
        output_validation=OutputValidation(required_fields=("made",)) if chance.random() < 0.5 else None,
    )


def _condition(chance: random.Random, sure_parents: Sequence[str]) -> str | None:
    if chance.random() >= 0.3:
        return None
    return f"{{{{{sure_parents[0]}.quality_score}}}} < 0.7" if sure_parents else "{{params.wanted}}"


def _is_sure(stage: Stage) -> bool:
    """It has an output, or the execution has failed: a condition over it has a value."""
    return not stage.optional and stage.when is None and not stage.depends_on


def _grown(chance: random.Random, plain: Sequence[Stage]) -> list[Stage]:
    """The same stages with rules and compensations, and readers of what the rules add."""
    stages: list[Stage] = []
    for stage in plain:
        adding = next((each.id for each in stages if each.id in stage.depends_on and _adds(each)), None)
        given = stage.input if adding is None else {**stage.input, "best": f"{{{{more_{adding}.made ?? {adding}.made}}}}"}
        after = [other.id for other in plain if stage.id in other.depends_on]
        stages.append(
            replace(stage, input=given, rules=_rules(chance, stage.id, after), compensate=_compensation(chance, stage, 0.5))
        )
    return stages


def _rules(chance: random.Random, stage_id: str, after: Sequence[str]) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    if chance.random() < 0.4:
        judged = chance.choice((f"{stage_id}.quality_score < 0.55", f"{stage_id}.mark < 5", f"{stage_id}.mark < 5"))
        rules.append(RetryStage(condition=judged, max_retries=chance.choice((1, 2))))
    if chance.random() < 0.45:
        often = chance.choice((1, 1, 2))
        rules.append(AddStage(condition=f"{stage_id}.mark > 2", stage=_more(chance, stage_id), max_times=often))
    if after and chance.random() < 0.3:
        rules.append(SkipStage(condition=f"{stage_id}.mark > 6", stage=chance.choice(after)))
    if chance.random() < 0.2:
        rules.append(Fail(condition=f"{stage_id}.mark == {HIGHEST_MARK}", message="Too good."))
    if chance.random() < 0.25:
        rules.append(Approve(condition=f"{stage_id}.mark > 5", message="Look at it."))
    chance.shuffle(rules)
    return tuple(rules)


def _more(chance: random.Random, owner: str) -> Stage:
    more = _added(chance, f"more_{owner}", owner)
    rules: list[Rule] = []
    if chance.random() < 0.3:
        rules.append(RetryStage(condition=f"{more.id}.mark < 3"))
    if chance.random() < 0.5:
        deeper = _added(chance, f"deeper_{owner}", more.id)
        rules.append(AddStage(condition=f"{more.id}.mark > 3", stage=deeper, max_times=chance.choice((1, 2))))
    return replace(more, rules=tuple(rules), compensate=_compensation(chance, more, 0.3))


def _added(chance: random.Random, stage_id: str, owner: str) -> Stage:
    return Stage(
        id=stage_id,
        worker=WORKER,
        action=PAID if chance.random() < 0.5 else FREE,
        input={owner: f"{{{{{owner}.made}}}}"},
        optional=chance.random() < 0.4,
        retry=Retry(max_attempts=2, backoff=Backoff(initial_ms=500)),
        timeout_seconds=20.0,
    )


def _compensation(chance: random.Random, stage: Stage, often: float) -> Compensation | None:
    if chance.random() >= often:
        return None
    action = PAID if chance.random() < 0.4 else FREE
    return Compensation(worker=WORKER, action=action, input={stage.id: f"{{{{{stage.id}.made}}}}"})


def _is_one_paid_stage(pipeline: Pipeline) -> bool:
    only, *others = pipeline.stages
    return not others and only.action == PAID and only.when is None and not only.rules and only.compensate is None


def _adds(stage: Stage) -> bool:
    return any(isinstance(rule, AddStage) for rule in stage.rules)
