"""What a replica remembers of executions, and for how long."""

from msgspec.structs import replace

from aif_orchestrator.engine.remembered import LONGEST_SECONDS, MOST, Remembered
from aif_orchestrator.execution.happenings import CancelAsked
from aif_orchestrator.store.journal import Versioned
from support.execution_story import Story, pipeline, stage
from support.manual_clock import ManualClock


def test_an_execution_that_was_not_seen_for_long_is_forgotten_for_it_may_be_another_one_by_now() -> None:
    clock = ManualClock()
    remembered = Remembered(clock.monotonic)
    seen = Versioned(version=4, execution=Story(pipeline(stage("one"))).execution, wake_at=None)
    remembered.keep(seen)

    clock.advance(LONGEST_SECONDS)
    late = remembered.get("exec_1")
    clock.advance(1)

    assert late is seen
    assert remembered.get("exec_1") is None


def test_an_execution_that_has_ended_is_let_go() -> None:
    story = Story(pipeline(stage("one")))
    remembered = Remembered(ManualClock().monotonic)
    remembered.keep(Versioned(version=1, execution=story.execution, wake_at=None))

    story.happens(CancelAsked(reason="enough"))
    remembered.keep(Versioned(version=2, execution=story.execution, wake_at=None))

    assert remembered.get("exec_1") is None


def test_of_more_than_can_be_remembered_the_one_is_forgotten_that_was_not_seen_for_longest() -> None:
    execution = Story(pipeline(stage("one"))).execution
    seen = [Versioned(version=1, execution=replace(execution, execution_id=f"exec_{n}"), wake_at=None) for n in range(MOST + 1)]
    remembered = Remembered(ManualClock().monotonic)

    for each in (*seen[:MOST], seen[0], seen[MOST]):
        remembered.keep(each)

    assert remembered.get("exec_1") is None
    assert [remembered.get(f"exec_{n}") for n in (0, 2, MOST)] == [seen[0], seen[2], seen[MOST]]
