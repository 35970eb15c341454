"""Where the limits of the messages lie: what stands at an edge is taken, what lies beyond it is refused by its place.

A limit that moves breaks somebody: a narrower one refuses what others send, a wider one lets in what a column, a subject or an
answer cannot hold.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from architecture.contract_samples import SAMPLES

BY_NAME = {f"{type(sample).__module__.removeprefix('aif_contracts.')}.{type(sample).__name__}": sample for sample in SAMPLES}


class Limit(Struct, frozen=True):
    taken: Sequence[Any]
    refused: Sequence[Any]


def numbers(least: int, most: int | None = None) -> Limit:
    return Limit((least,), (least - 1,)) if most is None else Limit((least, most), (least - 1, most + 1))


def text(least: int, most: int) -> Limit:
    return Limit(("ä" * least, "ä" * most), ("ä" * (most + 1), *(["ä" * (least - 1)] if least else [])))


def share(least: int) -> Limit:
    return Limit((least, 1), (least - 0.001, 1.001))


def token(first: str, others: str, longest: int) -> Limit:
    """Refused are nothing, one character more, and what may not be the first, the last of `others` among it."""
    whole = (first + others * longest)[:longest]
    return Limit((first, whole), ("", whole + first, "_a", "-a", others[-1] + "a", first + ".", first + " ", first + "ä"))


NAME = token("a", "z0_9", 64)
CLIENT_ID = token("Z", "az09-_", 64)
EXECUTION_ID = token("9", "AZaz0_-", 100)
STEP_ID = token("Z", "az_09-", 64)
PRINTABLE = Limit(("!", "~" * 200), ("", "~" * 201, "a b", "ä", "\x7f"))
HASH = Limit(("0123456789abcdef" * 4,), ("0" * 63, "0" * 65, "A" * 64, "g" * 64))
AUDIT_ACTION = Limit(("A", "Z" + "Z0_9" * 15 + "AAA"), ("", "A" * 65, "a", "_A", "9A", "A-B"))
MONTH = Limit(("2000-01", "2026-10", "2099-12"), ("1999-12", "2100-01", "2026-00", "2026-13", "2026-1", "26-01"))
PERIOD = Limit(("1h", "999d"), ("0h", "01h", "1000h", "h", "1w"))
LANGUAGE = Limit(
    ("de", "deu", "de-AT", "zh-Hant-CN-variant1"), ("d", "deut", "de-", "de-A", "de-abcdefghi", "de_AT", "a1", "de-aa-bb-cc-dd")
)
WEB_ADDRESS = Limit(("", "http://a", "https://" + "a" * 492), ("https://", "https://" + "a" * 493, "ftp://a", "https://a b"))
USD = Limit(("0", "0.1", "9" * 12 + "." + "9" * 12), ("-1", "1" * 13, "0." + "1" * 13, "", "1e1"))
SIGNED_USD = Limit(("0", "-0.1", "-" + "9" * 12 + "." + "9" * 12), ("-" + "1" * 13, "--1", "+1", "-"))

LIMITS: dict[str, Limit] = {
    place: limit
    for limit, places in (
        (
            numbers(1, 100),
            "audit.ListAudit.limit budgets.ListBudgets.limit dead_letters.ListDeadLetters.limit orders.ListExecutions.limit "
            "orders.ListTemplates.limit pipelines.ListPipelines.limit",
        ),
        (
            numbers(1, 500),
            "history.ListAttempts.limit history.ListCalls.limit reconciliation.SearchCalls.limit usage.UsageQuery.limit",
        ),
        (numbers(1, 1000), "orders.ListEvents.limit"),
        (
            numbers(0, 10**12),
            "metering.Metrics.processing_time_ms metering.ProviderCall.audio_ms metering.ProviderCall.characters "
            "metering.ProviderCall.latency_ms metering.ResourceUsage.api_calls metering.ResourceUsage.kv_operations "
            "metering.ResourceUsage.r2_operations metering.ResourceUsage.cpu_time_ms metering.ResourceUsage.memory_mb "
            "metering.TimeBreakdown.ai_generation_ms metering.TimeBreakdown.validation_ms metering.TimeBreakdown.storage_ms "
            "metering.Tokens.prompt_tokens metering.Tokens.completion_tokens metering.Tokens.total_tokens "
            "metering.Tokens.cache_read_tokens metering.Tokens.cache_write_tokens metering.Tokens.reasoning_tokens "
            "budgets.SetBudget.energy_limit reports.Failed.retry_after_ms reports.ProgressPoint.ago_ms",
        ),
        (
            numbers(0),
            "analysis.Redaction.characters analysis.SentimentPart.turn analysis.Summary.words analysis.Summary.source_words "
            "analysis.Transcript.duration_ms analysis.Turn.start_ms analysis.Turn.end_ms configuration.Profile.coins "
            "packets.WorkPacket.attempt research.Origin.words",
        ),
        (numbers(0, 2**31 - 1), "orders.ListEvents.after reports.Completed.element_count"),
        (numbers(0, 2**53 - 1), "blobs.BlobRef.size_bytes"),
        (numbers(0, 2**63 - 1), "audit.AuditHead.sequence"),
        (
            numbers(1, 2**31 - 1),
            "metering.ProviderCall.attempt reports.Accepted.attempt reports.Completed.attempt reports.Declined.attempt "
            "reports.Failed.attempt reports.Progress.attempt",
        ),
        (numbers(1), "structures.Course.estimated_minutes structures.Lesson.estimated_minutes"),
        (
            numbers(0, 100),
            "reports.Progress.percent reports.ProgressPoint.percent simulation.Simulation.over_limit_percent "
            "simulation.StageSimulation.runs_percent",
        ),
        (numbers(1, 5), "structures.Course.granularity_level"),
        (numbers(0, 5), "structures.Question.answer_index"),
        (
            share(0),
            "analysis.Transcript.confidence analysis.Turn.confidence performance.Recommendation.confidence "
            "reports.Completed.quality_score",
        ),
        (share(-1), "analysis.Sentiment.score"),
        (
            text(1, 200),
            "audit.AuditEntry.audit_id audit.AuditEntry.actor budgets.SetBudget.decided_by "
            "dead_letters.ReplayDeadLetter.decided_by dead_letters.DismissDeadLetter.decided_by "
            "orders.DecideApproval.decided_by orders.SkipCompensation.decided_by "
            "reconciliation.SettleCall.decided_by configuration.Product.name "
            "usage.UsageFilter.workspace_id usage.UsageFilter.worker_name usage.UsageFilter.action usage.UsageFilter.model "
            "usage.UsageFilter.provider usage.UsageFilter.stage_id usage.UsageFilter.template usage.UsageFilter.purpose "
            "usage.UsageFilter.outcome usage.UsageFilter.execution_id",
        ),
        (
            text(0, 200),
            "configuration.AiSettings.tone configuration.Company.name configuration.Company.industry "
            "configuration.Product.tags[] configuration.Profile.tier configuration.Profile.display_name "
            "configuration.Workspace.name",
        ),
        (
            text(1, 500),
            "reconciliation.SettleCall.note research.Origin.title research.Research.topic research.Subtopic.title "
            "structures.Change.element structures.Change.title structures.Change.into structures.Course.title "
            "structures.Course.target_audience structures.Lesson.title structures.Lesson.objectives[] "
            "structures.Lesson.terms[] structures.Module.title structures.Question.options[] structures.Question.module "
            "structures.Question.lesson structures.Quiz.title structures.Quiz.target_audience workflows.PilotStep.operation",
        ),
        (
            text(1, 20_000),
            "research.Subtopic.summary structures.Course.description structures.KeyPoint.text structures.Lesson.summary "
            "structures.Module.summary structures.Question.question structures.Question.explanation "
            "structures.Quiz.description",
        ),
        (
            text(0, 4000),
            "configuration.Company.brand_voice configuration.Company.description configuration.Product.description "
            "orders.SubmittedOrder.message",
        ),
        (text(1, 100), "orders.ListExecutions.text workflows.PilotStep.service"),
        (text(0, 100), "orders.Execute.request_id orders.Execute.tier packets.ClaimRequest.claim_id reports.Failed.code"),
        (
            text(0, 64),
            "orders.Execute.template_version orders.SubmittedOrder.template_version configuration.Profile.timezone",
        ),
        (text(0, 500), "orders.CancelExecution.reason orders.PauseExecution.reason"),
        (text(0, 1000), "orders.DecideApproval.comment orders.SkipCompensation.comment"),
        (text(0, 254), "configuration.Profile.contact_email"),
        (text(1, 400), "reconciliation.SettleCall.call_key"),
        (text(1, 512), "blobs.BlobRef.storage_key"),
        (text(1, 2000), "research.Research.research_summary workflows.PilotStep.instruction"),
        (text(1, 262_144), "pipelines.SavePipeline.document"),
        (
            NAME,
            "orders.Execute.template_name orders.ListExecutions.template orders.SubmittedOrder.template "
            "pipelines.GetPipeline.name pipelines.ListPipelines.name simulation.SimulateExecution.template_name",
        ),
        (
            CLIENT_ID,
            "budgets.GetBudget.client_id budgets.SetBudget.client_id configuration.Workspace.workspace_id "
            "orders.Execute.client_id orders.Execute.workspace_id orders.SubmittedOrder.workspace_id "
            "simulation.SimulateExecution.client_id usage.MonthlyUsageQuery.client_id usage.UsageQuery.client_id",
        ),
        (EXECUTION_ID, "orders.Execute.execution_id orders.ListExecutions.cursor"),
        (STEP_ID, "workflows.PilotStep.id workflows.PilotStep.depends_on[]"),
        (PRINTABLE, "orders.SubmittedOrder.idempotency_key configuration.AiSettings.preferred_models[]"),
        (HASH, "audit.AuditHead.hash blobs.BlobRef.sha256"),
        (AUDIT_ACTION, "audit.AuditEntry.action"),
        (MONTH, "usage.MonthlyUsageQuery.month"),
        (PERIOD, "performance.InsightsQuery.analysis_period"),
        (LANGUAGE, "configuration.AiSettings.language"),
        (WEB_ADDRESS, "configuration.Company.website configuration.Product.url"),
        (SIGNED_USD, "events.CostIncurred.cost_usd"),
        (
            USD,
            "metering.Metrics.unanswered{} performance.RollingFigures.cost_usd_mean performance.RollingFigures.cost_usd_total "
            "simulation.UsdRange.p10 simulation.UsdRange.p50 simulation.UsdRange.p90",
        ),
    )
    for place in places.split()
}
"""By place; of lists and mappings it is the limit of what they hold. Money whose name ends in `_usd` is not listed."""

COUNTS: dict[str, Limit] = {
    place: limit
    for limit, places in (
        (
            Limit((1, 60), (0,)),
            "analysis.Summary.sentences research.Research.key_points research.Research.sources research.Subtopic.key_points "
            "structures.Course.modules structures.Lesson.key_points structures.Module.lessons structures.Quiz.questions",
        ),
        (Limit((2, 6), (1, 7)), "structures.Question.options"),
        (Limit((1, 3), (0, 4)), "usage.UsageQuery.group_by"),
        (Limit((1, 50), (0, 51)), "workflows.GeneratedWorkflow.pilot_steps"),
        (Limit((0, 10), (11,)), "configuration.AiSettings.preferred_models"),
        (Limit((0, 20), (21,)), "configuration.Product.tags"),
        (Limit((0, 16), (17,)), "reports.Completed.points reports.Failed.points reports.Progress.points"),
    )
    for place in places.split()
}
"""How many a list may hold."""

OWN_SCHEMAS = {
    f"{name}.{field.encode_name}": str({key: value for key, value in msgspec.json.schema(field.type).items() if key != "$defs"})
    for name, sample in BY_NAME.items()
    for field in msgspec.structs.fields(sample)
}
"""Of every field, without the structs in it."""

MONEY = {
    place: USD
    for place, schema in OWN_SCHEMAS.items()
    if place.endswith("_usd") and "$ref" not in schema and place not in LIMITS
}


def _limited(*words: str) -> set[str]:
    return {place for place, schema in OWN_SCHEMAS.items() if any(f"'{word}'" in schema for word in words)}


def _wire(message: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(message))


def _read(name: str, field: str, value: object) -> Any:
    """The field of a sample that came with this value."""
    whole = msgspec.json.encode(_wire(BY_NAME[name]) | {field: value})
    return _wire(getattr(msgspec.json.decode(whole, type=type(BY_NAME[name])), field))


def _held(name: str, field: str) -> Any:
    return _wire(getattr(BY_NAME[name], field))


@pytest.mark.parametrize("place", LIMITS | MONEY)
def test_a_value_at_its_limit_is_taken_and_one_beyond_is_refused_by_its_place(place: str) -> None:
    limit = (LIMITS | MONEY)[place]
    name, field = place.rstrip("[]{}").rsplit(".", 1)

    def put(value: object) -> object:
        match place[-2:]:
            case "[]":
                return [value for _ in _held(name, field)]
            case "{}":
                return dict.fromkeys(_held(name, field), value)
            case _:
                return value

    for value in limit.taken:
        assert _read(name, field, put(value)) == put(value)
    for value in limit.refused:
        with pytest.raises(msgspec.ValidationError, match=rf"at `\$\.{field}"):
            _read(name, field, put(value))


@pytest.mark.parametrize("place", COUNTS)
def test_a_list_holds_as_many_as_it_may_and_none_more(place: str) -> None:
    name, field = place.rsplit(".", 1)
    item = _held(name, field)[0]

    for count in COUNTS[place].taken:
        assert len(_read(name, field, [item] * count)) == count
    for count in COUNTS[place].refused:
        with pytest.raises(msgspec.ValidationError, match=rf"at `\$\.{field}"):
            _read(name, field, [item] * count)


def test_no_limit_is_without_its_edge_here() -> None:
    shown = {place.rstrip("[]{}") for place in LIMITS | MONEY}

    assert _limited("minimum", "maximum", "minLength", "maxLength", "pattern") == shown
    assert _limited("minItems", "maxItems") == COUNTS.keys()
