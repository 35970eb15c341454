"""What the classifier has measured and recommends, as tables."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aif_console.reading.hanging import Hanging, rows
from aif_console.reading.plain_text import dollars, milliseconds, plain
from aif_contracts.performance import Recommendation, RollingFigures, WorkerInsights


def rendered_insights(insights: WorkerInsights) -> RenderableType:
    """Figures first, then the recommendations with what they rest on."""
    whose = plain(insights.worker_name) if insights.worker_name else "all workers"
    score = "no data" if insights.performance_score is None else f"score {insights.performance_score:.2f}"
    parts: list[RenderableType] = [Text(f"{whose}, last {insights.analysis_period}, {score}", style="bold")]
    if insights.figures:
        parts += [Text(""), rendered_figures(insights.figures)]
    parts.append(Text(""))
    if not insights.ai_recommendations:
        parts.append(Text("nothing to recommend from what was measured so far", style="dim"))
    for recommendation in insights.ai_recommendations:
        parts.append(rendered_recommendation(recommendation))
    return Group(*parts)


def rendered_figures(figures: tuple[RollingFigures, ...]) -> RenderableType:
    """One row for each worker, action and model."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("worker, action, model", overflow="fold")
    for column in ("attempts", "success", "time", "queue", "tokens", "cost", "quality"):
        table.add_column(column, no_wrap=True)
    for row in figures:
        failures = ", ".join(f"{code} {count}" for code, count in row.failures_by_code.items())
        table.add_row(
            plain(f"{row.worker_name} {row.action} {row.model or ''} {'failures: ' + failures if failures else ''}".strip()),
            str(row.attempts),
            f"{_percent(row.success_rate)}\n{_percent(row.success_rate_low)} to {_percent(row.success_rate_high)}",
            f"p50 {milliseconds(row.time_ms_p50)}\np95 {milliseconds(row.time_ms_p95)}",
            f"p50 {milliseconds(row.queue_ms_p50)}",
            str(row.tokens_mean),
            f"{dollars(row.cost_usd_mean)}\nsum {dollars(row.cost_usd_total)}",
            "" if row.quality_mean is None else f"{row.quality_mean:.2f}",
        )
    return table


def rendered_recommendation(recommendation: Recommendation) -> RenderableType:
    """What to change, how sure that is, and from how many attempts."""
    change = ""
    if recommendation.parameter is not None:
        change = (
            f"{recommendation.parameter}: {recommendation.current_value or '?'} -> {recommendation.recommended_value or '?'}"
        )
    return Group(
        Hanging(
            Text(plain(recommendation.description), style="bold"),
            marker=f"{plain(recommendation.icon)} {recommendation.recommendation_type.value}  ",
        ),
        rows(
            (
                ("   change", change),
                ("   expect", recommendation.expected_improvement or ""),
                (
                    "   evidence",
                    f"confidence {_percent(recommendation.confidence)} from {recommendation.sample_size} attempts; "
                    f"{recommendation.implementation_status}",
                ),
            )
        ),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
