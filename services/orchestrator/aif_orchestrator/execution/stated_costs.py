"""What an attempt's report says that it cost, held against the report's own lines and the calls that are booked for it.

A worker tells its costs more than once, and one that is not ours may contradict itself. Of what it says the most is charged, so
that no report hides what its calls or its lines cost; and the contradiction is told. Lines that are left out altogether say
nothing: then what the attempt cost is taken for what its calls cost.

A call may be booked before the report or after it, and what it has cost may be decided at any time: charged is what the report
says of its calls, or what those that are known have cost together, whichever is more, and what those have cost beside it of
which the report says that it does not know. So the order makes no difference, and nothing is charged twice. The tokens of a
call that the report took for unanswered, or that somebody has decided about, are counted beside the report's, too, unless its
end has told them: then the report has counted them.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from msgspec.structs import astuple, replace

from aif_contracts.metering import Basis, CallOutcome, CostLines, Metrics, ProviderCall, Tokens
from aif_contracts.money import usd, usd_text
from aif_orchestrator.execution.spent import Spent, sum_of_lines, sum_usd, with_tokens
from aif_orchestrator.execution.state import BookedCall, StageRun, Statement

NOTHING_STATED = Statement()
_NOTHING = CostLines()
_NO_TOKENS = Tokens()


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


def statement_of(metrics: Metrics, booked: Sequence[ProviderCall]) -> Statement:
    """What a report says, the most of it, and the calls that were booked before it or that it names as unanswered."""
    lines = metrics.cost_lines
    if not booked and not metrics.unanswered and metrics.cost_usd == "0" and lines == _NOTHING:
        return NOTHING_STATED
    others = sum_usd((lines.api_calls_usd, lines.storage_usd, lines.compute_usd))
    said = max(usd(lines.ai_generation_usd), usd(metrics.cost_usd or "0") - others)
    calls = {key: BookedCall(None, bound, is_beside=True) for key, bound in metrics.unanswered.items()}
    for call in booked:
        calls[call.call_key] = booked_call(call, calls.get(call.call_key))
    return Statement(usd_text(said), metrics.cost_usd is not None or bool(metrics.unanswered), calls)


def booked_call(call: ProviderCall, known: BookedCall | None) -> BookedCall:
    """`known` is the same call as it was known before. An end without a cost leaves what was decided meanwhile."""
    cost_usd, is_decided = call.cost_usd, call.cost_usd is not None and call.basis is not Basis.USAGE
    if cost_usd is None and known is not None and known.cost_usd is not None:
        cost_usd, is_decided = known.cost_usd, known.is_decided
    elif cost_usd is None and call.outcome is CallOutcome.FAILED:
        # The provider bills nothing, unless somebody knows better.
        cost_usd, is_decided = "0", True
    told_tokens = call.tokens != _NO_TOKENS
    is_counted = told_tokens and call.cost_usd is None
    had_no_answer = is_decided or (known is not None and (known.is_beside or known.is_decided))
    return BookedCall(
        cost_usd,
        call.upper_bound_usd or "0",
        is_beside=known is not None and known.is_beside,
        has_ended=call.outcome is not CallOutcome.STARTED,
        is_decided=is_decided,
        tokens=call.tokens if had_no_answer and told_tokens and not is_counted else None,
        is_counted=is_counted,
    )


def restated(run: StageRun, attempt: int, statement: Statement, spent: Spent) -> StageRun:
    """The stage with another statement of one of its attempts; `spent` is what it has spent but for its calls."""
    statements = {**run.statements, attempt: statement}
    before = run.statements.get(attempt, NOTHING_STATED)
    calls_usd = usd_text(usd(run.spent.ai_generation_usd) + charge_of(statement) - charge_of(before))
    spent = with_tokens(spent, more=_tokens_beside(statement), less=_tokens_beside(before))
    known = [call for each in statements.values() for call in each.calls.items()]
    unanswered = {key: call.bound_usd for key, call in known if call.cost_usd is None}
    spent = replace(spent, ai_generation_usd=calls_usd, unanswered=unanswered)
    is_complete = not unanswered and all(each.is_complete for each in statements.values())
    spent = replace(spent, cost_usd=usd_text(sum_of_lines(spent)) if is_complete else None)
    return replace(run, spent=spent, statements=statements)


def charge_of(statement: Statement) -> Decimal:
    """What the attempt's calls are charged with, in USD."""
    calls = [call for call in statement.calls.values() if call.cost_usd is not None]
    beside = sum_usd(call.cost_usd or "0" for call in calls if call.is_beside)
    return max(usd(statement.calls_usd), sum_usd(call.cost_usd or "0" for call in calls if not call.is_beside)) + beside


def _tokens_beside(statement: Statement) -> list[Tokens]:
    return [call.tokens for call in statement.calls.values() if call.tokens is not None]
