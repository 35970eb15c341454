"""What the classifier has measured and recommends, in rows that fit every width."""

from rich.console import Group, RenderableType
from rich.text import Text

from aif_console.reading.hanging import Hanging, rows
from aif_console.reading.plain_text import dollars, milliseconds, plain
from aif_contracts.performance import Recommendation, RollingFigures, WorkerInsights


def rendered_insights(insights: WorkerInsights) -> RenderableType:
    """Figures first, then the recommendations with what they rest on."""
    whose = plain(insights.worker_name) if insights.worker_name else "all workers"
    score = "no data" if insights.performance_score is None else f"score {insights.performance_score:.2f}"
    parts: list[RenderableType] = [Text(f"{whose}, last {insights.analysis_period}, {score}", style="bold")]
    for figures in insights.figures:
        parts += [Text(""), rendered_figures(figures)]
    parts.append(Text(""))
    if not insights.ai_recommendations:
        parts.append(Text("nothing to recommend from what was measured so far", style="dim"))
    for recommendation in insights.ai_recommendations:
        parts.append(rendered_recommendation(recommendation))
    return Group(*parts)


def rendered_figures(figures: RollingFigures) -> RenderableType:
    """Of one worker, action and model."""
    return Group(
        Text(plain(f"{figures.worker_name} {figures.action} {figures.model or ''}".rstrip()), style="cyan"),
        rows(
            (
                (
                    "  attempts",
                    f"{figures.attempts}, {_percent(figures.success_rate)} successful (95 % interval "
                    f"{_percent(figures.success_rate_low)} to {_percent(figures.success_rate_high)})",
                ),
                ("  failures", ", ".join(f"{code} {count}" for code, count in figures.failures_by_code.items())),
                (
                    "  time",
                    f"p50 {milliseconds(figures.time_ms_p50)}, p95 {milliseconds(figures.time_ms_p95)}, "
                    f"queued p50 {milliseconds(figures.queue_ms_p50)}",
                ),
                ("  tokens", f"mean {figures.tokens_mean}"),
                ("  cost", f"mean {dollars(figures.cost_usd_mean)}, sum {dollars(figures.cost_usd_total)}"),
                ("  quality", "" if figures.quality_mean is None else f"mean {figures.quality_mean:.2f}"),
            )
        ),
    )


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
