"""One value of every message struct, with every field set and none at its default."""

from typing import Any

from msgspec import Struct

from aif_contracts import dead_letters, events, history, orders, packets, pipelines, reports, subjects
from aif_contracts.analysis import (
    Mood,
    PiiEntity,
    PiiKind,
    Redaction,
    Sentiment,
    SentimentAnalysis,
    SentimentPart,
    Summary,
    SummarySentence,
    Transcript,
    Turn,
)
from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.configuration import (
    AiSettings,
    Company,
    ConfigurationEntry,
    Product,
    Products,
    Profile,
    SystemValues,
    Workspace,
)
from aif_contracts.dead_letters import DeadLetter, DeadLetterStatus
from aif_contracts.documents import Block, BlockKind, SourceDocument, Span
from aif_contracts.events import Deliverable, ExecutionEvent, Kept, Totals
from aif_contracts.metering import CallOutcome, CostLines, Metrics, ProviderCall, Purpose, ResourceUsage, TimeBreakdown, Tokens
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
from aif_contracts.research import Origin, OriginKind, Research, Subtopic
from aif_contracts.structures import Change, ChangeKind, Course, KeyPoint, Lesson, Module, Question, Quiz
from aif_contracts.workers import ActionDescription, ListWorkers, WorkerDescription, WorkerList
from architecture.audit_samples import AUDIT_SAMPLES
from architecture.simulation_samples import SIMULATION_SAMPLES
from architecture.usage_samples import USAGE_SAMPLES

PRODUCT = Product(
    product_id="prod_1",
    name="Hive",
    description="A house for bees.",
    price_usd="120.50",
    url="https://acme.example/hive",
    tags=("wood",),
    is_offered=False,
)
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
    cost_lines=COST_LINES,
    wall_time_ms=2100,
    busy_time_ms=1900,
    breakdown=BREAKDOWN,
    resource_usage=RESOURCES,
    attempts=2,
)
DELIVERABLE = Deliverable(
    deliverable_id="dlv_1", name="course", title="Bienenhaltung für Anfänger", media_type="application/json", blob=STORED_BLOB
)
KEPT = Kept(stages=("outline",), tokens_used=TOKENS, cost_usd="0.00130105", processing_time_ms=1900)
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
    added_by="review",
    compensates="publish",
)
BREAKDOWN_OF_EXECUTION = orders.Breakdown(
    by_worker={
        "content_granulator": orders.WorkerShare(attempts=2, tokens_used=TOKENS, cost_usd="0.00130105", busy_time_ms=1900)
    },
    by_resource=COST_LINES,
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
    leg=2,
    start_at="2026-05-01T09:29:59.000Z",
    max_cost_usd="0.75",
    breakdown=BREAKDOWN_OF_EXECUTION,
)
TEMPLATE_VIEW = orders.TemplateView(
    name="course",
    version="1",
    title="Course",
    description="A course from a document.",
    structure_type="course",
    parameters={"type": "object", "required": ["source_text"]},
    stages=("outline", "assemble"),
    owner="acme",
)
GRANT = packets.Grant(
    models=("gpt-5-mini",), max_cost_usd="0.25", max_tokens=8000, energy=3, cache=False, parameters={"temperature": 0.2}
)
CONTROL = packets.Control(
    action=ControlAction.COMPENSATE, priority=Priority.CRITICAL, timeout_ms=90_000, deadline="2026-05-01T09:40:00.000Z"
)
CONTEXT = packets.Context(client_id="acme", request_id="req_1", workspace_id="ws_1", tier="premium")
PREVIOUS_ATTEMPT = packets.PreviousAttempt(
    attempt=1, code="output_invalid", message="the output has no field `title`", output=STORED_BLOB
)
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
    module="Bees",
    lesson="The colony",
)
CHANGE = Change(kind=ChangeKind.MERGED, element="lesson", title="The hive", into="The colony")
SUBTOPIC = Subtopic(title="The colony", summary="Who lives in a hive.", key_points=(KEY_POINT,), source=SPAN)
ORIGIN = Origin(kind=OriginKind.DOCUMENT, title="Bees", note="word for word", file_name="bees.md", words=3_680)
BLOCK = Block(kind=BlockKind.HEADING, start=0, end=4, level=1)
ACTION = ActionDescription(name="granulate", paid=True)
WORKER_DESCRIPTION = WorkerDescription(
    worker_name="content_granulator",
    instance_id="granulator_1",
    version="0.1.0",
    actions=(ACTION,),
    capabilities=("structuring",),
    models=("gpt-5-mini",),
    slots=8,
)
PROVIDER_CALL = ProviderCall(
    call_key="exec_1.outline.2.1",
    execution_id="exec_1",
    client_id="acme",
    stage_id="outline",
    attempt=2,
    worker_name="content_granulator",
    provider="openai",
    model="gpt-5-mini",
    purpose=Purpose.FALLBACK,
    outcome=CallOutcome.IN_DOUBT,
    tokens=TOKENS,
    cost_usd="0.0012",
    upper_bound_usd="0.004",
    price_version="2026-04-01",
    response_id="chatcmpl-1",
    latency_ms=1800,
    error="no answer within 60 s",
)
ATTEMPT_VIEW = history.AttemptView(
    stage_id="outline",
    attempt=2,
    worker_name="content_granulator",
    action="granulate",
    outcome=history.AttemptOutcome.FAILED,
    queue_time_ms=20,
    execution_time_ms=1900,
    metrics=METRICS,
    packet_id="pkt_1",
    instance_id="granulator_1",
    started_at="2026-05-01T09:29:58.020Z",
    ended_at="2026-05-01T09:29:59.920Z",
    grant=GRANT,
    failure_code="output_invalid",
    message="the output has no field `title`",
    quality_score=0.4,
    element_count=3,
    output=STORED_BLOB,
)
PIPELINE_VIEW = pipelines.PipelineView(
    name="bee_course",
    version="1.2.0",
    owner="acme",
    title="Bees",
    description="A course on bees.",
    digest="0d1c2b3a4958677665748392a1b0c9d8e7f60514233241506f7e8d9cabbac9d8",
    created_at="2026-05-01T09:00:00.000Z",
    offered=True,
    stages=("outline", "assemble"),
)
DEAD_LETTER_VIEW = dead_letters.DeadLetterView(
    dead_letter_id="dead_1",
    origin="aif_reports",
    subject=subjects.report("exec_1"),
    reason="Invalid value 'nope' - at `$.type`",
    found_by="orchestrator",
    found_at="2026-05-01T09:30:00.125Z",
    deliveries=6,
    size_bytes=16,
    status=DeadLetterStatus.REPLAYED,
    execution_id="exec_1",
    decided_at="2026-05-01T10:00:00.000Z",
    decided_by="key_1",
)
TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}

TURN = Turn(text="Hello.", span=Span(start=0, end=6), start_ms=200, end_ms=900, speaker="speaker_1", confidence=0.97)
PII_ENTITY = PiiEntity(
    kind=PiiKind.EMAIL,
    source=Span(start=9, end=24),
    span=Span(start=9, end=16),
    replacement="[EMAIL]",
    found_by="rule:email",
)
SENTIMENT = Sentiment(label=Mood.NEGATIVE, score=-0.4)
SENTIMENT_PART = SentimentPart(
    text="It was late.",
    span=Span(start=0, end=12),
    sentiment=SENTIMENT,
    speaker="speaker_1",
    turn=0,
)
SUMMARY_SENTENCE = SummarySentence(text="It was late.", source=Span(start=0, end=12))
SAMPLES: tuple[Struct, ...] = (
    INLINE_BLOB,
    DeadLetter(
        subject=subjects.report("exec_1"),
        reason="Invalid value 'nope' - at `$.type`",
        payload=b'{"type":"nope"}\xff',
        headers=TRACE,
        deliveries=6,
        found_by="orchestrator",
        whole_size_bytes=600_000,
    ),
    DEAD_LETTER_VIEW,
    dead_letters.DeadLetterContent(dead_letter=DEAD_LETTER_VIEW, headers=TRACE, payload=b'{"type":"nope"}\xff'),
    dead_letters.ListDeadLetters(status=DeadLetterStatus.WAITING, origin="aif_work", cursor="dead_0", limit=50),
    dead_letters.DeadLetterPage(dead_letters=(DEAD_LETTER_VIEW,), next_cursor="dead_1"),
    dead_letters.GetDeadLetter(dead_letter_id="dead_1"),
    dead_letters.ReplayDeadLetter(dead_letter_id="dead_1", decided_by="key_1"),
    dead_letters.DismissDeadLetter(dead_letter_id="dead_1", decided_by="key_1"),
    BLOCK,
    SPAN,
    SourceDocument(title="Bees", text="Bees\n\n", blocks=(BLOCK,), media_type="text/markdown", file_name="bees.md"),
    TOTALS,
    DELIVERABLE,
    KEPT,
    events.WorkflowScheduled(template="course", version="1", start_at="2026-05-01T09:30:00.000Z"),
    events.WorkflowStarted(template="course", version="1", stages=("outline", "assemble")),
    events.WorkflowCompleted(status="partially_completed", totals=TOTALS, deliverables=(DELIVERABLE,)),
    events.WorkflowFailed(
        code="stage_failed", message="outline failed", totals=TOTALS, step_name="outline", not_undone=("publish",)
    ),
    events.WorkflowCancelled(reason="cancelled by the client", totals=TOTALS, not_undone=("publish",)),
    events.WorkflowPaused(reason="paused by the client"),
    events.WorkflowResumed(leg=2, kept=KEPT),
    events.StepAdded(
        step_name="polish",
        added_by="outline",
        worker_name="content_optimizer",
        action="optimize_large_structure",
        reason="outline.element_count > 100",
    ),
    events.ApprovalRequested(step_name="outline", message="the outline costs more than usual"),
    events.ApprovalDecided(step_name="outline", approved=True, decided_by="key_1", comment="go on"),
    events.CompensationStarted(step_name="publish", worker_name="publisher", action="unpublish"),
    events.CompensationCompleted(step_name="publish", attempt=1, summary="1 page withdrawn"),
    events.CompensationFailed(step_name="publish", code="timeout", message="no answer within 120 s"),
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
    PROVIDER_CALL,
    orders.SubmittedOrder(
        template="course",
        parameters={"source_text": "# Bees"},
        message="for beginners, please",
        urgency_level=Priority.HIGH,
        idempotency_key="order-7",
        workspace_id="ws_1",
        start_at="2026-05-02T06:00:00+02:00",
        max_cost_usd="0.75",
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
        start_at="2026-05-02T04:00:00.000Z",
        max_cost_usd="0.75",
    ),
    STAGE_VIEW,
    BREAKDOWN_OF_EXECUTION,
    BREAKDOWN_OF_EXECUTION.by_worker["content_granulator"],
    EXECUTION_VIEW,
    orders.GetExecution(execution_id="exec_1", client_id="acme"),
    orders.CancelExecution(execution_id="exec_1", client_id="acme", reason="ordered twice"),
    orders.PauseExecution(execution_id="exec_1", client_id="acme", reason="the source is being corrected"),
    orders.ResumeExecution(execution_id="exec_1", client_id="acme"),
    orders.Resumed(execution=EXECUTION_VIEW, kept=KEPT),
    orders.DecideApproval(
        execution_id="exec_1", client_id="acme", approved=False, decided_by="key_1", stage_id="outline", comment="too long"
    ),
    orders.ListExecutions(
        client_id="acme",
        status=ExecutionStatus.RUNNING,
        template="course",
        request_id="req_1",
        created_after="2026-05-01T00:00:00Z",
        created_before="2026-05-02T00:00:00Z",
        text="bees",
        cursor="exec_0",
        limit=50,
    ),
    orders.ExecutionPage(executions=(EXECUTION_VIEW,), next_cursor="exec_1"),
    orders.ListEvents(execution_id="exec_1", client_id="acme", after=3, limit=100),
    orders.EventPage(events=(EVENT,), is_final=True),
    orders.ListTemplates(client_id="acme"),
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
        previous=PREVIOUS_ATTEMPT,
    ),
    PREVIOUS_ATTEMPT,
    packets.ClaimRequest(
        packet_id="pkt_1",
        execution_id="exec_1",
        stage_id="outline",
        instance_id="granulator_1",
        num_delivered=2,
        models=("gpt-5-mini",),
        claim_id="claim_1",
    ),
    packets.Granted(attempt=2, grant=GRANT, timeout_ms=90_000, alone=True),
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
    reports.Progress(**OF_ATTEMPT, percent=60, message="structuring", is_waiting=True),
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
        changes=(CHANGE,),
    ),
    QUESTION,
    Quiz(
        title="Bees",
        description="What stayed.",
        target_audience="beginners",
        questions=(QUESTION,),
        structure_type="exam",
        made_by="local_extractive",
        changes=(CHANGE,),
    ),
    CHANGE,
    SUBTOPIC,
    ORIGIN,
    TURN,
    PII_ENTITY,
    SENTIMENT,
    SENTIMENT_PART,
    SUMMARY_SENTENCE,
    Transcript(
        text="Hello.\nGood day.",
        turns=(
            TURN,
            Turn(
                text="Good day.", span=Span(start=7, end=16), start_ms=1400, end_ms=2100, speaker="speaker_2", confidence=0.93
            ),
        ),
        duration_ms=2500,
        language="en",
        speakers=("speaker_1", "speaker_2"),
        is_diarized=True,
        confidence=0.943,
        note="Each channel is one speaker.",
        structure_type="interview",
        made_by="local_speech/pocketsphinx-5",
    ),
    Redaction(
        text="Write to [EMAIL].",
        entities=(PII_ENTITY,),
        counts={"email": 1},
        characters=25,
        turns=(Turn(text="Write to [EMAIL].", span=Span(start=0, end=17), speaker="speaker_1"),),
        looked_for=(PiiKind.EMAIL,),
        note="Places were not looked for.",
        structure_type="clearing",
        made_by="local_pii/rules-1",
    ),
    SentimentAnalysis(
        text="Negative.",
        overall=SENTIMENT,
        parts=(SENTIMENT_PART,),
        turns=(SENTIMENT,),
        by_speaker={"speaker_1": SENTIMENT},
        note="Judged sentence by sentence.",
        structure_type="mood",
        made_by="local_sentiment/vader-3",
    ),
    Summary(
        text="It was late.",
        sentences=(SUMMARY_SENTENCE,),
        words=3,
        source_words=40,
        structure_type="abstract",
        made_by="local_summary/textrank-1",
    ),
    Research(
        topic="Beekeeping",
        research_summary="A colony has one queen.",
        key_points=(KEY_POINT,),
        subtopics=(SUBTOPIC,),
        sources=(ORIGIN,),
        summary_source=(SPAN,),
        structure_type="survey",
        made_by="local_extractive",
    ),
    ACTION,
    WORKER_DESCRIPTION,
    ListWorkers(),
    WorkerList(workers=(WORKER_DESCRIPTION,)),
    ATTEMPT_VIEW,
    history.ListAttempts(execution_id="exec_1", client_id="acme", cursor="2", limit=50),
    history.AttemptPage(attempts=(ATTEMPT_VIEW,), next_cursor="3"),
    history.ListCalls(execution_id="exec_1", client_id="acme", cursor="exec_1.outline.1.1", limit=50),
    history.CallPage(calls=(PROVIDER_CALL,), next_cursor="exec_1.outline.2.1"),
    pipelines.SavePipeline(client_id="acme", document="name: bee_course", dry_run=True, require_workers=False),
    PIPELINE_VIEW,
    pipelines.PipelineSaved(
        name="bee_course",
        version="1.2.0",
        owner="acme",
        digest="0d1c2b3a4958677665748392a1b0c9d8e7f60514233241506f7e8d9cabbac9d8",
        is_new=True,
        notes=("no worker offers content_granulator.granulate now",),
    ),
    pipelines.ListPipelines(client_id="acme", name="bee_course", cursor="bee_course:1.1.0", limit=50),
    pipelines.PipelinePage(pipelines=(PIPELINE_VIEW,), next_cursor="bee_course:1.2.0"),
    pipelines.GetPipeline(client_id="acme", name="bee_course", version="1.2.0"),
    pipelines.PipelineDocument(pipeline=PIPELINE_VIEW, document={"name": "bee_course", "timeout": "10m"}),
    ConfigurationEntry(revision=7, content={"name": "Acme"}),
    SystemValues(values={"orchestrator_primary_model": "gpt-4o-mini"}),
    Profile(tier="free", coins=12, display_name="Acme", contact_email="bees@acme.example", timezone="Europe/Vienna"),
    Company(
        name="Acme", industry="Beekeeping", brand_voice="Warm.", description="Sells hives.", website="https://acme.example"
    ),
    PRODUCT,
    Products(products=(PRODUCT,)),
    Workspace(
        workspace_id="spring",
        name="Spring",
        branding={"colour": "yellow"},
        ai_behaviour={"greets": True},
        funnels={"steps": ["visit", "order"]},
    ),
    AiSettings(language="de-AT", tone="friendly", preferred_models=("gpt-4o-mini",), enable_fallback=True),
    *AUDIT_SAMPLES,
    *SIMULATION_SAMPLES,
    *USAGE_SAMPLES,
)
