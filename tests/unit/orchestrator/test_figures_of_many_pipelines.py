"""Clients name their pipelines, and no number of names makes the figures grow without end."""

import asyncio

from aif_orchestrator.engine.arrivals import Arrival
from aif_orchestrator.engine.batch import Worked
from aif_orchestrator.engine.figures import MOST_PIPELINES, Figures
from aif_orchestrator.execution.happenings import TimePassed
from aif_runtime.metrics import metrics_page, new_registry
from support.execution_story import Story, pipeline, stage
from support.waiting import eventually


def _ended(name: str) -> Worked:
    story = Story(pipeline(stage("one"), name=name))
    story.completes("one", story.granted("one"), {"made": "tea"})
    worked = Worked("exec_1", None)
    worked.take(Arrival("exec_1", TimePassed(), asyncio.get_running_loop().create_future()), story.execution, story.history)
    worked.execution = story.execution
    return worked


async def test_pipelines_beyond_the_most_that_are_told_by_name_are_counted_together() -> None:
    registry = new_registry(service="orchestrator", version="test")
    figures = Figures(registry)

    figures.count([_ended(f"own_{number}") for number in range(MOST_PIPELINES + 3)])
    figures.count([_ended("own_0")])

    def page() -> str:
        return metrics_page(registry).decode()

    first = 'ai_pipeline_executions_total{pipeline="own_0",status="completed"} 2.0'
    await eventually(lambda: first in page(), what="all are counted")
    assert 'ai_pipeline_executions_total{pipeline="other",status="completed"} 3.0' in page()
    assert 'ai_pipeline_cost_usd_count{pipeline="other"} 3.0' in page()
    assert f'pipeline="own_{MOST_PIPELINES}"' not in page()
