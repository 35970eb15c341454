"""An execution driven by hand through the pure core: tests tell what happens and look at what follows."""

from typing import Any, TypeVar

import msgspec

from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.events import EventData
from aif_contracts.metering import CallOutcome, Metrics, ProviderCall, Purpose
from aif_contracts.orders import Execute
from aif_contracts.packets import Granted, Later, WorkPacket
from aif_contracts.reports import ProgressPoint
from aif_orchestrator.execution.assignee import worker_of
from aif_orchestrator.execution.commands import (
    AnswerClaim,
    AnswerProgress,
    Command,
    DispatchPacket,
    EmitEvent,
    RecordAttempt,
    Refuse,
)
from aif_orchestrator.execution.draft import Draft
from aif_orchestrator.execution.happenings import (
    AttemptClaimed,
    AttemptCompleted,
    AttemptFailed,
    AttemptProgressed,
    Circumstances,
    Happening,
    LoadedOutput,
    OutputsLoaded,
    Patience,
    TimePassed,
)
from aif_orchestrator.execution.machine import begin, step
from aif_orchestrator.execution.state import Execution, StageRun, wake_at
from aif_pipelines.definition import Backoff, Output, Pipeline, Retry, Stage
from aif_pipelines.plan import compile_pipeline

C = TypeVar("C", bound=Command)
E = TypeVar("E")

START_MS = 1_700_000_000_000


def stage(stage_id: str, **changes: Any) -> Stage:
    """A stage of worker `maker` that retries at once and twice."""
    given: dict[str, Any] = {
        "id": stage_id,
        "worker": "maker",
        "action": "make",
        "retry": Retry(max_attempts=3, backoff=Backoff(initial_ms=1000, jitter=0)),
        "timeout_seconds": 60.0,
    }
    return Stage(**{**given, **changes})


def pipeline(*stages: Stage, **changes: Any) -> Pipeline:
    given: dict[str, Any] = {"name": "line", "version": "1.0.0", "stages": stages, "timeout_seconds": 600.0}
    return Pipeline(**{**given, **changes})


def schema_of(*names: str) -> dict[str, Any]:
    """A parameter schema with these texts."""
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}}


def deliverable(stage_id: str, name: str = "thing") -> Output:
    return Output(name=name, stage=stage_id, title=name.title())


def inline(value: Any) -> BlobRef:
    content = msgspec.json.encode(value)
    return BlobRef(
        storage_type=StorageType.INLINE, storage_key="output", size_bytes=len(content), sha256="0" * 64, inline=content
    )


def stored(key: str = "data/output") -> BlobRef:
    return BlobRef(storage_type=StorageType.OBJECT, storage_key=key, size_bytes=100_000, sha256="0" * 64)


class Story:
    """Time moves only by `later`."""

    def __init__(
        self,
        definition: Pipeline,
        *,
        free: bool = False,
        parameters: dict[str, Any] | None = None,
        start_at: str | None = None,
        max_cost_usd: str | None = None,
    ) -> None:
        self.circumstances = Circumstances(
            at_ms=START_MS,
            plan=compile_pipeline(definition),
            free_actions=frozenset({("maker", "make")}) if free else frozenset(),
            live_workers=frozenset({"maker"}),
            patience=Patience(),
        )
        self.order = Execute(
            execution_id="exec_1",
            client_id="acme",
            template_name=definition.name,
            parameters=parameters or {},
            start_at=start_at,
            max_cost_usd=max_cost_usd,
        )
        draft = begin(self.order, self.circumstances, {})
        self.execution, self.commands = draft.finish(), draft.commands
        self.history: list[Command] = list(self.commands)
        self._batch = draft
        self._after_batch = self.execution

    def worker_of(self, stage_id: str) -> str:
        """Whose work the stage is; `maker` for one that there is not."""
        if stage_id not in self.execution.stages:
            return "maker"
        return worker_of(Draft(self.execution, self.circumstances).plan_of(stage_id))

    def later(self, milliseconds: int) -> None:
        at_ms = self.circumstances.at_ms + milliseconds
        self.circumstances = msgspec.structs.replace(self.circumstances, at_ms=at_ms)

    def happens(self, happening: Happening) -> list[Command]:
        """Also as one more step of a batch with all that happened at the same time, which has to come to the same.

        What a step makes due is never due before it, and what has ended never again: the execution would be woken at once.
        """
        before = self.execution.stages
        if self._batch.circumstances is not self.circumstances or self._after_batch is not self.execution:
            self._batch = Draft(self.execution, self.circumstances)
        draft = Draft(self.execution, self.circumstances)
        self.commands = step(draft, happening)
        self.execution = self._after_batch = draft.finish()
        assert step(self._batch, happening) == self.commands
        assert self._batch.finish() == self.execution
        assert list(self._batch.stages) == list(self.execution.stages)
        self.history += self.commands
        for stage_id, run in self.execution.stages.items():
            was_due_at = before[stage_id].due_at if stage_id in before else None
            assert run.due_at is None or run.due_at == was_due_at or run.due_at >= self.circumstances.at_ms, stage_id
            assert run.due_at is None or not run.status.is_final, stage_id
        return self.commands

    def wakes_at(self) -> int | None:
        return wake_at(self.execution, self.circumstances.at_ms)

    def wakes(self) -> list[Command]:
        """Time moves to when the execution wants attention, and it gets it."""
        due = wake_at(self.execution, self.circumstances.at_ms)
        assert due is not None, "an execution that has ended does not wake"
        self.later(max(0, due - self.circumstances.at_ms))
        return self.happens(TimePassed())

    def falls_silent(self, stage_id: str) -> None:
        """Nothing more is heard of the stage's worker."""
        ended = self.stage(stage_id).ended
        while self.stage(stage_id).ended == ended:
            self.wakes()

    def stage(self, stage_id: str) -> StageRun:
        return self.execution.stages[stage_id]

    def packets(self) -> list[WorkPacket]:
        """Dispatched by the last step."""
        return [command.packet for command in self.commands if isinstance(command, DispatchPacket)]

    def last_packet(self, stage_id: str) -> WorkPacket:
        sent = [command.packet for command in self.history if isinstance(command, DispatchPacket)]
        return [packet for packet in sent if packet.stage_id == stage_id][-1]

    def events(self) -> list[EventData]:
        """All events so far."""
        return [command.event.data for command in self.history if isinstance(command, EmitEvent)]

    def event_types(self) -> list[str]:
        return [str(data.__struct_config__.tag) for data in self.events()]

    def attempts(self) -> list[tuple[str, int, str]]:
        """Recorded attempts: stage, number, and `success` or the failure's code."""
        return [
            (command.record.stage_id, command.record.attempt, command.record.failure_code or "success")
            for command in self.history
            if isinstance(command, RecordAttempt)
        ]

    def claim(
        self, stage_id: str, *, by: str = "worker_a", packet_id: str | None = None, is_first_delivery: bool = True
    ) -> Any:
        """The answer that a worker gets."""
        wanted = packet_id or self.last_packet(stage_id).packet_id
        self.happens(AttemptClaimed(stage_id=stage_id, packet_id=wanted, instance_id=by, is_first_delivery=is_first_delivery))
        [answer] = [command.answer for command in self.commands if isinstance(command, AnswerClaim)]
        return answer

    def granted(self, stage_id: str, *, by: str = "worker_a") -> int:
        """The attempt's number. What a worker that was lost had reserved is waited for."""
        answer = self.claim(stage_id, by=by)
        if isinstance(answer, Later) and self.stage(stage_id).silent:
            self.later(self.circumstances.patience.last_word_ms)
            self.happens(TimePassed())
            answer = self.claim(stage_id, by=by)
        assert isinstance(answer, Granted), answer
        return answer.attempt

    def progress(
        self,
        stage_id: str,
        attempt: int,
        percent: int,
        message: str = "",
        *,
        by: str = "worker_a",
        is_waiting: bool = False,
        points: tuple[ProgressPoint, ...] = (),
    ) -> Any:
        self.happens(
            AttemptProgressed(
                stage_id=stage_id,
                attempt=attempt,
                instance_id=by,
                percent=percent,
                message=message,
                is_waiting=is_waiting,
                points=points,
            )
        )
        [answer] = [command.answer for command in self.commands if isinstance(command, AnswerProgress)]
        return answer

    def completes(
        self,
        stage_id: str,
        attempt: int,
        value: Any = None,
        *,
        metrics: Metrics | None = None,
        quality: float | None = None,
        elements: int | None = None,
        output: BlobRef | None = None,
        worker: str | None = None,
        summary: str = "",
        calls: tuple[ProviderCall, ...] = (),
        points: tuple[ProgressPoint, ...] = (),
    ) -> list[Command]:
        value = {"made": stage_id} if value is None else value
        return self.happens(
            AttemptCompleted(
                stage_id=stage_id,
                attempt=attempt,
                worker_name=worker or self.worker_of(stage_id),
                output=output or inline(value),
                value=value,
                metrics=metrics or Metrics(),
                quality_score=quality,
                element_count=elements,
                summary=summary,
                calls=calls,
                points=points,
            )
        )

    def loads(self, stage_id: str, **outputs: Any) -> list[Command]:
        """The stored outputs that the stage asked for have been read."""
        found = {name: LoadedOutput(sha256="0" * 64, value=value) for name, value in outputs.items()}
        return self.happens(OutputsLoaded(stage_id=stage_id, outputs=found))

    def made(self, stage_id: str, value: Any = None, **told: Any) -> list[Command]:
        """A worker claims the stage's attempt and completes it."""
        return self.completes(stage_id, self.granted(stage_id), value, **told)

    def refusal(self) -> str | None:
        """Code of the refusal that the last step gave."""
        return next((command.code for command in self.commands if isinstance(command, Refuse)), None)

    def fails(
        self,
        stage_id: str,
        attempt: int,
        code: str = "provider_timeout",
        *,
        retryable: bool = True,
        retry_after_ms: int | None = None,
        metrics: Metrics | None = None,
        message: str = "it did not work",
        worker: str | None = None,
        calls: tuple[ProviderCall, ...] = (),
        points: tuple[ProgressPoint, ...] = (),
    ) -> list[Command]:
        return self.happens(
            AttemptFailed(
                stage_id=stage_id,
                attempt=attempt,
                worker_name=worker or self.worker_of(stage_id),
                code=code,
                message=message,
                retryable=retryable,
                retry_after_ms=retry_after_ms,
                metrics=metrics or Metrics(),
                calls=calls,
                points=points,
            )
        )


def call(stage_id: str, attempt: int, number: int, cost_usd: str | None, **changes: Any) -> ProviderCall:
    given: dict[str, Any] = {
        "call_key": f"exec_1.{stage_id}.{attempt}.{number}",
        "execution_id": "exec_1",
        "client_id": "acme",
        "stage_id": stage_id,
        "attempt": attempt,
        "worker_name": "maker",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "purpose": Purpose.FIRST_TRY,
        "outcome": CallOutcome.ANSWERED,
        "cost_usd": cost_usd,
    }
    return ProviderCall(**{**given, **changes})


def final_events(execution: Execution, history: list[Command]) -> int:
    """How many final events the history holds."""
    from aif_contracts.events import FINAL_EVENT_TYPES

    return sum(
        1
        for command in history
        if isinstance(command, EmitEvent) and command.event.data.__struct_config__.tag in FINAL_EVENT_TYPES
    )
