"""One value of every message struct, with every field set and none at its default."""

from typing import Any

from msgspec import Struct

from aif_contracts import events, orders, packets, reports, subjects
from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.dead_letters import DeadLetter
from aif_contracts.documents import Block, BlockKind, SourceDocument, Span
from aif_contracts.events import Deliverable, ExecutionEvent, Totals
from aif_contracts.metering import CallOutcome, CostLines, Metrics, ProviderCall, ResourceUsage, TimeBreakdown, Tokens
from aif_contracts.orders import ExecutionStatus, FieldMistake, StageStatus
from aif_contracts.packets import ControlAction, Priority
from aif_contracts.performance import (
    InsightsQuery,
    PerformanceRecord,
    Recommendation,
    RecommendationType,
    RollingFigures,
    WorkerInsights,
)
from aif_contracts.structures import Course, KeyPoint, Lesson, Module, Question, Quiz
from aif_contracts.workers import ActionDescription, WorkerDescription

INLINE_BLOB = BlobRef(
    storage_type=StorageType.INLINE,
    storage_key="data/exec_1/outline/input-e2b371f41306cf95",
    size_bytes=7,
    sha256="e2b371f41306cf95d2e7ab1e24030dfe06200e1c838647bd00207db841d12d03",
    media_type="text/plain",
    inline=b"\x00h\xc3\xafve\xff",
)
STORED_BLOB = BlobRef(
    storage_type=StorageType.OBJECT,
    storage_key="data/exec_1/outline/output-0d1c2b3a49586776",
    size_bytes=600_000,
    sha256="0d1c2b3a4958677665748392a1b0c9d8e7f60514233241506f7e8d9cabbac9d8",
    media_type="application/x-ndjson",
)
TOKENS = Tokens(
    prompt_tokens=1200,
    completion_tokens=340,
    total_tokens=1540,
    cache_read_tokens=1000,
    cache_write_tokens=100,
    reasoning_tokens=64,
)
BREAKDOWN = TimeBreakdown(ai_generation_ms=1800, validation_ms=12, storage_ms=40)
RESOURCES = ResourceUsage(api_calls=2, kv_operations=3, r2_operations=1, cpu_time_ms=35, memory_mb=96)
COST_LINES = CostLines(ai_generation_usd="0.0012", api_calls_usd="0.0001", storage_usd="0.00000005", compute_usd="0.000001")
METRICS = Metrics(
    tokens_used=TOKENS,
    provider="openai",
    model="gpt-5-mini",
    cost_usd="0.00130105",
    cost_lines=COST_LINES,
    processing_time_ms=1900,
    breakdown=BREAKDOWN,
    resource_usage=RESOURCES,
)
TOTALS = Totals(
    tokens_used=TOKENS,
    cost_usd="0.00130105",
    cost_is_complete=False,
    wall_time_ms=2100,
    busy_time_ms=1900,
    breakdown=BREAKDOWN,
    resource_usage=RESOURCES,
    attempts=2,
)
DELIVERABLE = Deliverable(
    deliverable_id="dlv_1", name="course", title="Bienenhaltung für Anfänger", media_type="application/json", blob=STORED_BLOB
)
STEP_RETRYING = events.StepRetrying(
    step_name="outline", attempt=1, code="timeout", message="no answer within 120 s", retry_in_ms=1500
)
EVENT = ExecutionEvent(
    id="exec_1:4",
    type="aif.step_retrying",
    time="2026-05-01T09:30:00.125Z",
    subject="exec_1",
    sequence=4,
    client_id="acme",
    progress_percent=40,
    data=STEP_RETRYING,
    request_id="req_1",
    source="/aif/elsewhere",
    specversion="1.1",
    datacontenttype="application/vnd.acme+json",
)
MISTAKE = FieldMistake(field="parameters.granularity_level", message="is 9", mend="a whole number from 1 to 5")
STAGE_VIEW = orders.StageView(
    stage_id="outline",
    worker_name="content_granulator",
    action="granulate",
    status=StageStatus.RETRYING,
    attempt=2,
    progress_percent=30,
    metrics=METRICS,
    quality_score=0.91,
    element_count=14,
    reason="timeout: no answer within 120 s",
)
EXECUTION_VIEW = orders.ExecutionView(
    execution_id="exec_1",
    client_id="acme",
    request_id="req_1",
    template="course",
    template_version="1",
    status=ExecutionStatus.PARTIALLY_COMPLETED,
    priority=Priority.HIGH,
    progress_percent=100,
    created_at="2026-05-01T09:29:58.000Z",
    completed_at="2026-05-01T09:30:02.000Z",
    stages=(STAGE_VIEW,),
    totals=TOTALS,
    deliverables=(DELIVERABLE,),
    last_sequence=9,
    failure_code="stage_failed",
    failure_message="the optional stage quiz failed",
)
TEMPLATE_VIEW = orders.TemplateView(
    name="course",
    version="1",
    title="Course",
    description="A course from a document.",
    structure_type="course",
    parameters={"type": "object", "required": ["source_text"]},
    stages=("outline", "assemble"),
)
GRANT = packets.Grant(
    models=("gpt-5-mini",), max_cost_usd="0.25", max_tokens=8000, energy=3, cache=False, parameters={"temperature": 0.2}
)
CONTROL = packets.Control(
    action=ControlAction.COMPENSATE, priority=Priority.CRITICAL, timeout_ms=90_000, deadline="2026-05-01T09:40:00.000Z"
)
CONTEXT = packets.Context(client_id="acme", request_id="req_1", workspace_id="ws_1", tier="premium")
OF_ATTEMPT: dict[str, Any] = {
    "packet_id": "pkt_1",
    "execution_id": "exec_1",
    "stage_id": "outline",
    "attempt": 2,
    "worker_name": "content_granulator",
    "instance_id": "granulator_1",
}
RECOMMENDATION = Recommendation(
    recommendation_id="rec_1",
    recommendation_type=RecommendationType.RELIABILITY,
    icon="🛡️",
    description="10.0 % of the attempts reach the limit: raise timeout_ms to 12000.",
    confidence=0.995,
    parameter="timeout_ms",
    current_value="10000",
    recommended_value="12000",
    expected_improvement="timeouts from 10.0 % to about 1.0 % of the attempts",
    sample_size=200,
    implementation_status="withdrawn",
    created_at="2026-05-01T09:30:00.125Z",
)
FIGURES = RollingFigures(
    worker_name="content_granulator",
    action="granulate",
    model="gpt-5-mini",
    attempts=200,
    successes=180,
    success_rate=0.9,
    success_rate_low=0.85,
    success_rate_high=0.93,
    time_ms_p50=8000,
    time_ms_p95=9800,
    queue_ms_p50=20,
    tokens_mean=1540,
    cost_usd_mean="0.0013",
    cost_usd_total="0.26",
    quality_mean=0.91,
    failures_by_code={"timeout": 20},
)
SPAN = Span(start=120, end=188)
KEY_POINT = KeyPoint(text="A colony has one queen.", source=SPAN)
INNER_LESSON = Lesson(title="The queen", summary="What she does.", key_points=(KEY_POINT,))
LESSON = Lesson(
    title="The colony",
    summary="Who lives in a hive.",
    key_points=(KEY_POINT,),
    objectives=("Name the three castes",),
    terms=("drone",),
    estimated_minutes=12,
    source=SPAN,
    sections=(INNER_LESSON,),
)
MODULE = Module(title="Bees", summary="The animal.", lessons=(LESSON,), source=SPAN)
QUESTION = Question(
    question="How many queens has a colony?",
    options=("one", "two"),
    answer_index=0,
    explanation="The source says so.",
    kind="true_false",
    difficulty="easy",
    source=SPAN,
)
BLOCK = Block(kind=BlockKind.HEADING, start=0, end=4, level=1)
ACTION = ActionDescription(name="granulate", paid=True)

SAMPLES: tuple[Struct, ...] = (
    INLINE_BLOB,
    DeadLetter(
        subject=subjects.report("exec_1"),
        reason="Invalid value 'nope' - at `$.type`",
        payload=b'{"type":"nope"}\xff',
        headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        deliveries=6,
        found_by="orchestrator",
    ),
    BLOCK,
    SPAN,
    SourceDocument(title="Bees", text="Bees\n\n", blocks=(BLOCK,), media_type="text/markdown", file_name="bees.md"),
    TOTALS,
    DELIVERABLE,
    events.WorkflowStarted(template="course", version="1", stages=("outline", "assemble")),
    events.WorkflowCompleted(status="partially_completed", totals=TOTALS, deliverables=(DELIVERABLE,)),
    events.WorkflowFailed(code="stage_failed", message="outline failed", totals=TOTALS, step_name="outline"),
    events.WorkflowCancelled(reason="cancelled by the client", totals=TOTALS),
    events.StepStarted(step_name="outline", attempt=1, worker_name="content_granulator", action="granulate"),
    events.StepCompleted(
        step_name="outline",
        attempt=2,
        tokens_used=TOKENS,
        cost_usd="0.00130105",
        processing_time_ms=1900,
        provider="openai",
        model="gpt-5-mini",
        quality_score=0.91,
        element_count=14,
        summary="1 module, 1 lesson",
    ),
    events.StepFailed(step_name="outline", attempt=3, code="timeout", message="no answer within 120 s"),
    events.StepSkipped(step_name="quiz", reason="its condition is false"),
    STEP_RETRYING,
    events.ProgressUpdate(progress_percent=40, message="structuring", step_name="outline", step_percent=60),
    events.CostIncurred(
        step_name="outline",
        attempt=2,
        cost_usd="0.00130105",
        total_cost_usd="0.0026021",
        provider="openai",
        model="gpt-5-mini",
    ),
    EVENT,
    TOKENS,
    BREAKDOWN,
    RESOURCES,
    COST_LINES,
    METRICS,
    ProviderCall(
        call_key="exec_1.outline.2.1",
        execution_id="exec_1",
        client_id="acme",
        stage_id="outline",
        attempt=2,
        worker_name="content_granulator",
        provider="openai",
        model="gpt-5-mini",
        purpose="fallback",
        outcome=CallOutcome.IN_DOUBT,
        tokens=TOKENS,
        cost_usd="0.0012",
        upper_bound_usd="0.004",
        price_version="2026-04-01",
        response_id="chatcmpl-1",
        latency_ms=1800,
        error="no answer within 60 s",
    ),
    orders.SubmittedOrder(
        template="course",
        parameters={"source_text": "# Bees"},
        message="for beginners, please",
        urgency_level=Priority.HIGH,
        idempotency_key="order-7",
        workspace_id="ws_1",
    ),
    orders.Execute(
        execution_id="exec_1",
        client_id="acme",
        template_name="course",
        parameters={"source_text": "# Bees"},
        priority=Priority.LOW,
        request_id="req_1",
        template_version="1",
        workspace_id="ws_1",
        tier="premium",
    ),
    STAGE_VIEW,
    EXECUTION_VIEW,
    orders.GetExecution(execution_id="exec_1", client_id="acme"),
    orders.CancelExecution(execution_id="exec_1", client_id="acme", reason="ordered twice"),
    orders.ListExecutions(client_id="acme", status=ExecutionStatus.RUNNING, cursor="exec_0", limit=50),
    orders.ExecutionPage(executions=(EXECUTION_VIEW,), next_cursor="exec_1"),
    orders.ListEvents(execution_id="exec_1", client_id="acme", after=3, limit=100),
    orders.EventPage(events=(EVENT,), is_final=True),
    orders.ListTemplates(),
    TEMPLATE_VIEW,
    orders.TemplateList(templates=(TEMPLATE_VIEW,)),
    MISTAKE,
    orders.Refusal(code="invalid_parameters", message="one parameter is wrong", mistakes=(MISTAKE,), retry_after_ms=2000),
    orders.Accepted(execution_id="exec_1", template_version="1", status=ExecutionStatus.RUNNING),
    CONTROL,
    GRANT,
    CONTEXT,
    packets.WorkPacket(
        packet_id="pkt_1",
        execution_id="exec_1",
        stage_id="outline",
        attempt=1,
        worker_name="content_granulator",
        action="granulate",
        control=CONTROL,
        data_ref=INLINE_BLOB,
        grant=GRANT,
        context=CONTEXT,
        inline_limit_bytes=0,
    ),
    packets.ClaimRequest(
        packet_id="pkt_1",
        execution_id="exec_1",
        stage_id="outline",
        instance_id="granulator_1",
        num_delivered=2,
        models=("gpt-5-mini",),
    ),
    packets.Granted(attempt=2, grant=GRANT, timeout_ms=90_000),
    packets.Later(retry_after_ms=500, reason="the client's executions wait their turn"),
    packets.Superseded(),
    packets.Cancelled(),
    packets.Proceed(),
    packets.ControlMessage(execution_id="exec_1", action=ControlAction.CANCEL, stage_id="outline", attempt=2),
    PerformanceRecord(
        execution_id="exec_1",
        stage_id="outline",
        attempt=2,
        client_id="acme",
        worker_name="content_granulator",
        action="granulate",
        template="course",
        template_version="1",
        success=False,
        execution_time_ms=10_000,
        queue_time_ms=20,
        metrics=METRICS,
        timestamp="2026-05-01T09:30:00.125Z",
        quality_score=0.4,
        element_count=3,
        input_size_bytes=5000,
        output_size_bytes=700,
        failure_code="timeout",
        timeout_ms=10_000,
    ),
    RECOMMENDATION,
    FIGURES,
    WorkerInsights(
        worker_name="content_granulator",
        analysis_period="24h",
        performance_score=0.77,
        figures=(FIGURES,),
        ai_recommendations=(RECOMMENDATION,),
        analysis_timestamp="2026-05-01T09:30:00.125Z",
    ),
    InsightsQuery(worker_name="content_granulator", analysis_period="24h"),
    reports.Accepted(**OF_ATTEMPT),
    reports.Progress(**OF_ATTEMPT, percent=60, message="structuring"),
    reports.Completed(
        **OF_ATTEMPT,
        output=STORED_BLOB,
        metrics=METRICS,
        quality_score=0.91,
        element_count=14,
        output_summary="1 module, 1 lesson",
    ),
    reports.Failed(
        **OF_ATTEMPT,
        code="timeout",
        message="no answer within 120 s",
        retryable=True,
        retry_after_ms=1500,
        metrics=METRICS,
    ),
    reports.Declined(**OF_ATTEMPT, code="unknown_action", message="granulate is not among my actions"),
    KEY_POINT,
    LESSON,
    MODULE,
    Course(
        title="Beekeeping",
        description="From the first hive on.",
        target_audience="beginners",
        granularity_level=3,
        modules=(MODULE,),
        estimated_minutes=12,
        structure_type="learning_path",
        made_by="openai/gpt-5-mini",
    ),
    QUESTION,
    Quiz(
        title="Bees",
        description="What stayed.",
        target_audience="beginners",
        questions=(QUESTION,),
        structure_type="exam",
        made_by="local_extractive",
    ),
    ACTION,
    WorkerDescription(
        worker_name="content_granulator",
        instance_id="granulator_1",
        version="0.1.0",
        actions=(ACTION,),
        capabilities=("structuring",),
        models=("gpt-5-mini",),
        slots=8,
    ),
)
