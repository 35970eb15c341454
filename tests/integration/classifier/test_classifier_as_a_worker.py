"""The worker `classifier` in processes of its own, with a real NATS server and a real Postgres."""

import msgspec
from msgspec.structs import replace

from aif_contracts import subjects
from aif_contracts.packets import Context
from aif_contracts.performance import InsightsQuery, WorkerInsights
from aif_contracts.reports import Completed, Report
from aif_orchestrator.engine.told_attempts import performance_messages
from aif_runtime.nats_bus import NatsBus
from support.classifier_processes import Start
from support.deployed_worker import DeployedWorker
from support.performance_samples import record
from support.waiting import eventually

WORKER, ACTION = "classifier", "analyze_worker_performance"


async def test_each_client_is_told_of_its_own_work_and_the_operator_of_all(start: Start, bus: NatsBus) -> None:
    process = await start()
    deployed = DeployedWorker(bus, process)
    await _measured(bus)

    description = await deployed.description()
    reports = {
        client: await deployed.completes(WORKER, ACTION, {}, packet_id=client, context=Context(client_id=client))
        for client in ("acme", "globex")
    }
    told = {client: await deployed.output(report, WorkerInsights) for client, report in reports.items()}
    exit_code = await deployed.ends_in_order()

    assert (description.worker_name, description.slots) == (WORKER, 2)
    assert [(action.name, action.paid) for action in description.actions] == [(ACTION, False)]
    assert {client: [f.attempts for f in each.figures] for client, each in told.items()} == {"acme": [30], "globex": [12]}
    assert [report.element_count for report in reports.values()] == [1, 1]
    assert (reports["acme"].metrics.cost_usd, reports["acme"].metrics.model) == ("0", None)
    assert exit_code == 0


async def test_replicas_share_the_work_and_each_packet_is_reported_once(start: Start, bus: NatsBus) -> None:
    deployed = DeployedWorker(bus, await start())
    await start()
    await _measured(bus)
    clients = {f"exec_{number}": ("acme", "globex")[number % 2] for number in range(20)}
    reports: list[Report] = []

    for execution_id, client in clients.items():
        changes = {"packet_id": execution_id, "execution_id": execution_id, "context": Context(client_id=client)}
        await deployed.is_given(WORKER, ACTION, {}, **changes)

    async def all_told() -> bool:
        for payload in await deployed.told(subjects.STREAM_REPORTS, subjects.ALL_REPORTS):
            reports.extend(msgspec.json.decode(payload, type=list[Report]))
        return len(reports) >= len(clients)

    await eventually(all_told, 20, what="all are reported")
    completed = [report for report in reports if isinstance(report, Completed)]
    attempts = {each.execution_id: (await deployed.output(each, WorkerInsights)).figures[0].attempts for each in completed}
    assert sorted(report.execution_id for report in reports) == sorted(clients)
    assert attempts == {execution_id: {"acme": 30, "globex": 12}[client] for execution_id, client in clients.items()}
    assert len({report.instance_id for report in completed}) == 2


async def _measured(bus: NatsBus) -> None:
    """The attempts of two clients, once the classifier has them."""
    records = [record(number) for number in range(30)] + [record(number, client_id="globex") for number in range(30, 42)]
    await bus.publish([replace(message, message_id=None) for message in performance_messages(records)])

    async def are_kept() -> bool:
        reply = await bus.ask(subjects.INSIGHTS, msgspec.json.encode(InsightsQuery()), wait_seconds=5)
        return [f.attempts for f in msgspec.json.decode(reply, type=WorkerInsights).figures] == [42]

    await eventually(are_kept, 10, what="42 attempts")
