"""Simulations, asked for over the bus: an order is checked as if it were meant, and nothing of it is kept."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from msgspec.structs import replace

from aif_contracts import subjects
from aif_contracts.budgets import BudgetView
from aif_contracts.configuration import PRICES, PRIMARY_MODEL, SYSTEM, SystemValues, agent_key
from aif_contracts.money import UsdText
from aif_contracts.orders import Execute, Refusal
from aif_contracts.simulation import SimulateExecution, Simulation
from aif_orchestrator.admission import Admission
from aif_orchestrator.answering import answer_questions
from aif_orchestrator.engine.plans import Plans
from aif_orchestrator.engine.workforce import Present, Workforce
from aif_orchestrator.execution.assignee import action_of
from aif_orchestrator.execution.envelope import envelope_of, paid_stage_count, stage_limit
from aif_orchestrator.execution.happenings import Circumstances
from aif_orchestrator.execution.terms import EnergyPrices, Terms, on_less_energy, terms_of
from aif_orchestrator.simulation.forecast import Surroundings, simulate
from aif_orchestrator.simulation.store import PastStore
from aif_orchestrator.store.budgets import BudgetStore
from aif_pipelines.plan import Plan
from aif_prices.book import PriceBook, shipped_prices
from aif_prices.failures import OverridesInvalid
from aif_prices.overrides import PriceOverrides, read_overrides
from aif_runtime.bus import Bus, Question
from aif_runtime.clock import Clock
from aif_runtime.postgres import Database

_SYSTEM = msgspec.json.Decoder(SystemValues)
_NOBODY = "exec_simulated"

log = structlog.get_logger()


class SimulationAnswers:
    def __init__(
        self,
        *,
        bus: Bus,
        database: Database,
        admission: Admission,
        plans: Plans,
        workforce: Workforce,
        past: PastStore,
        clock: Clock,
        budgets: BudgetStore,
        energy_prices: EnergyPrices,
        max_attempt_cost_usd: UsdText,
        max_execution_cost_usd: UsdText,
    ) -> None:
        self._bus = bus
        self._database = database
        self._admission = admission
        self._plans = plans
        self._workforce = workforce
        self._past = past
        self._clock = clock
        self._budgets = budgets
        self._energy_prices = energy_prices
        self._max_attempt_cost_usd = max_attempt_cost_usd
        self._max_execution_cost_usd = max_execution_cost_usd
        self._shipped = shipped_prices()

    async def open(self) -> None:
        """Begin to answer; ends when the bus closes."""
        await answer_questions(self._bus, subjects.SIMULATE, SimulateExecution, self._simulate, reads=True)

    async def _simulate(self, question: SimulateExecution, _asked: Question) -> Simulation | Refusal:
        admitted = await self._admission.admit(_as_order(question))
        if isinstance(admitted, Refusal):
            return admitted
        order = admitted.order
        plan = self._plans.of_execution(admitted.owner, order.template_name, order.template_version or "")
        values = await self._configured()
        book = PriceBook(self._shipped, overrides=_overrides(values))
        present = self._workforce.present()
        circumstances = self._circumstances(plan, present)
        async with self._database.transaction() as connection:
            budget = await self._budgets.find(connection, order.client_id)
            terms, lacks_energy = self._terms(order, circumstances, budget)
            past = await self._past.list_past(
                connection,
                client_id=order.client_id,
                owner=admitted.owner,
                template=order.template_name,
                quality=terms.quality,
            )
        surroundings = replace(
            self._surroundings(order, circumstances, present, values),
            only_cheap=terms.quality_reason,
            lacks_energy=lacks_energy,
        )
        return await asyncio.to_thread(simulate, plan, order.parameters, past, surroundings, book)

    def _circumstances(self, plan: Plan, present: Present) -> Circumstances:
        return Circumstances(
            at_ms=0,
            plan=plan,
            free_actions=present.free_actions,
            max_attempt_cost_usd=self._max_attempt_cost_usd,
            max_execution_cost_usd=self._max_execution_cost_usd,
        )

    def _terms(self, order: Execute, circumstances: Circumstances, budget: BudgetView) -> tuple[Terms, bool]:
        """On which terms it would be taken, and whether the client lacks the energy for these, too."""
        terms = terms_of(order.tier, self._energy_prices)
        if budget.energy_limit is None or envelope_of(circumstances, order.max_cost_usd) == "0":
            return terms, False
        left = budget.energy_limit - budget.energy_spent - budget.energy_reserved
        stages = paid_stage_count(circumstances)
        if terms.energy_per_stage * stages <= left:
            return terms, False
        cheaper = on_less_energy(terms, self._energy_prices) or terms
        return cheaper, cheaper.energy_per_stage * stages > left

    def _surroundings(
        self, order: Execute, circumstances: Circumstances, present: Present, values: Mapping[str, Any]
    ) -> Surroundings:
        plan = circumstances.plan
        return Surroundings(
            free_actions=present.free_actions,
            models=_models(present),
            stage_limits={name: stage_limit(circumstances, stage) for name, stage in plan.stages.items()},
            bound_usd=envelope_of(circumstances, order.max_cost_usd),
            most_usd=envelope_of(circumstances, None),
            today=self._clock.now().date(),
            primary_model=values.get(PRIMARY_MODEL),
            primary_models=_primary_models(plan, values),
        )

    async def _configured(self) -> Mapping[str, Any]:
        """What the operator has set, by key, as it is now. Raises BusUnavailable."""
        entry = await self._bus.entry(subjects.BUCKET_CONFIG, SYSTEM)
        if entry is None:
            return {}
        try:
            return _SYSTEM.decode(entry).values
        except msgspec.DecodeError as wrong:
            log.warning("configuration_not_read", reason=str(wrong))
            return {}


def _as_order(question: SimulateExecution) -> Execute:
    return Execute(
        execution_id=_NOBODY,
        client_id=question.client_id,
        template_name=question.template_name,
        template_version=question.template_version,
        parameters=question.parameters,
        priority=question.priority,
        tier=question.tier,
        max_cost_usd=question.max_cost_usd,
    )


def _models(present: Present) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for worker in present.workers:
        found.setdefault(worker.worker_name, worker.models)
    return found


def _primary_models(plan: Plan, values: Mapping[str, Any]) -> dict[str, str]:
    """By action, where the operator names one for it."""
    actions = {action_of(stage) for stage in plan.stages.values()}
    named = {action: values.get(agent_key(action, "primary_model")) for action in actions}
    return {action: model for action, model in named.items() if isinstance(model, str)}


def _overrides(values: Mapping[str, Any]) -> PriceOverrides | None:
    """None when there are none; wrong ones were refused where they were set, and the shipped prices serve."""
    set_by_operator = values.get(PRICES)
    try:
        return None if set_by_operator is None else read_overrides(msgspec.json.encode(set_by_operator))
    except OverridesInvalid as wrong:
        log.warning("price_overrides_not_read", reason=str(wrong))
        return None
