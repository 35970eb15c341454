"""Every NATS subject, stream, bucket and consumer name. They are spelled here and nowhere else.

| subject | stream | what |
|---|---|---|
| `aif.request.submit.<client_id>` | `AIF_REQUESTS` | orders of other systems, for the gateway |
| `aif.orchestrator.<verb>` | none | questions to any orchestrator replica (request/reply, one queue group) |
| `aif.classifier.<verb>` | none | questions to any classifier replica |
| `aif.work.<worker>.<priority>` | `AIF_WORK` | handshake packets |
| `aif.direct.offer.<worker>.<priority>` | none | handshake packets, for a worker that is free at once |
| `aif.direct.refusal.<replica>.<packet_id>` | none | an offer that nobody takes, to the orchestrator replica it came from |
| `aif.direct.report.<replica>.<worker>` | none | reports on what was offered, to that replica (request/reply) |
| `aif.control.<worker>` | none | cancel, to every worker of a kind |
| `aif.report.<worker>` | `AIF_REPORTS` | how attempts ended, those that ended together in one message |
| `aif.usage.<execution_id>` | `AIF_USAGE` | one message per provider call |
| `aif.event.<client_id>.<execution_id>.<type>` | `AIF_EVENTS` | what happened, for clients; named by its last event |
| `aif.alert.<client_id>` | `AIF_EVENTS` | a budget has passed a mark |
| `aif.audit.<origin>` | `AIF_AUDIT` | what has to be provable later, for the audit log |
| `aif.performance.<worker>` | `AIF_PERFORMANCE` | attempts that ended, one or many together, for the classifier |
| `aif.dead.<origin>` | `AIF_DEAD` | messages that could not be processed |
| `aif.ballast.<stream>` | the work queue of that name | a message that nobody reads; it keeps the queue's file |
"""

STREAM_REQUESTS = "AIF_REQUESTS"
STREAM_WORK = "AIF_WORK"
STREAM_REPORTS = "AIF_REPORTS"
STREAM_USAGE = "AIF_USAGE"
STREAM_EVENTS = "AIF_EVENTS"
STREAM_PERFORMANCE = "AIF_PERFORMANCE"
STREAM_AUDIT = "AIF_AUDIT"
STREAM_DEAD = "AIF_DEAD"

BUCKET_REGISTRY = "aif_registry"
BUCKET_CONFIG = "aif_config"
"""What people configure while the factory runs; every process that cares watches it."""
BUCKET_RESPONSES = "aif_responses"
"""The response cache; key: `<client_id>.<digest>`."""
BUCKET_BLOBS_KV = "aif_blobs_kv"
BUCKET_BLOBS = "aif_blobs"

ALL_REQUESTS = "aif.request.submit.*"
ALL_WORK = "aif.work.>"
ALL_REPORTS = "aif.report.*"
ALL_USAGE = "aif.usage.*"
ALL_EVENTS = "aif.event.>"
ALL_ALERTS = "aif.alert.*"
ALL_AUDIT = "aif.audit.*"
ALL_PERFORMANCE = "aif.performance.*"
ALL_DEAD = "aif.dead.*"

CONSUMER_REQUESTS = "kam_requests"
CONSUMER_REPORTS = "orchestrator_reports"
CONSUMER_USAGE = "orchestrator_usage"
CONSUMER_KAM_EVENTS = "kam_events"
CONSUMER_PERFORMANCE = "classifier_performance"
CONSUMER_AUDIT = "orchestrator_audit"
CONSUMER_DEAD = "orchestrator_dead"

_ENDS = frozenset({"workflow_completed", "workflow_failed", "workflow_cancelled"})

ORCHESTRATOR_GROUP = "orchestrator"
CLASSIFIER_GROUP = "classifier"

EXECUTE = "aif.orchestrator.execute"
CANCEL = "aif.orchestrator.cancel"
GET = "aif.orchestrator.get"
LIST = "aif.orchestrator.list"
EVENTS = "aif.orchestrator.events"
TEMPLATES = "aif.orchestrator.templates"
PAUSE = "aif.orchestrator.pause"
RESUME = "aif.orchestrator.resume"
DECIDE_APPROVAL = "aif.orchestrator.decide_approval"
SKIP_COMPENSATION = "aif.orchestrator.skip_compensation"
ATTEMPTS = "aif.orchestrator.attempts"
CALLS = "aif.orchestrator.calls"
WORKERS = "aif.orchestrator.workers"
SAVE_PIPELINE = "aif.orchestrator.save_pipeline"
LIST_PIPELINES = "aif.orchestrator.list_pipelines"
GET_PIPELINE = "aif.orchestrator.get_pipeline"
LIST_DEAD_LETTERS = "aif.orchestrator.list_dead_letters"
GET_DEAD_LETTER = "aif.orchestrator.get_dead_letter"
REPLAY_DEAD_LETTER = "aif.orchestrator.replay_dead_letter"
DISMISS_DEAD_LETTER = "aif.orchestrator.dismiss_dead_letter"
GET_BUDGET = "aif.orchestrator.get_budget"
SET_BUDGET = "aif.orchestrator.set_budget"
LIST_BUDGETS = "aif.orchestrator.list_budgets"
REPORT_USAGE = "aif.orchestrator.report_usage"
REPORT_MONTH = "aif.orchestrator.report_month"
SIMULATE = "aif.orchestrator.simulate"
SEARCH_CALLS = "aif.orchestrator.search_calls"
SETTLE_CALL = "aif.orchestrator.settle_call"
LIST_AUDIT = "aif.orchestrator.list_audit"
VERIFY_AUDIT = "aif.orchestrator.verify_audit"
CLAIM = "aif.orchestrator.claim"
PROGRESS = "aif.orchestrator.progress"
FOR_A_CHANGE = "Aif-For-A-Change"
"""Header, of any value, of a question to the orchestrator that only reads, but that an order or another change waits for."""

PIPELINES_CHANGED = "aif.orchestrator.pipelines_changed"
"""Told to every replica of the orchestrator and of the gateway when a pipeline was stored: PipelinesChanged."""

INSIGHTS = "aif.classifier.insights"


def submit(client_id: str) -> str:
    return f"aif.request.submit.{client_id}"


def work(worker: str, priority: str) -> str:
    return f"aif.work.{worker}.{priority}"


def worker_of_work(work_subject: str) -> str:
    return work_subject.split(".", 3)[2]


def work_consumer(worker: str, priority: str) -> str:
    """Durable consumer shared by all replicas of a worker."""
    return f"{worker}_{priority}"


def offer(work_subject: str) -> str:
    """Where a packet is offered that would otherwise wait under `work_subject`."""
    return f"aif.direct.offer.{work_subject.removeprefix('aif.work.')}"


def offers(worker: str) -> str:
    """All that is offered to a worker; the last token is the priority."""
    return f"aif.direct.offer.{worker}.*"


def refusal(replica: str, packet_id: str) -> str:
    return f"aif.direct.refusal.{replica}.{packet_id}"


def refusals(replica: str) -> str:
    return f"aif.direct.refusal.{replica}.>"


def refused_packet(refusal_subject: str) -> str:
    return refusal_subject.split(".", 4)[4]


def is_refusal(subject: str) -> bool:
    """Whether an offer with this reply subject names the replica that its report is told to."""
    return subject.startswith("aif.direct.refusal.") and subject.count(".") >= 4


def replica_of(refusal_subject: str) -> str:
    """The orchestrator replica that made an offer."""
    return refusal_subject.split(".", 4)[3]


def direct_report(replica: str, worker: str) -> str:
    return f"aif.direct.report.{replica}.{worker}"


def direct_reports(replica: str) -> str:
    """All reports on what a replica has offered; the last token is the worker."""
    return f"aif.direct.report.{replica}.*"


def control(worker: str) -> str:
    return f"aif.control.{worker}"


def report(worker: str) -> str:
    return f"aif.report.{worker}"


def usage(execution_id: str) -> str:
    return f"aif.usage.{execution_id}"


def event(client_id: str, execution_id: str, event_type: str) -> str:
    """`event_type` as in the payload of a message's last event, for example `STEP_COMPLETED`."""
    return f"aif.event.{client_id}.{execution_id}.{event_type.lower()}"


def events_of_execution(client_id: str, execution_id: str) -> str:
    return f"aif.event.{client_id}.{execution_id}.*"


def is_event(subject: str) -> bool:
    return subject.startswith("aif.event.")


def tells_progress(event_subject: str) -> bool:
    """Whether it is of events after which their execution goes on."""
    return last_token(event_subject) not in _ENDS


def ballast(stream: str) -> str:
    return f"aif.ballast.{stream}"


def alert(client_id: str) -> str:
    return f"aif.alert.{client_id}"


def audit(origin: str) -> str:
    """`origin` is the worker or service that says it."""
    return f"aif.audit.{origin}"


def performance(worker: str) -> str:
    return f"aif.performance.{worker}"


def is_performance(subject: str) -> bool:
    return subject.startswith("aif.performance.")


def dead(origin: str) -> str:
    """`origin` names the stream that the message came from, in lower case."""
    return f"aif.dead.{origin}"


def registry_entry(worker: str, instance: str) -> str:
    """Where a worker process writes its description: the subject of that key in the registry bucket."""
    return f"$KV.{BUCKET_REGISTRY}.{worker}.{instance}"


def last_token(subject: str) -> str:
    """The last token of a subject: the client of an order, the worker of a report."""
    return subject.rsplit(".", 1)[1]
