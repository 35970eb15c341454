"""Attempts that are handed out anew because their worker fell silent, as operators count them."""

import asyncio
from collections.abc import Sequence

from aif_orchestrator.engine.arrivals import Arrival
from aif_orchestrator.engine.batch import Worked
from aif_orchestrator.engine.figures import Figures
from aif_orchestrator.execution.commands import Command
from aif_orchestrator.execution.happenings import TimePassed
from aif_runtime.metrics import metrics_page, new_registry
from support.execution_story import Story, pipeline, stage
from support.waiting import eventually

LOST = 'aif_attempts_handed_out_anew_total{silence="worker_lost",worker="maker"}'
NOT_BEGUN = 'aif_attempts_handed_out_anew_total{silence="not_begun",worker="maker"}'


def _worked(story: Story, commands: Sequence[Command]) -> Worked:
    worked = Worked("exec_1", None)
    arrival = Arrival("exec_1", TimePassed(), asyncio.get_running_loop().create_future())
    worked.take(arrival, story.execution, commands)
    return worked


async def test_attempts_that_were_lost_and_such_as_had_not_begun_are_counted_apart_and_failed_ones_not_at_all() -> None:
    story, registry = Story(pipeline(stage("one"))), new_registry(service="orchestrator", version="test")
    story.fails("one", story.granted("one"), retry_after_ms=0)
    story.wakes()
    for is_waiting in (False, False, True, True, True):
        story.progress("one", story.granted("one"), 0, is_waiting=is_waiting)
        story.falls_silent("one")

    Figures(registry).count([_worked(story, story.history)])

    await eventually(lambda: f"{LOST} 2.0" in metrics_page(registry).decode(), what="what was lost is counted")
    assert f"{NOT_BEGUN} 3.0" in metrics_page(registry).decode()


async def test_an_attempt_that_is_lost_and_followed_by_none_was_not_handed_out_anew() -> None:
    story, registry = Story(pipeline(stage("one"))), new_registry(service="orchestrator", version="test")
    while not story.execution.is_final:
        story.progress("one", story.granted("one"), 0)
        story.falls_silent("one")
    losses = len(story.attempts())

    Figures(registry).count([_worked(story, story.history)])

    await eventually(lambda: f"{LOST} " in metrics_page(registry).decode(), what="what was lost is counted")
    assert f"{LOST} {losses - 1}.0" in metrics_page(registry).decode()
