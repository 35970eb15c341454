"""Batches as their clients order, watch and cancel them.

All inputs are checked before anything is stored; then the batch, its requests and the ids of their executions are stored in one
transaction. From then on it is finished by whichever gateway lives: see `dispatch`.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal

import msgspec

from aif_kam import problems
from aif_kam.batches.inputs import BatchInputs, PreparedInputs
from aif_kam.batches.payloads import BatchWish, batch_view
from aif_kam.batches.store import Batch, BatchStore, NewBatch, NewItem
from aif_kam.configuration.workspaces import Workspaces
from aif_kam.cost_limits import cost_limit, require_allowed
from aif_kam.database_time import DatabaseTime
from aif_kam.failures import NotFound
from aif_kam.idempotency import Answer, KeyedCall, KeyStore, answer_given
from aif_kam.order_parameters import digest_of
from aif_kam.request_store import ClientRequest, RequestStatus
from aif_kam.source_intake import SourceIntake
from aif_kam.start_times import start_time
from aif_kam.template_catalogue import TemplateCatalogue
from aif_runtime.postgres import Connection, Database
from aif_runtime.telemetry import Tracing


class BatchDesk:
    def __init__(
        self,
        *,
        database: Database,
        batches: BatchStore,
        keys: KeyStore,
        inputs: BatchInputs,
        catalogue: TemplateCatalogue,
        intake: SourceIntake,
        workspaces: Workspaces,
        work: asyncio.Event,
        time: DatabaseTime,
        tracing: Tracing,
        new_id: Callable[[str], str],
    ) -> None:
        """`work` is set when there is something to dispatch."""
        self._database = database
        self._batches = batches
        self._keys = keys
        self._inputs = inputs
        self._catalogue = catalogue
        self._intake = intake
        self._workspaces = workspaces
        self._work = work
        self._time = time
        self._tracing = tracing
        self._new_id = new_id

    async def order(self, client_id: str, wish: BatchWish, call: KeyedCall | None) -> Answer:
        """Raises InvalidInput, KeyReused, KeyInFlight, Unavailable; then nothing is stored."""
        if earlier := await answer_given(self._database, self._keys, call):
            return earlier
        await self._workspaces.require(client_id, wish.workspace_id)
        start_at = await start_time(wish.start_at, self._time)
        limit = cost_limit(wish.max_cost_usd)
        require_allowed(limit, highest=await self._catalogue.highest_limit(client_id))
        prepared = await self._inputs.prepare(
            client_id, wish.selected_template, wish.parameters, wish.inputs, version=wish.template_version
        )
        new = NewBatch(
            batch_id=self._new_id("batch"),
            client_id=client_id,
            selected_template=prepared.template,
            template_version=wish.template_version,
            message=wish.message,
            urgency_level=wish.urgency_level,
            workspace_id=wish.workspace_id,
            start_at=start_at,
            max_cost_usd=limit,
            total=len(prepared.inputs),
        )
        items = self._items(prepared, wish, limit)
        async with self._database.transaction() as connection:
            if earlier := await self._keys.earlier_answer(connection, call):
                return earlier
            await self._intake.enter_all(connection, prepared.new_sources)
            await self._batches.insert(connection, new, items, trace_context=self._tracing.here())
            answer = problems.accepted(batch_view(await self._found(connection, new.batch_id, client_id)))
            if call is not None:
                await self._keys.answer(connection, call, answer)
        self._work.set()
        return answer

    async def find(self, batch_id: str, client_id: str | None) -> Batch:
        """Raises NotFound, also for another client's."""
        async with self._database.connection() as connection:
            return await self._found(connection, batch_id, client_id)

    async def list_page(self, client_id: str | None, before: str | None, limit: int) -> list[Batch]:
        async with self._database.connection() as connection:
            return await self._batches.list_page(connection, client_id=client_id, before=before, limit=limit)

    async def list_items(
        self, batch_id: str, client_id: str | None, *, status: RequestStatus | None, after: int, limit: int
    ) -> list[ClientRequest]:
        """In the order of the inputs, after the place `after`. Raises NotFound."""
        async with self._database.connection() as connection:
            await self._found(connection, batch_id, client_id)
            return await self._batches.list_items(connection, batch_id, status=status, after=after, limit=limit)

    async def cancel(self, batch_id: str, client_id: str | None) -> Batch:
        """Cancel what has not ended; what the orchestrator has to cancel follows at once. Again is harmless.

        Raises NotFound.
        """
        async with self._database.transaction() as connection:
            await self._found(connection, batch_id, client_id)
            await self._batches.cancel(connection, batch_id)
            batch = await self._found(connection, batch_id, client_id)
        self._work.set()
        return batch

    def _items(self, prepared: PreparedInputs, wish: BatchWish, limit: Decimal | None) -> list[NewItem]:
        return [
            NewItem(
                request_id=self._new_id("req"),
                execution_id=self._new_id("exec"),
                parameters=msgspec.json.encode(each.parameters),
                digest=digest_of(each.given, wish.start_at, limit, wish.template_version),
            )
            for each in prepared.inputs
        ]

    async def _found(self, connection: Connection, batch_id: str, client_id: str | None) -> Batch:
        batch = await self._batches.find(connection, batch_id, client_id)
        if batch is None:
            raise NotFound(f"there is no batch {batch_id}", code="unknown_batch")
        return batch
