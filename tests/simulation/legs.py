"""The legs of an execution, as its events tell them. Each has one final event, and ends in time, with pauses counted out."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from aif_contracts.events import (
    ApprovalDecided,
    ApprovalRequested,
    CompensationStarted,
    ExecutionEvent,
    StepCompleted,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    WorkflowPaused,
    WorkflowResumed,
    WorkflowStarted,
)
from aif_contracts.orders import StageStatus
from aif_orchestrator.execution.judging import RETRY_RULE
from aif_orchestrator.execution.state import Execution
from simulation.orchestrators import PATIENCE
from simulation.record import is_final_event

SLACK_MS = 60_000
"""After its time an execution has so long to end."""


class Leg(Struct, frozen=True, kw_only=True):
    number: int
    events: Sequence[ExecutionEvent]

    @property
    def is_over(self) -> bool:
        return bool(self.events) and is_final_event(self.events[-1])


_IN_ORDER = re.compile("(CR)*C?F?|S")
"""On one leg a stage is skipped; or it completes, again after each time that a rule wanted it better, and may fail at last."""


def legs_of(events: Sequence[ExecutionEvent]) -> list[Leg]:
    """A leg ends with its final event. Events behind the last one are a leg that goes on."""
    legs: list[Leg] = []
    begins = 0
    for index, event in enumerate(events, 1):
        if is_final_event(event):
            legs.append(Leg(number=len(legs) + 1, events=events[begins:index]))
            begins = index
    if begins < len(events):
        legs.append(Leg(number=len(legs) + 1, events=events[begins:]))
    return legs


def leg_mistakes(execution: Execution, legs: Sequence[Leg], timeout_ms: int) -> Iterator[tuple[str, str]]:
    """The rules that are broken, and how."""
    if len(legs) != execution.leg:
        yield "legs", f"it is on leg {execution.leg}, and its events tell of {len(legs)}"
    for leg in legs:
        first = leg.events[0].data
        if leg.number > 1 and not (isinstance(first, WorkflowResumed) and first.leg == leg.number):
            yield "legs", f"leg {leg.number} begins with {type(first).__name__}"
        if execution.is_final and not leg.is_over:
            yield "one final event", f"leg {leg.number} has none"
        progress = [event.progress_percent for event in leg.events if not is_final_event(event)]
        if progress != sorted(progress):
            yield "progress", f"it falls on leg {leg.number}: {progress}"
        yield from _time_mistakes(leg, timeout_ms)
        yield from _ends_in_order(leg)


def _time_mistakes(leg: Leg, timeout_ms: int) -> Iterator[tuple[str, str]]:
    """The time of a leg runs from its start, stands still while it is held, and ends where it begins to undo."""
    used, held, undoing = _times_of(leg)
    if used > timeout_ms + SLACK_MS:
        yield "liveness", f"leg {leg.number} used {used} of {timeout_ms} ms"
    if held > PATIENCE.most_held_ms + SLACK_MS:
        yield "liveness", f"leg {leg.number} was held for {held} ms at once"
    if undoing > PATIENCE.compensating_ms + SLACK_MS:
        yield "liveness", f"leg {leg.number} was undone for {undoing} ms"


def _times_of(leg: Leg) -> tuple[int, int, int]:
    """Milliseconds that count, that it was held at once, and that it was being undone."""
    used = longest_held = 0
    since: int | None = None
    held_since = 0
    undoing_since: int | None = None
    is_paused = False
    asked: set[str] = set()
    for event in leg.events:
        data = event.data
        if isinstance(data, _MOVES_TIME) or is_final_event(event):
            at = _milliseconds(event.time)
        else:
            continue
        was_held = is_paused or bool(asked)
        match data:
            case WorkflowStarted():
                since = at
            case WorkflowPaused():
                is_paused = True
            case WorkflowResumed():
                is_paused = False
                since = at if since is None and not asked else since
            case ApprovalRequested(step_name=stage_id):
                asked.add(stage_id)
            case ApprovalDecided(step_name=stage_id):
                asked.discard(stage_id)
            case CompensationStarted():
                undoing_since = at if undoing_since is None else undoing_since
                is_paused = False
                asked.clear()
            case _:
                is_paused = False
                asked.clear()
        is_held = is_paused or bool(asked)
        if since is not None and (is_held or undoing_since is not None or is_final_event(event)):
            used += at - since
            since = None
        if is_held and not was_held:
            held_since = at
        if was_held and not is_held:
            longest_held = max(longest_held, at - held_since)
            since = at if undoing_since is None else None
    undoing = 0 if undoing_since is None else _milliseconds(leg.events[-1].time) - undoing_since
    return used, longest_held, undoing


_MOVES_TIME = (WorkflowStarted, WorkflowPaused, WorkflowResumed, ApprovalRequested, ApprovalDecided, CompensationStarted)


def _milliseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def _ends_in_order(leg: Leg) -> Iterator[tuple[str, str]]:
    for stage_id, story in stories_of(leg).items():
        if not _IN_ORDER.fullmatch(story):
            yield "one end per stage", f"{stage_id} told {story} on leg {leg.number}"


def stories_of(leg: Leg) -> dict[str, str]:
    """By stage: C completed, R tried again by a rule, F failed, S skipped, in order."""
    stories: dict[str, str] = {}
    for event in leg.events:
        match event.data:
            case StepCompleted(step_name=stage_id):
                letter = "C"
            case StepFailed(step_name=stage_id):
                letter = "F"
            case StepSkipped(step_name=stage_id):
                letter = "S"
            case StepRetrying(step_name=stage_id, code=code) if code == RETRY_RULE:
                letter = "R"
            case _:
                continue
        stories[stage_id] = stories.get(stage_id, "") + letter
    return stories


def last_words_fit(status: StageStatus, legs: Sequence[str]) -> bool:
    """Whether what a stage told on each leg, nothing included, goes with the status that it has."""
    told = next((story for story in reversed(legs) if story), "")
    match status:
        case StageStatus.COMPLETED:
            return told[-1:] in ("C", "R")
        case StageStatus.FAILED:
            return told[-1:] == "F"
        case StageStatus.SKIPPED:
            return told[-1:] == "S"
        case _:
            return legs[-1][-1:] in ("", "C", "R")


def started_twice(legs: Sequence[Leg]) -> list[tuple[str, int]]:
    seen: set[tuple[str, int]] = set()
    twice: list[tuple[str, int]] = []
    for leg in legs:
        for event in leg.events:
            if isinstance(event.data, StepStarted):
                key = (event.data.step_name, event.data.attempt)
                if key in seen:
                    twice.append(key)
                seen.add(key)
    return twice


def paid_again(leg: Leg) -> list[str]:
    """Stages that a leg keeps and yet begins."""
    first = leg.events[0].data
    kept = first.kept.stages if isinstance(first, WorkflowResumed) else ()
    if not kept:
        return []
    return [
        event.data.step_name for event in leg.events if isinstance(event.data, StepStarted) and event.data.step_name in kept
    ]
