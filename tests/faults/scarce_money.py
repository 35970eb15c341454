"""Faults of money: more orders than the budget can pay for, while everything is killed at random."""

import asyncio
from decimal import Decimal

from aif_contracts.money import ZERO, usd, usd_text
from aif_orchestrator.execution.envelope import ATTEMPTS_WORTH
from faults.paper_factory import STAGES
from faults.trial import Allowed, Outcome, TrialPlan, trial

MOST_ATTEMPT_USD = Decimal("0.04")
WORST_CASE_USD = MOST_ATTEMPT_USD * ATTEMPTS_WORTH * len(STAGES)
"""Of one execution; it costs about a sixth of that."""
WORST_CASES_PAID_FOR = Decimal("0.1")
"""Share of the orders."""
IN_DOUBT_SECONDS = 3.0
"""Then what a call without an answer can have cost counts as spent, and nobody waits for it any more."""


async def budget_for_a_part(plan: TrialPlan) -> Outcome:
    """F18: the provider's bill never passes the limit, nobody waits for ever, and nearly all of the money can be used."""
    limit = WORST_CASE_USD * max(1, int(plan.executions * WORST_CASES_PAID_FOR))
    settings = {
        "AI_DEFAULT_MONTHLY_BUDGET_USD": usd_text(limit),
        "AIF_ORCHESTRATOR_IN_DOUBT_HOURS": str(IN_DOUBT_SECONDS / 3600),
        "AIF_ORCHESTRATOR_MAX_ATTEMPT_COST_USD": usd_text(MOST_ATTEMPT_USD),
    }
    async with trial(plan, orchestrators=2, workers=2, settings=settings) as running:
        loading = asyncio.create_task(running.load())
        kills = await running.kill_at_random(loading)
        await loading
        await running.comes_to_rest()
        # A bill only grows: what it is at the end it never was above.
        billed = sum((usd(line.cost_usd) for line in running.factory.bill()), ZERO)
        account = (await running.books()).account
        used = account.spent_usd + account.reserved_usd
        denied = len(running.orders.denied)
        running.expect(billed <= limit, f"{billed} USD were billed, {limit} are the limit")
        running.expect(denied > 0, "the money sufficed for all, so the fault did not bite")
        # As long as one more could have been paid for, even at its worst, nobody is to be denied.
        running.expect(used + WORST_CASE_USD > limit, f"only {used} of {limit} USD were used, and {denied} orders denied")
        running.remarks.append(f"{billed} USD billed, {used} spent or in doubt, {limit} the limit; {denied} orders denied")
        # A stage whose workers are killed again and again uses up its own limit.
        return await running.verdict(Allowed(meant_to_end_badly=kills))
