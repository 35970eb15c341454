"""The schedules as their clients keep them: made, changed, paused, removed.

What is wrong with an order that repeats is told now, not at three in the morning: template and parameters are checked as an
order's are, and a text to work on is stored as a source once.
"""

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct

from aif_contracts.orders import FieldMistake
from aif_kam import problems
from aif_kam.configuration.workspaces import Workspaces
from aif_kam.cost_limits import cost_limit, require_allowed
from aif_kam.database_time import DatabaseTime
from aif_kam.failures import InvalidInput, NotFound
from aif_kam.idempotency import Answer, KeyedCall, KeyStore, answer_given
from aif_kam.order_parameters import SOURCE, SOURCE_TEXT, OrderParameters
from aif_kam.schedules.fire_times import checked_rhythm, next_due
from aif_kam.schedules.payloads import ScheduleWish, schedule_view
from aif_kam.schedules.store import Schedule, ScheduledOrder, ScheduleStore
from aif_kam.source_intake import SourceIntake
from aif_kam.source_store import NewSource
from aif_kam.template_catalogue import TemplateCatalogue
from aif_runtime.postgres import Connection, Database


class _Prepared(Struct, frozen=True, kw_only=True):
    order: ScheduledOrder
    new_source: NewSource | None


class ScheduleBook:
    def __init__(
        self,
        *,
        database: Database,
        schedules: ScheduleStore,
        keys: KeyStore,
        parameters: OrderParameters,
        catalogue: TemplateCatalogue,
        intake: SourceIntake,
        workspaces: Workspaces,
        time: DatabaseTime,
        new_id: Callable[[str], str],
    ) -> None:
        self._database = database
        self._schedules = schedules
        self._keys = keys
        self._parameters = parameters
        self._catalogue = catalogue
        self._intake = intake
        self._workspaces = workspaces
        self._time = time
        self._new_id = new_id

    async def create(self, client_id: str, wish: ScheduleWish, call: KeyedCall | None) -> Answer:
        """Raises InvalidInput, KeyReused, KeyInFlight, Unavailable; then nothing is stored."""
        if earlier := await answer_given(self._database, self._keys, call):
            return earlier
        prepared = await self._prepared(client_id, wish)
        schedule_id = self._new_id("sched")
        async with self._database.transaction() as connection:
            if earlier := await self._keys.earlier_answer(connection, call):
                return earlier
            await self._enter_source(connection, prepared)
            next_at = await self._next(connection, prepared.order)
            await self._schedules.insert(connection, schedule_id, client_id, prepared.order, next_at)
            answer = problems.created(schedule_view(await self._found(connection, schedule_id, client_id)))
            if call is not None:
                await self._keys.answer(connection, call, answer)
        return answer

    async def find(self, schedule_id: str, client_id: str | None) -> Schedule:
        """Raises NotFound, also for another client's."""
        async with self._database.connection() as connection:
            return await self._found(connection, schedule_id, client_id)

    async def list_page(self, client_id: str | None, before: str | None, limit: int) -> list[Schedule]:
        async with self._database.connection() as connection:
            return await self._schedules.list_page(connection, client_id=client_id, before=before, limit=limit)

    async def replace(self, schedule_id: str, client_id: str | None, wish: ScheduleWish) -> Schedule:
        """Put another order or rhythm in place; what is due next is reckoned anew.

        Raises NotFound, InvalidInput, Unavailable.
        """
        before = await self.find(schedule_id, client_id)
        if wish.client_id not in (None, before.client_id):
            mistake = FieldMistake(field="client_id", message="a schedule stays its client's", mend=f"use {before.client_id}")
            raise InvalidInput(mistake.message, mistakes=(mistake,))
        prepared = await self._prepared(before.client_id, wish)
        async with self._database.transaction() as connection:
            await self._enter_source(connection, prepared)
            await self._schedules.replace(connection, schedule_id, prepared.order, await self._next(connection, prepared.order))
            return await self._found(connection, schedule_id, client_id)

    async def pause(self, schedule_id: str, client_id: str | None) -> Schedule:
        """An execution under way goes on. Raises NotFound."""
        async with self._database.transaction() as connection:
            await self._found(connection, schedule_id, client_id)
            await self._schedules.pause(connection, schedule_id)
            return await self._found(connection, schedule_id, client_id)

    async def resume(self, schedule_id: str, client_id: str | None) -> Schedule:
        """Raises NotFound."""
        async with self._database.transaction() as connection:
            schedule = await self._found(connection, schedule_id, client_id)
            await self._schedules.resume(connection, schedule_id, await self._next(connection, schedule.order))
            return await self._found(connection, schedule_id, client_id)

    async def remove(self, schedule_id: str, client_id: str | None) -> Schedule:
        """The schedule as it was last; its requests stay. Raises NotFound."""
        async with self._database.transaction() as connection:
            schedule = await self._found(connection, schedule_id, client_id)
            await self._schedules.delete(connection, schedule_id)
        return schedule

    async def _prepared(self, client_id: str, wish: ScheduleWish) -> _Prepared:
        rhythm = checked_rhythm(wish.cron, wish.timezone, now=await self._time.now())
        await self._workspaces.require(client_id, wish.workspace_id)
        limit = cost_limit(wish.max_cost_usd)
        require_allowed(limit, highest=await self._catalogue.highest_limit(client_id))
        checked = await self._parameters.prepare(
            client_id,
            wish.selected_template,
            wish.parameters,
            template_field="selected_template",
            field="parameters",
            version=wish.template_version,
        )
        parameters = dict(wish.parameters)
        if checked.new_source is not None:
            del parameters[SOURCE_TEXT]
            parameters[SOURCE] = checked.new_source.source_id
        order = ScheduledOrder(
            name=wish.name,
            selected_template=wish.selected_template,
            parameters=parameters,
            rhythm=rhythm,
            urgency_level=wish.urgency_level,
            message=wish.message,
            workspace_id=wish.workspace_id,
            overlap=wish.overlap,
            max_cost_usd=limit,
            template_version=wish.template_version,
        )
        return _Prepared(order=order, new_source=checked.new_source)

    async def _enter_source(self, connection: Connection, prepared: _Prepared) -> None:
        if prepared.new_source is not None:
            await self._intake.enter(connection, prepared.new_source)

    async def _next(self, connection: Connection, order: ScheduledOrder) -> datetime | None:
        return next_due(order.rhythm, await self._time.within(connection))

    async def _found(self, connection: Connection, schedule_id: str, client_id: str | None) -> Schedule:
        schedule = await self._schedules.find(connection, schedule_id, client_id)
        if schedule is None:
            raise NotFound(f"there is no schedule {schedule_id}", code="unknown_schedule")
        return schedule
