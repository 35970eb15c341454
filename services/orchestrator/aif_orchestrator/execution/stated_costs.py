"""What an attempt's report says that it cost, held against the report's own lines and the calls that were booked for it.

A worker tells its costs more than once, and one that is not ours may contradict itself. Of what it says the most is charged, so
that no report hides what its calls or its lines cost; and the contradiction is told. Lines that are left out altogether say
nothing: then what the attempt cost is taken for what its calls cost.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import astuple, replace

from aif_contracts.metering import Basis, CostLines, Metrics, ProviderCall
from aif_contracts.money import usd, usd_text
from aif_orchestrator.execution.spent import sum_usd

_NOTHING = CostLines()


def most_that_is_stated(metrics: Metrics, booked: Sequence[ProviderCall]) -> tuple[Metrics, str]:
    """What to charge, and how the report contradicts its lines or the attempt's booked calls; empty when it does not."""
    if not booked and metrics.cost_usd == "0" and metrics.cost_lines == _NOTHING:
        return metrics, ""
    of_calls = sum_usd(_known_costs(metrics, booked))
    if metrics.cost_lines == _NOTHING:
        metrics = replace(metrics, cost_lines=CostLines(ai_generation_usd=metrics.cost_usd or usd_text(of_calls)))
    lines = metrics.cost_lines
    of_lines = sum_usd(astuple(lines))
    charged_lines = replace(lines, ai_generation_usd=usd_text(max(usd(lines.ai_generation_usd), of_calls)))
    charged = None if metrics.cost_usd is None else max(usd(metrics.cost_usd), sum_usd(astuple(charged_lines)))
    if of_calls <= usd(lines.ai_generation_usd) and (metrics.cost_usd is None or usd(metrics.cost_usd) == of_lines):
        return metrics, ""
    cost_usd = None if charged is None else usd_text(charged)
    said = "an unknown amount" if metrics.cost_usd is None else f"{metrics.cost_usd} USD"
    message = (
        f"the report says {said}, its lines {usd_text(of_lines)} USD with {lines.ai_generation_usd} USD for calls, and the "
        f"calls that were booked {usd_text(of_calls)} USD: the most of it is charged"
    )
    return replace(metrics, cost_usd=cost_usd, cost_lines=charged_lines), message


def _known_costs(metrics: Metrics, booked: Sequence[ProviderCall]) -> Iterable[str]:
    """Not of calls that the report knows no cost of, and not what somebody else has decided about them meanwhile."""
    for call in booked:
        if call.cost_usd is not None and call.basis is Basis.USAGE and call.call_key not in metrics.unanswered:
            yield call.cost_usd
