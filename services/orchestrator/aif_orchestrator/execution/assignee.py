"""Which worker does a stage, and which of its actions it is asked for."""

from aif_pipelines.stage_plan import StagePlan

CAPABILITY_WORKER = "analyst"
"""Does the stages that ask for a capability instead of a worker; the capability is its action's name."""


def worker_of(plan: StagePlan) -> str:
    return plan.stage.worker or CAPABILITY_WORKER


def action_of(plan: StagePlan) -> str:
    name = plan.stage.action or plan.stage.capability
    assert name is not None, "a stage without an action and without a capability does not compile"
    return name
