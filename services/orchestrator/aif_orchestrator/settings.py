"""The orchestrator's settings."""

from typing import Annotated

from msgspec import Meta

from aif_contracts.budgets import BudgetPolicy
from aif_contracts.money import UsdText
from aif_runtime.process_settings import CommonSettings
from aif_runtime.settings import Secret


class OrchestratorSettings(CommonSettings, frozen=True, kw_only=True):
    orchestrator_database_url: Annotated[Secret, Meta(description="Postgres, as the orchestrator's own role")]
    orchestrator_sweep_seconds: Annotated[
        float, Meta(ge=0.05, le=60, description="How often executions whose time has come are looked for")
    ] = 0.5
    orchestrator_unclaimed_seconds: Annotated[
        float, Meta(ge=0.5, le=3600, description="A packet that nobody has taken for so long is sent again")
    ] = 60.0
    orchestrator_lease_seconds: Annotated[
        float, Meta(ge=0.5, le=3600, description="An attempt whose worker is silent for so long is lost")
    ] = 30.0
    orchestrator_keep_days: Annotated[
        int,
        Meta(
            ge=0,
            le=36_500,
            description="Ended executions with their events, attempts and results are deleted after so many days; "
            "0 keeps all for ever",
        ),
    ] = 90
    orchestrator_blob_grace_hours: Annotated[
        float,
        Meta(
            ge=1,
            le=8_760,
            description="Inputs and results stay in the blob store for so many hours after their execution was deleted; "
            "longer than a worker can be frozen in the middle of its work",
        ),
    ] = 24.0
    orchestrator_max_attempt_cost_usd: Annotated[
        UsdText, Meta(description="What one attempt may spend at AI providers at most, in US dollars")
    ] = "1"
    orchestrator_default_budget_usd: Annotated[
        UsdText,
        Meta(
            description="What a client may spend in a calendar month, where nobody has said anything else, in US dollars",
            extra={"env": "AI_DEFAULT_MONTHLY_BUDGET_USD"},
        ),
    ] = "100"
    orchestrator_budget_policy: Annotated[
        BudgetPolicy,
        Meta(
            description="What happens at that limit: warn, soft_block or hard_block",
            extra={"env": "AI_BUDGET_POLICY"},
        ),
    ] = BudgetPolicy.SOFT_BLOCK
    orchestrator_default_energy: Annotated[
        int | None, Meta(ge=0, description="Units of energy that a client has in a month; empty for no limit")
    ] = None
    orchestrator_weekly_alert_usd: Annotated[
        UsdText,
        Meta(description="A client that spends more than this in a calendar week is told of, in US dollars; 0 for never"),
    ] = "50"
    orchestrator_alert_seconds: Annotated[
        float, Meta(ge=0.05, le=3600, description="How often budgets are looked at for alerts")
    ] = 15.0
    orchestrator_energy_economy: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Energy that a stage takes when it may use cheap models only")
    ] = 1
    orchestrator_energy_premium: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Energy that a stage takes when it may use any model")
    ] = 10
    orchestrator_max_execution_cost_usd: Annotated[
        UsdText, Meta(description="What one execution may spend at AI providers at most, in US dollars")
    ] = "25"
    orchestrator_in_doubt_hours: Annotated[
        float,
        Meta(
            ge=0,
            le=8_760,
            description="A provider call that nobody can say anything about for so long is charged with its upper bound",
        ),
    ] = 1.0
    orchestrator_audit_keys: Annotated[
        Secret | None,
        Meta(
            description="Seals the audit log; to change it, put the new key in front of the old one, with a comma between. "
            "Without a key only accidental changes of the log are found, so keep its head somewhere else"
        ),
    ] = None
