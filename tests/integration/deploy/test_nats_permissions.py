"""The broker with deploy/nats.conf: each user can do its work over the real bus, and nothing else."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client

from aif_console.embedded.nats_server import find_nats_server
from aif_contracts import subjects
from aif_contracts.packets import Context, Control, Grant, Granted, WorkPacket
from aif_contracts.performance import WorkerInsights
from aif_contracts.reports import Completed, Report
from aif_runtime.bus import Bus, ConsumerSpec, Offer, Outgoing, Question, watched_key
from aif_runtime.failures import BlobMissing
from aif_runtime.nats_blobs import NatsBlobStore
from aif_runtime.nats_bus import NatsBus
from aif_runtime.ready_file import Ready
from support.classifier_processes import classifier_processes
from support.other_nats_client import all_is_read
from support.waiting import eventually

CONFIGURATION = Path(__file__).parents[3] / "deploy" / "nats.conf"
USERS = ["kam", "orchestrator", "granulator", "researcher", "analyst", "planner", "classifier", "operator", "client_acme"]
SERVICES = ["kam", "orchestrator", "granulator", "researcher", "analyst", "planner", "classifier"]
MODEL_WORKERS = [
    ("granulator", "content_granulator"),
    ("granulator", "content_optimizer"),
    ("researcher", "topic_researcher"),
    ("analyst", "analyst"),
    ("planner", "workflow_generator"),
]
WORKERS = [*MODEL_WORKERS, ("classifier", "classifier")]
MODEL_USERS = sorted({user for user, _ in MODEL_WORKERS})

STREAM_ABUSES = [
    "$JS.API.STREAM.DELETE.AIF_WORK",
    "$JS.API.STREAM.PURGE.AIF_EVENTS",
    "$JS.API.STREAM.MSG.DELETE.AIF_REPORTS",
    "$JS.API.STREAM.MSG.GET.AIF_WORK",
    "$JS.API.STREAM.CREATE.EAVESDROPPER",
    "$JS.API.CONSUMER.CREATE.AIF_WORK",
    "$JS.API.CONSUMER.CREATE.AIF_EVENTS.spy.aif.event.>",
    "$JS.API.CONSUMER.DELETE.AIF_WORK.content_granulator_normal",
]

PUBLISHING_ABUSES: list[tuple[str, str]] = [
    *((service, abuse) for service in SERVICES for abuse in STREAM_ABUSES),
    *((service, "aif.request.submit.acme") for service in SERVICES if service != "orchestrator"),
    *((service, "$SYS.REQ.SERVER.PING") for service in [*SERVICES, "operator"]),
    # As another service.
    ("kam", "aif.work.content_granulator.normal"),
    ("kam", "aif.report.content_granulator"),
    ("kam", "aif.usage.exec_1"),
    ("kam", "aif.event.acme.exec_1.workflow_completed"),
    ("kam", "aif.orchestrator.claim"),
    ("kam", "aif.alert.acme"),
    ("orchestrator", "aif.orchestrator.execute"),
    ("granulator", "aif.work.content_granulator.normal"),
    ("granulator", "aif.event.acme.exec_1.workflow_completed"),
    ("granulator", "aif.orchestrator.execute"),
    ("granulator", "aif.orchestrator.get"),
    ("granulator", "aif.control.content_granulator"),
    ("granulator", "aif.performance.content_granulator"),
    ("granulator", "$KV.aif_registry.topic_researcher.1"),
    ("granulator", "aif.report.topic_researcher"),
    ("researcher", "aif.report.content_granulator"),
    ("analyst", "aif.report.topic_researcher"),
    ("planner", "aif.report.analyst"),
    ("classifier", "aif.report.analyst"),
    ("classifier", "aif.usage.exec_1"),
    ("analyst", "aif.report.classifier"),
    ("analyst", "$KV.aif_registry.classifier.1"),
    # What others have configured.
    *((user, "$KV.aif_config.system") for user in [*SERVICES, "operator", "client_acme"] if user != "kam"),
    ("client_acme", "$JS.API.DIRECT.GET.KV_aif_config.$KV.aif_config.system"),
    ("classifier", "$JS.API.DIRECT.GET.KV_aif_config.$KV.aif_config.client.acme.company"),
    ("researcher", "$KV.aif_registry.content_optimizer.1"),
    ("researcher", "aif.work.content_granulator.normal"),
    ("researcher", "aif.orchestrator.execute"),
    ("researcher", "aif.event.acme.exec_1.workflow_completed"),
    ("researcher", "$JS.API.STREAM.UPDATE.AIF_WORK"),
    ("granulator", "$JS.API.STREAM.UPDATE.AIF_WORK"),
    ("kam", "$JS.API.STREAM.UPDATE.AIF_EVENTS"),
    ("classifier", "$JS.API.STREAM.UPDATE.AIF_PERFORMANCE"),
    ("classifier", "aif.orchestrator.execute"),
    ("classifier", "aif.work.content_granulator.normal"),
    ("classifier", "aif.performance.classifier"),
    ("classifier", "$KV.aif_responses.acme.digest"),
    # Deleting what others have stored.
    *((user, "$JS.API.STREAM.PURGE.KV_aif_blobs_kv") for user in USERS if user not in ("kam", "orchestrator", "operator")),
    *((user, "$JS.API.STREAM.PURGE.OBJ_aif_blobs") for user in USERS if user not in ("kam", "orchestrator", "operator")),
    # Packets, orders and reports of others: fetched or acknowledged.
    ("granulator", "$JS.API.CONSUMER.MSG.NEXT.AIF_WORK.topic_researcher_normal"),
    ("researcher", "$JS.API.CONSUMER.MSG.NEXT.AIF_WORK.content_granulator_normal"),
    ("analyst", "$JS.API.CONSUMER.MSG.NEXT.AIF_WORK.content_granulator_normal"),
    ("planner", "$JS.API.CONSUMER.MSG.NEXT.AIF_WORK.analyst_normal"),
    ("classifier", "$JS.API.CONSUMER.MSG.NEXT.AIF_WORK.analyst_normal"),
    ("planner", "$JS.API.CONSUMER.MSG.NEXT.AIF_WORK.classifier_normal"),
    ("planner", "$JS.API.CONSUMER.MSG.NEXT.AIF_PERFORMANCE.classifier_performance"),
    ("planner", "aif.audit.analyst"),
    ("researcher", "$JS.ACK.AIF_WORK.content_optimizer_normal.1.1.1.1.0"),
    ("granulator", "$JS.API.CONSUMER.MSG.NEXT.AIF_REPORTS.orchestrator_reports"),
    ("granulator", "$JS.ACK.AIF_REPORTS.orchestrator_reports.1.1.1.1.0"),
    ("kam", "$JS.ACK.AIF_WORK.content_granulator_normal.1.1.1.1.0"),
    ("classifier", "$JS.API.CONSUMER.MSG.NEXT.AIF_REQUESTS.kam_requests"),
    ("orchestrator", "$JS.API.CONSUMER.MSG.NEXT.AIF_REQUESTS.kam_requests"),
    ("kam", "$JS.API.CONSUMER.MSG.NEXT.AIF_DEAD.orchestrator_dead"),
    ("granulator", "$JS.API.CONSUMER.MSG.NEXT.AIF_DEAD.orchestrator_dead"),
    ("granulator", "$JS.ACK.AIF_DEAD.orchestrator_dead.1.1.1.1.0"),
    ("granulator", subjects.REPLAY_DEAD_LETTER),
    ("client_acme", subjects.REPLAY_DEAD_LETTER),
    # What others have done, and what calls have cost.
    ("granulator", "aif.audit.kam"),
    ("granulator", "aif.audit.topic_researcher"),
    ("granulator", subjects.SETTLE_CALL),
    ("kam", "aif.audit.content_granulator"),
    ("kam", "$JS.API.CONSUMER.MSG.NEXT.AIF_AUDIT.orchestrator_audit"),
    ("kam", "$JS.API.STREAM.PURGE.AIF_AUDIT"),
    ("granulator", "$JS.ACK.AIF_AUDIT.orchestrator_audit.1.1.1.1.0"),
    # Forged replies.
    ("kam", "_INBOX.granulator.x"),
    ("granulator", "_INBOX.kam.x"),
    ("researcher", "_INBOX.granulator.x"),
    ("granulator", "_INBOX.orchestrator.x"),
    ("classifier", "_INBOX.granulator.x"),
    ("orchestrator", "_INBOX.client_acme.x"),
    ("operator", "_INBOX.kam.x"),
    ("operator", "$O.aif_blobs.C.x"),
    ("operator", "$KV.aif_blobs_kv.x"),
    # Another system.
    ("client_acme", "aif.request.submit.globex"),
    ("client_acme", "aif.request.submit.acme.more"),
    ("client_acme", "aif.orchestrator.execute"),
    ("client_acme", "aif.event.acme.exec_1.workflow_completed"),
    ("client_acme", "$JS.API.STREAM.INFO.AIF_REQUESTS"),
    ("client_acme", "$JS.API.STREAM.DELETE.AIF_REQUESTS"),
    ("client_acme", "_INBOX.kam.x"),
]

HEARING_ABUSES: list[tuple[str, str]] = [
    *((user, ">") for user in USERS),
    *((user, "_INBOX.>") for user in USERS),
    *((user, "$SYS.>") for user in USERS),
    *((user, "$JS.>") for user in USERS),
    *((user, "aif.>") for user in USERS if user != "operator"),
    *((user, "aif.work.>") for user in SERVICES),
    *((user, "_INBOX.kam.>") for user in USERS if user != "kam"),
    *((user, "_INBOX.granulator.>") for user in USERS if user != "granulator"),
    *((user, "$O.aif_blobs.>") for user in USERS),
    ("granulator", "aif.event.>"),
    ("granulator", "aif.orchestrator.*"),
    ("granulator", "aif.control.topic_researcher"),
    ("researcher", "aif.control.content_granulator"),
    ("researcher", "aif.event.>"),
    ("analyst", "aif.control.topic_researcher"),
    ("analyst", "aif.event.>"),
    ("planner", "aif.control.analyst"),
    ("planner", "aif.event.>"),
    ("classifier", "aif.control.analyst"),
    ("classifier", "aif.event.>"),
    ("kam", "aif.report.*"),
    ("client_acme", "aif.event.>"),
    ("client_acme", "aif.event.globex.>"),
    ("client_acme", "aif.alert.acme"),
    ("client_acme", "aif.request.submit.*"),
    ("client_acme", "$KV.aif_config.>"),
    ("classifier", "$KV.aif_config.>"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def broker_url(servers_dir: Path) -> AsyncIterator[str]:
    folder = servers_dir / "nats-with-users"
    folder.mkdir()
    arguments = ["-a", "127.0.0.1", "-p", "-1", "-m", "-1", "--store_dir", str(folder), "--ports_file_dir", str(folder)]
    server = await asyncio.create_subprocess_exec(
        str(find_nats_server(os.environ)),
        *("--config", str(CONFIGURATION), "--log", str(folder / "log"), *arguments),
        env={f"NATS_{user.upper()}_PASSWORD": _password(user) for user in USERS},
    )
    url = await eventually(lambda: _url_in(folder), what="the broker writes its ports")
    async with _bus(url, "orchestrator") as bus:
        await bus.declare_topology()
    yield url
    server.send_signal(signal.SIGTERM)
    await server.wait()


def _url_in(folder: Path) -> str:
    for ports in folder.glob("*.ports"):
        # The file may be there before its content is.
        with contextlib.suppress(msgspec.DecodeError):
            return str(msgspec.json.decode(ports.read_bytes())["nats"][0])
    return ""


@pytest.mark.parametrize(("user", "subject"), PUBLISHING_ABUSES)
async def test_publishing_what_is_not_its_own_is_refused(broker_url: str, user: str, subject: str) -> None:
    async with _client(broker_url, user) as (client, violations):
        await client.publish(subject, b"{}", reply=f"_INBOX.{user}.abuse")
        await client.flush()

        await eventually(lambda: violations)
        assert f'Publish to "{subject}"'.lower() in violations[0]


@pytest.mark.parametrize(("user", "subject"), HEARING_ABUSES)
async def test_hearing_what_is_not_for_it_is_refused(broker_url: str, user: str, subject: str) -> None:
    async with _client(broker_url, user) as (client, violations):
        await client.subscribe(subject)
        await client.flush()

        await eventually(lambda: violations)
        assert f'Subscription to "{subject}"'.lower() in violations[0]


@pytest.mark.parametrize("user", USERS)
async def test_a_wrong_password_or_an_empty_one_is_refused(broker_url: str, user: str) -> None:
    assert await _greeting(broker_url, {"user": user, "pass": _password(user)}) == b"PONG\r\n"

    assert await _greeting(broker_url, {"user": user, "pass": "wrong"}) == b"-ERR 'Authorization Violation'\r\n"
    assert await _greeting(broker_url, {"user": user, "pass": ""}) == b"-ERR 'Authorization Violation'\r\n"


async def test_nobody_enters_without_a_name(broker_url: str) -> None:
    assert await _greeting(broker_url, {}) == b"-ERR 'Authorization Violation'\r\n"


@pytest.mark.parametrize("service", SERVICES)
async def test_every_service_may_declare_the_streams_again(broker_url: str, service: str) -> None:
    async with _bus(broker_url, service) as bus:
        await bus.declare_topology()

        assert bus.trouble is None


@pytest.mark.parametrize(
    ("user", "stream"),
    [
        ("kam", subjects.STREAM_REQUESTS),
        *[("orchestrator", stream) for stream in (subjects.STREAM_REPORTS, subjects.STREAM_USAGE, subjects.STREAM_AUDIT)],
        *[(worker, subjects.STREAM_WORK) for worker in [*MODEL_USERS, "classifier"]],
    ],
)
async def test_whoever_reads_a_work_queue_may_keep_its_ballast(broker_url: str, user: str, stream: str) -> None:
    async with _client(broker_url, user) as (client, violations):
        kept = await client.jetstream().publish(subjects.ballast(stream), b"", timeout=10)

        assert (kept.stream, violations) == (stream, [])


async def test_an_order_of_another_system_reaches_the_gateway(broker_url: str) -> None:
    async with _client(broker_url, "client_acme") as (client, violations), _bus(broker_url, "kam") as kam:
        stored = await client.jetstream().publish(subjects.submit("acme"), b'{"template":"x"}')
        payloads = await _fetch_and_ack(kam, subjects.STREAM_REQUESTS, subjects.CONSUMER_REQUESTS, subjects.ALL_REQUESTS)

        assert stored.stream == subjects.STREAM_REQUESTS
        assert payloads == [b'{"template":"x"}']
        assert violations == []
        assert kam.trouble is None


async def test_another_system_hears_the_events_of_its_client_alone(broker_url: str) -> None:
    async with _client(broker_url, "client_acme") as (client, violations), _bus(broker_url, "orchestrator") as orchestrator:
        heard = await client.subscribe("aif.event.acme.>")
        await all_is_read(client)
        for client_id in ("globex", "acme"):
            subject = subjects.event(client_id, "exec_1", "STEP_COMPLETED")
            await orchestrator.publish([Outgoing(subject=subject, payload=client_id.encode())])

        first = await heard.next_msg(10)

        assert (first.subject, first.data) == ("aif.event.acme.exec_1.step_completed", b"acme")
        assert violations == []


async def test_the_brokers_answer_to_another_system_says_nothing_inside_the_factory(broker_url: str) -> None:
    forged = subjects.event("globex", "exec_1", "WORKFLOW_COMPLETED")
    async with _client(broker_url, "client_acme") as (client, _), _client(broker_url, "operator") as (operator, _):
        heard = await operator.subscribe("aif.event.>")
        await all_is_read(operator)
        await client.publish(subjects.submit("acme"), b"{}", reply=forged)
        await client.jetstream().publish(subjects.submit("acme"), b"{}")
        await operator.publish(subjects.event("acme", "exec_2", "STEP_COMPLETED"), b"last")

        assert (await heard.next_msg(10)).data == b"last"
        await operator.jetstream().purge_stream(subjects.STREAM_REQUESTS)


@pytest.mark.parametrize("priority", ["low", "normal", "high", "critical"])
@pytest.mark.parametrize(("user", "worker"), WORKERS)
async def test_a_packet_reaches_the_worker_and_its_report_comes_back(
    broker_url: str, priority: str, user: str, worker: str
) -> None:
    async with _bus(broker_url, "orchestrator") as orchestrator, _bus(broker_url, user) as process:
        await orchestrator.publish([Outgoing(subject=subjects.work(worker, priority), payload=b"packet")])
        packets = await _fetch_and_ack(
            process, subjects.STREAM_WORK, subjects.work_consumer(worker, priority), subjects.work(worker, priority)
        )
        await process.publish(
            [
                Outgoing(subject=subjects.report(worker), payload=b"report"),
                Outgoing(subject=subjects.dead("work"), payload=b"letter"),
            ]
        )
        reports = await _fetch_and_ack(orchestrator, subjects.STREAM_REPORTS, subjects.CONSUMER_REPORTS, subjects.ALL_REPORTS)

        assert (packets, reports) == ([b"packet"], [b"report"])
        assert orchestrator.trouble is None
        assert process.trouble is None


@pytest.mark.parametrize("user", MODEL_USERS)
async def test_a_call_that_is_booked_reaches_the_orchestrator(broker_url: str, user: str) -> None:
    async with _bus(broker_url, user) as process, _bus(broker_url, "orchestrator") as orchestrator:
        await process.publish([Outgoing(subject=subjects.usage("exec_1"), payload=b"call")])

        calls = await _fetch_and_ack(orchestrator, subjects.STREAM_USAGE, subjects.CONSUMER_USAGE, subjects.ALL_USAGE)

        assert calls == [b"call"]
        assert process.trouble is None


@pytest.mark.parametrize(("user", "worker"), WORKERS)
async def test_an_offer_is_taken_or_refused_and_the_direct_report_is_answered(broker_url: str, user: str, worker: str) -> None:
    taken: list[bytes] = []

    def take_one(offer: Offer) -> bool:
        taken.append(offer.payload)
        return offer.payload == b"welcome"

    async def confirm(question: Question) -> bytes:
        return b"re: " + question.payload

    async with (
        _bus(broker_url, "orchestrator") as orchestrator,
        _bus(broker_url, user) as process,
        orchestrator.listen(subjects.refusals("replica_1")) as refused,
        process.take_offers(subjects.offers(worker), worker, take_one),
    ):
        await orchestrator.answer(subjects.direct_reports("replica_1"), "replica_1", confirm)
        await orchestrator.offer([_offer(worker, payload) for payload in (b"welcome", b"unwanted")])
        refusal = await refused.next(10)

        assert taken == [b"welcome", b"unwanted"]
        assert refusal is not None
        assert subjects.refused_packet(refusal.subject) == "unwanted"
        assert await process.ask(subjects.direct_report("replica_1", worker), b"report", wait_seconds=10) == b"re: report"


async def test_the_process_of_the_classifier_works_as_its_user(broker_url: str, fresh_database: str, tmp_path: Path) -> None:
    credentials = {"AIF_NATS_USER": "classifier", "AIF_NATS_PASSWORD": _password("classifier")}

    async def grant(_: Question) -> bytes:
        return msgspec.json.encode(Granted(attempt=1, grant=Grant(), timeout_ms=10_000))

    async with (
        classifier_processes(broker_url, fresh_database, tmp_path, credentials) as start,
        _bus(broker_url, "orchestrator") as orchestrator,
    ):
        await orchestrator.answer(subjects.CLAIM, subjects.ORCHESTRATOR_GROUP, grant)
        await start()
        blobs = NatsBlobStore(orchestrator)
        packet = WorkPacket(
            packet_id="packet_1",
            execution_id="exec_1",
            stage_id="stage_1",
            attempt=0,
            worker_name="classifier",
            action="analyze_worker_performance",
            control=Control(),
            data_ref=await blobs.put("data/exec_1/stage_1/input", b"{}", inline_limit_bytes=0),
            grant=None,
            context=Context(client_id="acme"),
            inline_limit_bytes=0,
        )
        await orchestrator.publish(
            [Outgoing(subject=subjects.work("classifier", "normal"), payload=msgspec.json.encode(packet))]
        )

        told = await eventually(lambda: _reports(orchestrator), 10, what="it reports")
        ready = msgspec.json.decode((tmp_path / "ready-0").read_bytes(), type=Ready)
        async with httpx.AsyncClient() as http:
            health = await http.get(f"http://127.0.0.1:{ready.port}/health")

        [report] = msgspec.json.decode(told[0], type=list[Report])
        assert isinstance(report, Completed)
        assert msgspec.json.decode(await blobs.get(report.output), type=WorkerInsights).figures == ()
        assert health.status_code == 200, health.text


@pytest.mark.parametrize(
    ("asker", "subject", "answerer"),
    [
        *(("kam", subject, "orchestrator") for subject in (subjects.EXECUTE, subjects.CANCEL, subjects.GET)),
        *(("kam", subject, "orchestrator") for subject in (subjects.LIST, subjects.EVENTS, subjects.TEMPLATES)),
        *(("kam", subject, "orchestrator") for subject in (subjects.LIST_DEAD_LETTERS, subjects.GET_DEAD_LETTER)),
        *(("kam", subject, "orchestrator") for subject in (subjects.REPLAY_DEAD_LETTER, subjects.DISMISS_DEAD_LETTER)),
        *(("kam", subject, "orchestrator") for subject in (subjects.SEARCH_CALLS, subjects.SETTLE_CALL)),
        *(("kam", subject, "orchestrator") for subject in (subjects.LIST_AUDIT, subjects.VERIFY_AUDIT)),
        *(("kam", subject, "orchestrator") for subject in (subjects.GET_BUDGET, subjects.SET_BUDGET, subjects.LIST_BUDGETS)),
        *(("kam", subject, "orchestrator") for subject in (subjects.REPORT_USAGE, subjects.REPORT_MONTH)),
        ("granulator", subjects.CLAIM, "orchestrator"),
        ("granulator", subjects.PROGRESS, "orchestrator"),
        ("researcher", subjects.CLAIM, "orchestrator"),
        ("researcher", subjects.PROGRESS, "orchestrator"),
        ("analyst", subjects.CLAIM, "orchestrator"),
        ("analyst", subjects.PROGRESS, "orchestrator"),
        ("planner", subjects.CLAIM, "orchestrator"),
        ("planner", subjects.PROGRESS, "orchestrator"),
        ("classifier", subjects.CLAIM, "orchestrator"),
        ("classifier", subjects.PROGRESS, "orchestrator"),
        ("kam", subjects.INSIGHTS, "classifier"),
        ("operator", subjects.LIST, "orchestrator"),
        ("operator", subjects.INSIGHTS, "classifier"),
    ],
)
async def test_a_question_gets_its_answer(broker_url: str, asker: str, subject: str, answerer: str) -> None:
    async def answer(question: Question) -> bytes:
        return b"re: " + question.payload

    async with _bus(broker_url, asker) as asking, _bus(broker_url, answerer) as answering:
        await answering.answer(subject, "group", answer)

        assert await asking.ask(subject, b"how?", wait_seconds=10) == b"re: how?"


async def test_the_gateway_hears_events_live_and_stored(broker_url: str) -> None:
    event = Outgoing(subject=subjects.event("acme", "exec_1", "STEP_COMPLETED"), payload=b"event")
    pattern = subjects.events_of_execution("acme", "exec_1")
    async with _bus(broker_url, "orchestrator") as orchestrator, _bus(broker_url, "kam") as kam, kam.listen(pattern) as heard:
        await orchestrator.publish([event])
        live = await heard.next(10)
        # Behind the events of other tests, and not always in the same batch.
        async with asyncio.timeout(10):
            while b"event" not in await _fetch_and_ack(
                kam, subjects.STREAM_EVENTS, subjects.CONSUMER_KAM_EVENTS, subjects.ALL_EVENTS
            ):
                pass

    assert live is not None
    assert live.payload == b"event"


@pytest.mark.parametrize(("user", "worker"), WORKERS)
async def test_a_cancel_reaches_the_workers_of_its_kind(broker_url: str, user: str, worker: str) -> None:
    subject = subjects.control(worker)
    async with (
        _bus(broker_url, "orchestrator") as sender,
        _bus(broker_url, user) as process,
        process.listen(subject) as heard,
    ):
        await sender.broadcast(subject, b"cancel")
        cancel = await heard.next(10)

    assert cancel is not None
    assert cancel.payload == b"cancel"


@pytest.mark.parametrize(
    ("user", "origin"),
    [
        ("kam", "kam"),
        ("researcher", "topic_researcher"),
        ("granulator", "content_granulator"),
        ("granulator", "content_optimizer"),
        ("analyst", "analyst"),
        ("planner", "workflow_generator"),
    ],
)
async def test_what_has_to_be_provable_reaches_the_orchestrator(broker_url: str, user: str, origin: str) -> None:
    async with _bus(broker_url, user) as service, _bus(broker_url, "orchestrator") as orchestrator:
        await service.publish([Outgoing(subject=subjects.audit(origin), payload=b"entry")])
        told = await _fetch_and_ack(orchestrator, subjects.STREAM_AUDIT, subjects.CONSUMER_AUDIT, subjects.ALL_AUDIT)

        assert told == [b"entry"]
        assert orchestrator.trouble is None


@pytest.mark.parametrize("user", MODEL_USERS)
async def test_what_is_configured_reaches_the_workers(broker_url: str, user: str) -> None:
    async with (
        _bus(broker_url, "kam") as kam,
        _bus(broker_url, user) as worker,
        worker.watch(subjects.BUCKET_CONFIG) as changes,
    ):
        await kam.put_entry(subjects.BUCKET_CONFIG, "system", b"{}")
        change = await changes.next(10)

        assert change is not None
        assert (watched_key(change), change.payload) == ("system", b"{}")
        assert await worker.entry(subjects.BUCKET_CONFIG, "system") == b"{}"
        assert await kam.entries(subjects.BUCKET_CONFIG) == {"system": b"{}"}
        assert (kam.trouble, worker.trouble) == (None, None)
        await kam.delete_entry(subjects.BUCKET_CONFIG, "system")
        assert await worker.entry(subjects.BUCKET_CONFIG, "system") is None


async def test_measurements_reach_the_classifier(broker_url: str) -> None:
    async with _bus(broker_url, "orchestrator") as orchestrator, _bus(broker_url, "classifier") as classifier:
        await orchestrator.publish([Outgoing(subject=subjects.performance("content_granulator"), payload=b"figures")])
        measured = await _fetch_and_ack(
            classifier, subjects.STREAM_PERFORMANCE, subjects.CONSUMER_PERFORMANCE, subjects.ALL_PERFORMANCE
        )

        assert measured == [b"figures"]
        assert classifier.trouble is None


@pytest.mark.parametrize(("user", "worker"), WORKERS)
async def test_a_worker_registers_and_the_orchestrator_sees_it(broker_url: str, user: str, worker: str) -> None:
    async with _bus(broker_url, user) as process, _bus(broker_url, "orchestrator") as orchestrator:
        await process.put_entry(subjects.BUCKET_REGISTRY, f"{worker}.1", b"here", ttl_seconds=15)

        assert (await orchestrator.entries(subjects.BUCKET_REGISTRY))[f"{worker}.1"] == b"here"
        assert process.trouble is None


@pytest.mark.parametrize("user", MODEL_USERS)
async def test_an_answer_that_one_worker_kept_is_found_by_every_replica(broker_url: str, user: str) -> None:
    async with _bus(broker_url, user) as one, _bus(broker_url, user) as other:
        await one.put_entry(subjects.BUCKET_RESPONSES, "acme.digest", b"{}")

        assert await other.entry(subjects.BUCKET_RESPONSES, "acme.digest") == b"{}"


@pytest.mark.parametrize("writer", ["kam", "orchestrator", "granulator", "researcher", "classifier"])
@pytest.mark.parametrize("size_bytes", [100_000, 600_000])
async def test_a_blob_of_one_service_is_read_by_the_others(broker_url: str, writer: str, size_bytes: int) -> None:
    content = writer[:1].encode() * size_bytes
    async with _bus(broker_url, writer) as bus:
        ref = await NatsBlobStore(bus).put(f"data/{writer}/{size_bytes}", content, inline_limit_bytes=0)

    for reader in ("kam", "orchestrator", "granulator", "researcher", "classifier"):
        async with _bus(broker_url, reader) as bus:
            assert await NatsBlobStore(bus).get(ref) == content
            assert bus.trouble is None


@pytest.mark.parametrize("deleter", ["kam", "orchestrator"])
@pytest.mark.parametrize("size_bytes", [100, 600_000])
async def test_blobs_that_nobody_needs_are_deleted(broker_url: str, deleter: str, size_bytes: int) -> None:
    async with _bus(broker_url, "granulator") as writer, _bus(broker_url, deleter) as bus:
        folder = f"data/{deleter}_{size_bytes}"
        ref = await NatsBlobStore(writer).put(f"{folder}/stage/output", os.urandom(size_bytes), inline_limit_bytes=0)

        assert await NatsBlobStore(bus).delete_folders([folder]) == 1

        with pytest.raises(BlobMissing):
            await NatsBlobStore(writer).get(ref)


async def test_the_orchestrator_looks_for_fragments_of_blobs(broker_url: str) -> None:
    async with _bus(broker_url, "orchestrator") as bus:
        assert await NatsBlobStore(bus).delete_fragments(60) == 0


async def test_a_dead_letter_reaches_the_orchestrator_and_its_message_goes_back_to_whoever_gave_it_up(broker_url: str) -> None:
    worker = "content_granulator"
    again = [subjects.submit("acme"), subjects.work(worker, "low"), subjects.report(worker), subjects.usage("exec_1")]
    async with (
        _bus(broker_url, "kam") as kam,
        _bus(broker_url, "granulator") as granulator,
        _bus(broker_url, "orchestrator") as orchestrator,
    ):
        await granulator.publish([Outgoing(subject=subjects.dead("reports"), payload=b"letter")])
        letters = await _fetch_and_ack(orchestrator, subjects.STREAM_DEAD, subjects.CONSUMER_DEAD, subjects.ALL_DEAD)
        await orchestrator.publish([Outgoing(subject=subject, payload=b"again") for subject in again])

        assert letters[-1:] == [b"letter"]
        assert [
            await _fetch_and_ack(kam, subjects.STREAM_REQUESTS, subjects.CONSUMER_REQUESTS, subjects.ALL_REQUESTS),
            await _fetch_and_ack(
                granulator, subjects.STREAM_WORK, subjects.work_consumer(worker, "low"), subjects.work(worker, "low")
            ),
            await _fetch_and_ack(orchestrator, subjects.STREAM_REPORTS, subjects.CONSUMER_REPORTS, subjects.ALL_REPORTS),
            await _fetch_and_ack(orchestrator, subjects.STREAM_USAGE, subjects.CONSUMER_USAGE, subjects.ALL_USAGE),
        ] == [[b"again"]] * 4
        assert orchestrator.trouble is None


@pytest.mark.parametrize("listener", ["orchestrator", "kam"])
async def test_an_orchestrator_tells_the_others_and_the_gateways_of_changed_pipelines(broker_url: str, listener: str) -> None:
    async with (
        _bus(broker_url, "orchestrator") as one,
        _bus(broker_url, listener) as other,
        other.listen(subjects.PIPELINES_CHANGED) as heard,
    ):
        await one.broadcast(subjects.PIPELINES_CHANGED, b"")

        assert await heard.next(10) is not None
        assert one.trouble is None


async def test_the_operator_may_list_the_dead_letters_and_repair_a_stream(broker_url: str) -> None:
    async with _client(broker_url, "operator") as (client, violations):
        jetstream = client.jetstream()
        await jetstream.publish(subjects.dead("work"), b"letter")
        letter = await jetstream.get_last_msg(subjects.STREAM_DEAD, subjects.dead("work"))
        await jetstream.purge_stream(subjects.STREAM_DEAD)

        assert letter.data == b"letter"
        assert violations == []


async def _reports(orchestrator: Bus) -> list[bytes]:
    return await _fetch_and_ack(orchestrator, subjects.STREAM_REPORTS, subjects.CONSUMER_REPORTS, subjects.ALL_REPORTS)


def _offer(worker: str, payload: bytes) -> Offer:
    return Offer(
        subject=subjects.offer(subjects.work(worker, "normal")),
        payload=payload,
        refused_to=subjects.refusal("replica_1", payload.decode()),
    )


def _password(user: str) -> str:
    return f"password-of-{user}"


@asynccontextmanager
async def _client(url: str, user: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """A plain connection, and what the broker complains about to it, in lower case as the client library tells it."""
    violations: list[str] = []

    async def note(error: Exception) -> None:
        violations.append(str(error).lower())

    client = await nats.connect(
        url, user=user, password=_password(user), inbox_prefix=f"_INBOX.{user}", allow_reconnect=False, error_cb=note
    )
    try:
        yield client, violations
    finally:
        await client.close()


@asynccontextmanager
async def _bus(url: str, user: str) -> AsyncIterator[NatsBus]:
    """The bus as a service's process opens it."""
    async with await NatsBus.connect(
        url, name=user, user=user, password=_password(user), inbox_prefix=f"_INBOX.{user}", publish_limit_seconds=2
    ) as bus:
        yield bus


async def _fetch_and_ack(bus: Bus, stream: str, durable: str, filter_subject: str) -> list[bytes]:
    consumer = await bus.open_consumer(ConsumerSpec(stream=stream, durable=durable, filter_subject=filter_subject))
    deliveries = await consumer.fetch(10, 2)
    for delivery in deliveries:
        await delivery.ack()
    await consumer.close()
    return [delivery.payload for delivery in deliveries]


async def _greeting(url: str, credentials: dict[str, str]) -> bytes:
    """What the broker says to somebody who introduces himself; spoken without the client library, which leaves its socket
    open when it is refused."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        await reader.readline()
        writer.write(b"CONNECT " + msgspec.json.encode({"verbose": False, **credentials}) + b"\r\nPING\r\n")
        return await reader.readline()
    finally:
        writer.close()
        await writer.wait_closed()
