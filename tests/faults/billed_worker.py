"""A worker process whose every attempt makes one paid call, at a provider that is a file.

The bill is the provider's own record: a line is on it before the worker knows the answer, so whatever kills the worker, what
was billed stays billed. What an attempt makes is a digest of what it was given, so a result that was swapped or lost shows.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from aif_contracts.metering import CallOutcome, ProviderCall, Purpose
from aif_contracts.money import usd
from aif_runtime.assignment import ActionSpec, Assignment, Outcome, WorkerSpec, WorkFailure
from aif_runtime.connections import open_connections
from aif_runtime.failures import BusUnavailable
from aif_runtime.process import Assembled, Surroundings, run_service
from aif_runtime.worker_parts import worker_parts
from aif_runtime.worker_settings import WorkerSettings

WORKER = "billed_worker"
PRICE_USD = "0.0125"
BOUND_USD = "0.02"
"""What a call may cost at most, as far as its worker knows."""
ANNOUNCE_AGAIN_SECONDS = 0.1
POISON = "poison"
"""An input that ends the process, until the worker is mended."""
POISONED_EXIT = 86


class BilledWorkerSettings(WorkerSettings, frozen=True, kw_only=True):
    billed_bill: Annotated[str, Meta(description="File that the provider writes its bill to")]
    billed_mended: Annotated[str, Meta(description="When this file is there, no input ends the process any more")]
    billed_call_ms: Annotated[int, Meta(ge=0, description="How long the provider takes to answer")] = 30
    billed_slots: Annotated[int, Meta(ge=1)] = 16


class BillLine(Struct, frozen=True, kw_only=True):
    call_key: str
    cost_usd: str
    billed_at: float
    """Seconds since 1970."""


class Provider:
    """Answers after a while, and bills half-way: an answer may be lost, its price is not."""

    def __init__(self, *, bill_path: str, mended_path: str, call_ms: int) -> None:
        self._bill = os.open(bill_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._mended = Path(mended_path)
        self._call_ms = call_ms

    def close(self) -> None:
        os.close(self._bill)

    async def digest(self, assignment: Assignment) -> Outcome:
        text = str(assignment.input["text"])
        if text == POISON and not self._mended.exists():
            os._exit(POISONED_EXIT)
        call_key = ".".join(
            (assignment.execution_id, assignment.stage_id, str(assignment.attempt), str(assignment.next_call_number()))
        )
        if usd(assignment.grant.max_cost_usd) < usd(BOUND_USD):
            raise WorkFailure("grant_exceeded", f"a call can cost {BOUND_USD} USD", retryable=False)
        answered = _call(assignment, call_key, self._call_ms)
        try:
            await _announce(assignment, answered)
            await asyncio.sleep(self._call_ms / 2000)
        except asyncio.CancelledError:
            await assignment.record_call(replace(answered, outcome=CallOutcome.CANCELLED, cost_usd="0"))
            raise
        line = BillLine(call_key=call_key, cost_usd=PRICE_USD, billed_at=time.time())
        os.write(self._bill, msgspec.json.encode(line) + b"\n")
        try:
            await asyncio.sleep(self._call_ms / 2000)
        finally:
            # Whoever stops the attempt now, what was begun is paid for.
            await assignment.record_call(answered)
        return Outcome(output={"text": sha256(text.encode()).hexdigest()})


async def _announce(assignment: Assignment, answered: ProviderCall) -> None:
    started = replace(answered, outcome=CallOutcome.STARTED, cost_usd=None, upper_bound_usd=BOUND_USD)
    while True:
        try:
            await assignment.announce_call(started)
        except BusUnavailable:
            await asyncio.sleep(ANNOUNCE_AGAIN_SECONDS)
            continue
        return


def _call(assignment: Assignment, call_key: str, latency_ms: int) -> ProviderCall:
    return ProviderCall(
        call_key=call_key,
        execution_id=assignment.execution_id,
        client_id=assignment.context.client_id,
        stage_id=assignment.stage_id,
        attempt=assignment.attempt,
        worker_name=assignment.worker_name,
        provider="paper",
        model="digest",
        purpose=Purpose.FIRST_TRY,
        outcome=CallOutcome.ANSWERED,
        cost_usd=PRICE_USD,
        price_version="2026-01",
        latency_ms=latency_ms,
    )


@asynccontextmanager
async def wire(surroundings: Surroundings[BilledWorkerSettings]) -> AsyncIterator[Assembled]:
    settings = surroundings.settings
    provider = Provider(bill_path=settings.billed_bill, mended_path=settings.billed_mended, call_ms=settings.billed_call_ms)
    spec = WorkerSpec(
        worker_name=WORKER,
        actions={"digest": ActionSpec(run=provider.digest, paid=True)},
        slots=settings.billed_slots,
    )
    async with open_connections(surroundings) as connections:
        yield Assembled(parts=worker_parts(surroundings, connections, spec))
    provider.close()


if __name__ == "__main__":
    sys.exit(run_service(service=WORKER, settings_type=BilledWorkerSettings, wire=wire))
