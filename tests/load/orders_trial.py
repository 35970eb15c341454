"""A factory as `aif up` starts it, asked for a thousand courses and more at once over HTTP; and what its figures have of them.

The executions that lived side by side are counted from what the factory itself says of their beginnings and ends. Then the
same with fewer, and the worker is killed in the middle.
"""

import asyncio
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import httpx2
from msgspec import Struct
from msgspec.structs import replace

from aif_console.factory.factory import Factory
from aif_console.factory.plan import SERVICES, FactoryPlan
from aif_contracts.orders import ExecutionView
from aif_contracts.usage import MonthlyUsage
from load.capture import Captured, captured, executions_of, logged, month_of, notes_in
from load.customers import Crowd, customers_at
from load.measuring import peak_memory
from load.processes import cpu_ms, own_cpu_ms
from load.spread import figure, spread
from load.targets import Judged

WORKER = "granulator"
LEAST_AT_ONCE = 1_000
LEAST_CAPTURED_PERCENT = 99.9
LOOK_SECONDS = 0.5
SETTLED_WITHIN_SECONDS = 60.0

QUICKLY_LOST = {"AIF_ORCHESTRATOR_LEASE_SECONDS": "3", "AIF_ACK_WAIT_SECONDS": "3"}
"""A worker that is silent, or has died with packets in its hands."""

Say = Callable[[str], None]


class OrderScale(Struct, frozen=True, kw_only=True):
    orders: int = 1_500
    orders_with_a_kill: int = 300
    durable: bool = True
    settings: Mapping[str, str] = {}
    """Of the factory, beside its defaults."""


SMALL_ORDERS = OrderScale(orders=20, orders_with_a_kill=12, durable=False, settings=QUICKLY_LOST)


async def orders_trial(folder: Path, say: Say, *, scale: OrderScale) -> list[Judged]:
    """Gives what is to stand beside the targets."""
    folder.mkdir(mode=0o711)
    factory = Factory(_plan(folder, scale))
    await factory.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(factory.stop)
        http = await stack.enter_async_context(
            httpx2.AsyncClient(base_url=factory.kam_url, headers={"X-API-Key": factory.keys.client_key}, trust_env=False)
        )
        say("\norders: courses from a document, one customer for each, all at once; the factory as `aif up` starts it")
        at_once, found = await _undisturbed(factory, http, folder / "notes", say, scale.orders)
        after_a_kill = await _with_a_kill(factory, http, folder / "notes", say, scale.orders_with_a_kill)
    return [
        Judged(
            what="Orders: executions at once",
            target=f"at least {LEAST_AT_ONCE:,}",
            measured=spread([at_once]),
            unit="",
            reached=at_once >= LEAST_AT_ONCE,
        ),
        _judged("Orders: attempts measured", found.percent_measured),
        _judged("Orders: attempts known", found.percent_known),
        _judged("Orders: measured, worker killed", after_a_kill.percent_measured),
        _judged("Orders: known, worker killed", after_a_kill.percent_known),
    ]


def _judged(what: str, percent: float) -> Judged:
    return Judged(
        what=what,
        target=f"at least {LEAST_CAPTURED_PERCENT:g} %",
        measured=spread([percent]),
        unit=" %",
        reached=percent >= LEAST_CAPTURED_PERCENT,
    )


def _plan(folder: Path, scale: OrderScale) -> FactoryPlan:
    noted = (str(Path(__file__).with_name("counted_granulator.py")), str(folder / "notes"))
    return FactoryPlan(
        data_dir=folder,
        settings=scale.settings,
        services=tuple(replace(each, arguments=noted) if each.name == WORKER else each for each in SERVICES),
        durable=scale.durable,
    )


async def _undisturbed(factory: Factory, http: httpx2.AsyncClient, notes: Path, say: Say, count: int) -> tuple[int, Captured]:
    """The most executions that lived at a time, and what was captured."""
    month, client_before = await month_of(http), own_cpu_ms()
    pids = factory.pids
    cpu_before = {name: cpu_ms(pid) for name, pid in pids.items()}
    customers = await customers_at(factory.kam_url, factory.keys.client_key)
    async with peak_memory(pids) as memory:
        crowd = await customers.order(count)
        spent = {name: cpu_ms(pid) - cpu_before[name] for name, pid in pids.items()}
        client_ms = own_cpu_ms() - client_before
    executions = await executions_of(http, {each.execution_id for each in crowd.courses})
    at_once = _most_at_once(executions)
    _tell_crowd(crowd, executions, at_once, say)
    told = ", ".join(f"{name} {each / count:.1f}" for name, each in spent.items())
    say(f"    CPU ms per order {figure(sum(spent.values()) / count)}: {told}; beside it the customers {client_ms / count:.1f}")
    say(f"    peak memory MB: {', '.join(f'{name} {memory[name]:.0f}' for name in memory)}")
    found = await _captured(factory, http, notes, crowd, executions, month)
    return at_once, _tell_captured(found, say)


async def _with_a_kill(factory: Factory, http: httpx2.AsyncClient, notes: Path, say: Say, count: int) -> Captured:
    month = await month_of(http)
    killed_at = count // 3

    def heard(ended: int) -> None:
        if ended == killed_at:
            factory.kill(WORKER)

    customers = await customers_at(factory.kam_url, factory.keys.client_key)
    crowd = await customers.order(count, heard)
    executions = await executions_of(http, {each.execution_id for each in crowd.courses})
    say(f"  the {WORKER} killed (SIGKILL) when {killed_at:,} of {count:,} had ended:")
    _tell_crowd(crowd, executions, _most_at_once(executions), say)
    return _tell_captured(await _captured(factory, http, notes, crowd, executions, month), say)


def _most_at_once(executions: Sequence[ExecutionView]) -> int:
    """Of those that had been accepted and had not ended, by the factory's own times."""
    moves = [(_moment(each.created_at), 1) for each in executions]
    moves += [(_moment(each.completed_at), -1) for each in executions if each.completed_at is not None]
    # Who ends in the millisecond in which another one begins was not there beside it.
    living = most = 0
    for _, move in sorted(moves):
        living += move
        most = max(most, living)
    return most


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _tell_crowd(crowd: Crowd, executions: Sequence[ExecutionView], at_once: int, say: Say) -> None:
    began = min(each.began for each in crowd.courses)
    accepting = max(each.accepted for each in crowd.courses) - began
    ends = [_moment(each.completed_at) for each in executions if each.completed_at is not None]
    working = (max(ends) - min(_moment(each.created_at) for each in executions)).total_seconds()
    ordered = len(crowd.courses)
    say(
        f"    {ordered:,} orders accepted within {accepting:.1f} s, {figure(ordered / accepting)} a second; "
        f"{len(ends):,} executions ended within {working:.1f} s, {figure(len(ends) / working)} a second; "
        f"{at_once:,} lived at once"
    )
    for what, times in (
        ("accepted", [each.accepted - each.began for each in crowd.courses]),
        ("end known to its customer", [each.ended - each.began for each in crowd.courses]),
    ):
        percentiles = statistics.quantiles(times, n=100)
        say(f"    from order to {what}: p50 {percentiles[49]:.2f} s, p99 {percentiles[98]:.2f} s")
    for answer, count in sorted(crowd.answers.items()):
        say(f"    {count:>7,} x {answer}")
    for end in sorted({each.end for each in crowd.courses}):
        say(f"    {sum(each.end == end for each in crowd.courses):>7,} x {end}")
    listed = {each.execution_id for each in executions}
    lost = sum(each.execution_id not in listed for each in crowd.courses)
    if lost or len(listed) != ordered:
        say(f"    {ordered:,} orders became {len(listed):,} executions; {lost} are not listed")


async def _captured(
    factory: Factory,
    http: httpx2.AsyncClient,
    notes: Path,
    crowd: Crowd,
    executions: Sequence[ExecutionView],
    before: MonthlyUsage,
) -> Captured:
    """When the classifier has what it is told of within moments."""
    ids = {each.execution_id for each in crowd.courses}
    noted = notes_in(notes, ids)
    loop = asyncio.get_running_loop()
    until = loop.time() + SETTLED_WITHIN_SECONDS
    while True:
        after = await month_of(http)
        log = await logged(factory.database_urls["classifier"], ids)
        if len(log) >= after.attempts - before.attempts or loop.time() >= until:
            return await captured(http, noted, executions, log, after.attempts - before.attempts)
        await asyncio.sleep(LOOK_SECONDS)


def _tell_captured(found: Captured, say: Say) -> Captured:
    say(
        f"    {found.noted:,} attempts ended by the worker's own notes, {found.silent} more were cut off with its process; "
        f"in their executions' views {found.in_views:,} with the worker's own time and CPU, in the classifier's log "
        f"{found.in_log:,} with its time; in any way the log has {found.known:,} of {found.all_attempts:,}, the client's month "
        f"{found.in_usage:,}"
    )
    return found
