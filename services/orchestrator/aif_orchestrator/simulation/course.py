"""One way that an execution may go: what each stage costs and takes in it, and when the last one has ended."""

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from aif_contracts.money import ZERO
from aif_pipelines.definition import AddStage
from aif_pipelines.plan import Plan, compensation_id


class StageCourse(Struct, frozen=True, kw_only=True):
    cost_usd: Decimal
    time_ms: int


Course = Mapping[str, StageCourse]
"""By the plan's stage ids; one that is not there did not run. Several runs of one added stage are one here."""


class Layout(Struct, frozen=True, kw_only=True):
    """Where each stage of a plan stands in time."""

    order: tuple[str, ...]
    waits_for: Mapping[str, frozenset[str]]
    added_by: Mapping[str, str]
    """The pipeline's stage whose rules, or whose added stages' rules, add this one."""
    undoing: frozenset[str]
    """Compensations: they come when all else has ended."""

    @property
    def stages(self) -> tuple[str, ...]:
        return (*self.order, *self.added_by, *sorted(self.undoing))


def layout_of(plan: Plan) -> Layout:
    added_by = {name: root for root in plan.order for name in _added_under(plan, root)}
    undone = (compensation_id(name) for name in (*plan.order, *added_by))
    return Layout(
        order=plan.order,
        waits_for={name: plan.stages[name].depends_on for name in plan.order},
        added_by=added_by,
        undoing=frozenset(name for name in undone if name in plan.extra),
    )


def plan_id_of(layout: Layout, run_id: str) -> str | None:
    """Under which id the plan knows a stage of an execution: `summary_2` is the second `summary` that a rule has added."""
    if run_id in layout.waits_for or run_id in layout.added_by or run_id in layout.undoing:
        return run_id
    name, underscore, number = run_id.rpartition("_")
    return plan_id_of(layout, name) if underscore and number.isdigit() else None


def cost_of(course: Course) -> Decimal:
    return sum((stage.cost_usd for stage in course.values()), ZERO)


def wall_time_ms(layout: Layout, course: Course) -> int:
    """Each stage begins when those it waits for, and what their rules have added, have ended."""
    ended: dict[str, int] = {}
    for name in layout.order:
        begins = max((ended[before] for before in layout.waits_for[name]), default=0)
        added = (added for added, root in layout.added_by.items() if root == name)
        ended[name] = begins + _time(course, name) + sum(_time(course, each) for each in added)
    return max(ended.values(), default=0) + sum(_time(course, name) for name in layout.undoing)


def _time(course: Course, name: str) -> int:
    return course[name].time_ms if name in course else 0


def _added_under(plan: Plan, name: str) -> list[str]:
    found: list[str] = []
    for rule in plan.stage_plan(name).stage.rules:
        if isinstance(rule, AddStage):
            found += [rule.stage.id, *_added_under(plan, rule.stage.id)]
    return found
