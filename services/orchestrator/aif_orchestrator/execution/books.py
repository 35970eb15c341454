"""The execution's place in its client's books: what it has spent, and what it holds of the budget, as of each step."""

from msgspec.structs import replace

from aif_contracts.money import ZERO, UsdText, usd, usd_text
from aif_orchestrator.execution.commands import MoveAccount
from aif_orchestrator.execution.draft import Draft, rfc3339
from aif_orchestrator.execution.envelope import envelope_of, paid_stage_count
from aif_orchestrator.execution.state import Account, StageRun
from aif_orchestrator.execution.terms import Terms


def open_account(draft: Draft, wanted: UsdText | None, terms: Terms) -> None:
    """Reserve the most that the execution can cost."""
    circumstances = draft.circumstances
    envelope = envelope_of(circumstances, wanted)
    per_stage = terms.energy_per_stage if envelope != "0" else 0
    draft.execution = replace(
        draft.execution,
        max_cost_usd=envelope,
        quality=terms.quality,
        quality_reason=terms.quality_reason,
        account=Account(
            window=window_of(draft.at),
            energy_per_stage=per_stage,
            energy_limit=per_stage * paid_stage_count(circumstances) if per_stage else 0,
        ),
    )
    if envelope != "0":
        draft.is_admission = True
        draft.money_moved()


def reopen_account(draft: Draft) -> None:
    """A new leg may spend what the one before has left. Charged to this month, unless the one before still holds something."""
    account = draft.execution.account
    if account.held == "0" and account.energy_held == 0:
        draft.execution = replace(draft.execution, account=replace(account, window=window_of(draft.at)))
    draft.is_admission = True
    draft.money_moved()


def bring_up_to_date(draft: Draft) -> None:
    """Tell how far what is spent and held has moved since the books were last written."""
    if not draft.has_money_moved:
        return
    execution = draft.execution
    account = execution.account
    energy_spent = 0
    if account.energy_per_stage:
        for stage_id, run in list(draft.stages.items()):
            if run.energy == 0 and _has_called(run):
                draft.change(stage_id, energy=account.energy_per_stage)
        energy_spent = sum(run.energy for run in draft.stages.values())
    allowance = draft.allowance()
    if execution.is_final:
        held, energy_held = allowance.reserved, 0
    else:
        held = max(allowance.reserved, allowance.limit - allowance.spent)
        energy_held = max(0, account.energy_limit - energy_spent)
    spent_moved, held_moved = allowance.spent - usd(account.spent), held - usd(account.held)
    energy_moved = (energy_spent - account.energy_spent, energy_held - account.energy_held)
    if not spent_moved and not held_moved and energy_moved == (0, 0):
        return
    draft.execution = replace(
        execution,
        account=replace(
            account,
            spent=usd_text(allowance.spent),
            held=usd_text(held),
            energy_spent=energy_spent,
            energy_held=energy_held,
        ),
    )
    draft.command(
        MoveAccount(
            execution_id=execution.execution_id,
            client_id=execution.client_id,
            window=account.window,
            is_admission=draft.is_admission and held_moved > ZERO,
            spent_usd=spent_moved,
            reserved_usd=held_moved,
            energy_spent=energy_moved[0],
            energy_reserved=energy_moved[1],
        )
    )


def window_of(at_ms: int) -> str:
    """The month, in UTC."""
    return rfc3339(at_ms)[: len("2026-11")]


def _has_called(run: StageRun) -> bool:
    """Whether the stage has made use of a provider that may cost something."""
    spent = run.spent
    return bool(
        spent.total_tokens
        or spent.unanswered
        or spent.ai_generation_usd != "0"
        or any(call.tokens.total_tokens or call.cost_usd != "0" for call in run.unreported_calls)
    )
