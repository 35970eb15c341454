"""What an execution's journal holds: its changes alone, and together always the whole execution."""

from collections.abc import Callable

import msgspec

from aif_contracts.metering import Metrics, Tokens
from aif_contracts.orders import ExecutionStatus
from aif_orchestrator.execution.commands import EmitEvent
from aif_orchestrator.execution.happenings import CancelAsked
from aif_orchestrator.store.journal import WHOLE_EVERY, Versioned, entries_of, packed_change, revised, unpacked
from aif_pipelines.definition import AddStage, RetryStage
from support.execution_story import Story, deliverable, pipeline, stage

BETTER = RetryStage(condition="{{first.quality_score}} < 0.7", max_retries=2)
POLISH = AddStage(condition="{{first.element_count}} > 100", stage=stage("polish", input={"what": "{{first.made}}"}))


class Kept:
    """A story's journal, entry by entry."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.stored = Versioned(version=1, execution=story.execution, wake_at=None)
        is_whole, change = packed_change(None, self.stored)
        assert is_whole
        self.wholes: list[bool] = [is_whole]
        self.changes = [change]

    def after(self, act: Callable[[], object]) -> bytes:
        act()
        before = self.stored
        self.stored = Versioned(version=before.version + 1, execution=self.story.execution, wake_at=None)
        is_whole, change = packed_change(before, self.stored)
        self.wholes.append(is_whole)
        self.changes.append(change)
        return change

    def read(self) -> Versioned:
        newest_whole = len(self.wholes) - 1 - self.wholes[::-1].index(True)
        execution = unpacked(self.changes[newest_whole:])
        return Versioned(version=self.stored.version, execution=execution, wake_at=None)


def three_stages(*rules: AddStage | RetryStage) -> Story:
    return Story(
        pipeline(
            stage("first", rules=rules),
            stage("second", depends_on=("first",), input={"text": "{{first.made}}"}),
            stage("third", depends_on=("second",), input={"text": "{{second.made}}"}),
            outputs=(deliverable("third"),),
        ),
        parameters={"topic": "tea " * 200},
    )


def test_the_entries_of_an_execution_make_it_up_after_every_step() -> None:
    story = three_stages()
    kept = Kept(story)

    for stage_id in ("first", "second", "third"):
        kept.after(lambda stage_id=stage_id: story.made(stage_id))  # type: ignore[misc]

        assert kept.read().execution == story.execution
    assert story.execution.status is ExecutionStatus.COMPLETED
    assert kept.wholes == [True, False, False, False]


def test_an_entry_holds_neither_the_parameters_nor_stages_that_have_not_changed() -> None:
    story = three_stages()
    kept = Kept(story)
    kept.after(lambda: story.made("first", {"made": "leaves " * 100}))

    change = kept.after(lambda: story.made("second", {"made": "water"}))

    assert b"tea tea" in kept.changes[0]
    assert b"tea tea" not in change
    assert b"leaves" not in change
    assert b"water" in change


def test_an_entry_holds_nothing_else_that_has_not_changed() -> None:
    story = three_stages()
    kept = Kept(story)

    change = msgspec.msgpack.decode(kept.after(lambda: story.made("first")))

    assert set(change) == {"stages", "sequence", "progress_percent"}
    assert all("spent" not in stage for stage in change["stages"].values())


def test_what_a_stage_has_spent_is_written_without_names() -> None:
    story = three_stages()
    kept = Kept(story)
    spent = Metrics(provider="openai", cost_usd="0.25", tokens_used=Tokens(total_tokens=7))

    change = msgspec.msgpack.decode(kept.after(lambda: story.made("first", metrics=spent)))

    assert change["stages"]["first"]["spent"][:3] == [0, 0, 7]
    assert kept.read().execution == story.execution


def test_what_ends_an_execution_is_in_its_last_entry() -> None:
    story = three_stages()
    kept = Kept(story)

    change = msgspec.msgpack.decode(kept.after(lambda: story.happens(CancelAsked(reason="no more"))))

    assert {"status", "ended_at"} <= set(change)
    assert kept.read().execution == story.execution


def test_a_stage_that_a_rule_adds_stands_in_its_place_when_the_execution_is_read() -> None:
    story = three_stages(POLISH)
    kept = Kept(story)

    kept.after(lambda: story.made("first", elements=200))

    assert list(kept.read().execution.stages) == ["first", "polish", "second", "third"]
    assert kept.read().execution == story.execution


def test_an_execution_that_was_read_goes_on_in_the_same_journal() -> None:
    story = three_stages(BETTER)
    kept = Kept(story)
    kept.after(lambda: story.made("first", quality=0.5))

    kept.stored = kept.read()
    story.execution = kept.stored.execution
    kept.after(lambda: story.made("first", quality=0.9))

    assert kept.wholes == [True, False, False]
    assert kept.read().execution == story.execution


def test_every_so_often_an_entry_is_whole_so_that_few_are_read() -> None:
    story = three_stages()
    kept = Kept(story)
    attempt = story.granted("first")

    for percent in range(1, 70):
        kept.after(lambda percent=percent: story.progress("first", attempt, percent))  # type: ignore[misc]

    assert [number for number, is_whole in enumerate(kept.wholes, 1) if is_whole] == [1, WHOLE_EVERY, 2 * WHOLE_EVERY]
    assert kept.read().execution == story.execution


def test_each_leg_has_a_row_of_its_own_and_the_last_one_holds_the_change() -> None:
    story = three_stages()
    before = Versioned(version=4, execution=story.execution, wake_at=None)
    story.made("first")
    events = [command for command in story.commands if isinstance(command, EmitEvent)]
    of_next_leg = [EmitEvent(event=each.event, leg=2) for each in events]

    rows = entries_of(revised(before, story.execution, None, [*events, *of_next_leg]))

    assert [(row.version, row.leg, len(row.told), row.change is not None) for row in rows] == [
        (5, 1, len(events), False),
        (5, 2, len(events), True),
    ]


def test_a_change_without_events_is_kept_too() -> None:
    story = three_stages()
    before = Versioned(version=1, execution=story.execution, wake_at=None)
    story.later(1)

    rows = entries_of(revised(before, story.execution, None, []))

    assert [(row.version, row.leg, row.is_final, list(row.told)) for row in rows] == [(2, 1, False, [])]
    assert rows[0].change is not None


def test_an_execution_is_listed_anew_when_it_waits_for_something_else_or_ends() -> None:
    story = three_stages()
    begun = Versioned(version=1, execution=story.execution, wake_at=5_000)
    story.made("first")

    assert not revised(begun, story.execution, 5_000, []).is_relisted
    assert revised(begun, story.execution, 7_000, []).is_relisted
    story.made("second")
    story.made("third")
    assert revised(begun, story.execution, 5_000, []).is_relisted
