"""What of the attempts that a worker has ended the factory's own figures have: the share is what is captured."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import asyncpg
import httpx2
import msgspec
from msgspec import Struct

from aif_contracts.history import AttemptPage
from aif_contracts.metering import Metrics
from aif_contracts.orders import ExecutionPage, ExecutionView
from aif_contracts.usage import MonthlyUsage
from load.counted_granulator import Note

PAGE = 100
_pages = msgspec.json.Decoder(ExecutionPage)
_months = msgspec.json.Decoder(MonthlyUsage)
_attempts = msgspec.json.Decoder(AttemptPage)
_notes = msgspec.json.Decoder(Note)

Key = tuple[str, str, int]
"""Execution, stage, attempt."""


class Captured(Struct, frozen=True, kw_only=True):
    noted: int
    """Attempts that the worker's processes have ended, by their own notes."""
    in_views: int
    """Of these, in the views of their executions, with the same time and CPU."""
    in_log: int
    """Of these, in the classifier's log, with the same time."""
    silent: int
    """Attempts in the classifier's log that no worker has ended: it was killed before."""
    known: int
    """Of all, whatever is known of them, in the classifier's log."""
    in_usage: int
    """Of all, in the client's month."""

    @property
    def all_attempts(self) -> int:
        return self.noted + self.silent

    @property
    def percent_measured(self) -> float:
        """Of those noted, by the figures that have the least of them."""
        return 100 * min(self.in_views, self.in_log) / self.noted

    @property
    def percent_known(self) -> float:
        return 100 * min(self.known, self.in_usage) / self.all_attempts


async def executions_of(http: httpx2.AsyncClient, ids: Collection[str]) -> list[ExecutionView]:
    """As the list of executions tells them."""
    found: list[ExecutionView] = []
    cursor: str | None = None
    while True:
        response = await http.get("/api/v1/ai/pipelines", params={"limit": PAGE} | ({"cursor": cursor} if cursor else {}))
        response.raise_for_status()
        page = _pages.decode(response.content)
        found += [each for each in page.executions if each.execution_id in ids]
        cursor = page.next_cursor
        if cursor is None:
            return found


async def month_of(http: httpx2.AsyncClient) -> MonthlyUsage:
    response = await http.get("/api/kam/usage")
    response.raise_for_status()
    return _months.decode(response.content)


async def logged(classifier_url: str, ids: Collection[str]) -> dict[Key, int]:
    """Milliseconds of each attempt in the classifier's log."""
    connection = await asyncpg.connect(classifier_url)
    try:
        rows = await connection.fetch(
            "SELECT execution_id, stage_id, attempt, execution_time_ms FROM classifier.worker_performance_log "
            "WHERE execution_id = ANY($1::text[])",
            list(ids),
        )
    finally:
        await connection.close()
    return {(row[0], row[1], row[2]): row[3] for row in rows}


def notes_in(path: Path, ids: Collection[str]) -> dict[Key, Note]:
    notes = [_notes.decode(line) for line in path.read_bytes().splitlines()]
    return {(note.execution_id, note.stage_id, note.attempt): note for note in notes if note.execution_id in ids}


async def captured(
    http: httpx2.AsyncClient,
    notes: Mapping[Key, Note],
    executions: Sequence[ExecutionView],
    log: Mapping[Key, int],
    in_usage: int,
) -> Captured:
    return Captured(
        noted=len(notes),
        in_views=await _in_views(http, notes, executions),
        in_log=sum(log.get(key) == note.processing_time_ms for key, note in notes.items()),
        silent=len(log.keys() - notes.keys()),
        known=len(log),
        in_usage=in_usage,
    )


async def _in_views(http: httpx2.AsyncClient, notes: Mapping[Key, Note], executions: Sequence[ExecutionView]) -> int:
    """A stage of one attempt is known by its sums; of one that has more, each attempt is looked at."""
    views = {(each.execution_id, stage.stage_id): stage for each in executions for stage in each.stages}
    found = 0
    for key, note in notes.items():
        stage = views.get(key[:2])
        if stage is None:
            continue
        metrics = stage.metrics if stage.attempt == 1 else await _metrics_of_attempt(http, key)
        if metrics is not None:
            shown = (metrics.processing_time_ms, metrics.resource_usage.cpu_time_ms)
            found += shown == (note.processing_time_ms, note.cpu_time_ms)
    return found


async def _metrics_of_attempt(http: httpx2.AsyncClient, key: Key) -> Metrics | None:
    execution_id, stage_id, number = key
    response = await http.get(f"/api/v1/ai/pipelines/{execution_id}/attempts")
    response.raise_for_status()
    listed = _attempts.decode(response.content).attempts
    return next((each.metrics for each in listed if (each.stage_id, each.attempt) == (stage_id, number)), None)
