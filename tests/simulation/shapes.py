"""The pipelines of the simulated factory: one to four stages, in chains and diamonds, with all that a stage can say."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from aif_orchestrator.engine.plans import Plans
from aif_pipelines.definition import Backoff, Output, OutputValidation, Pipeline, Retry, Stage

WORKER = "press"
PAID, FREE = "print", "fold"
STAGE_IDS = ("one", "two", "three", "four")
MOST_SHAPES = 48


class Shapes:
    """Made once, used by all histories."""

    def __init__(self) -> None:
        chance = random.Random("shapes")
        self.pipelines = tuple(_pipeline(chance, number) for number in range(MOST_SHAPES))
        self.plans = Plans(self.pipelines)

    def any(self, chance: random.Random) -> Pipeline:
        return self.pipelines[int(chance.random() * MOST_SHAPES)]


def parameters_of(chance: random.Random) -> dict[str, Any]:
    """Now and then a text that is too large to ride in a packet."""
    return {"text": "x" * (9_000 if chance.random() < 0.1 else 20), "wanted": chance.random() < 0.6}


def parents_of(stage: Stage) -> Mapping[str, str]:
    """Which stage's output each input field of the name holds."""
    return {name: name for name in stage.input if name in STAGE_IDS}


def _pipeline(chance: random.Random, number: int) -> Pipeline:
    count = 1 + number % 4
    stages: list[Stage] = []
    for stage_id in STAGE_IDS[:count]:
        stages.append(_stage(chance, stage_id, stages))
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
