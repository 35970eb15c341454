"""A stage's rules, judged in order over each valid result: try again, add a stage, leave one out, fail, ask a person.

Judging stops at a rule that has the stage tried again, ends the execution or waits for a person; after a person has agreed, or
when nothing better came, it goes on with the rule behind. A stage counts as completed, and what follows may start, only when
all its rules have been judged.
"""

from collections.abc import Mapping
from typing import assert_never

from aif_contracts.events import ApprovalRequested, ProgressUpdate, StepAdded, StepRetrying
from aif_contracts.orders import StageStatus
from aif_contracts.packets import PreviousAttempt
from aif_orchestrator.execution import ending, holding, offering, outcomes, scope
from aif_orchestrator.execution.assignee import action_of, worker_of
from aif_orchestrator.execution.commands import LoadOutputs
from aif_orchestrator.execution.draft import Draft, told
from aif_orchestrator.execution.happenings import LoadedOutput
from aif_orchestrator.execution.state import StageRun
from aif_pipelines.definition import AddStage, Approve, Fail, RetryStage, SkipStage
from aif_pipelines.failures import ExpressionFailed
from aif_pipelines.plan import RulePlan

RETRY_RULE = "retry_rule"
"""Code of an attempt that was good, and is tried again because a rule asks for better."""
FAILED_BY_RULE = "failed_by_rule"


def judge(draft: Draft, stage_id: str, loaded: Mapping[str, LoadedOutput]) -> None:
    """Judge the rules that are left; read the stored outputs first that they need."""
    plan = draft.plan_of(stage_id)
    if not plan.rules[draft.stages[stage_id].next_rule :]:
        outcomes.accept(draft, stage_id)
        return
    values, to_load = scope.outputs_of(draft, stage_id, plan.judged_with, loaded)
    if to_load:
        draft.change(
            stage_id,
            status=StageStatus.JUDGING,
            due_at=draft.at + draft.circumstances.patience.preparing_ms,
            reason="the outputs that its rules read are being fetched",
        )
        draft.command(LoadOutputs(stage_id=stage_id, refs=to_load))
        return
    try:
        _judge(draft, stage_id, values)
    except ExpressionFailed as failure:
        outcomes.end_without_result(draft, stage_id, "rule_unresolvable", f"a rule of {stage_id} cannot be judged: {failure}")


def give_up(draft: Draft, stage_id: str, code: str, message: str) -> None:
    """No more attempts. A result that a rule wanted bettered stands; without one the stage ends as failed.

    What stands is judged by the rules behind the one that asked for better. None of them has the stage tried again: another try
    has just come to nothing.
    """
    run = draft.stages[stage_id]
    if run.output is None:
        outcomes.end_without_result(draft, stage_id, code, message)
        return
    draft.emit(
        ProgressUpdate(progress_percent=draft.progress(), message=f"{message}; the earlier result stands", step_name=stage_id)
    )
    rules = enumerate(draft.plan_of(stage_id).stage.rules)
    all_tries = {index: rule.max_retries for index, rule in rules if isinstance(rule, RetryStage)}
    draft.change(stage_id, ended=run.attempt, retries_by_rule=all_tries)
    judge(draft, stage_id, {})


def turn_down(draft: Draft, stage_id: str, code: str, message: str) -> None:
    """Its next attempt, which a later leg may bring, is told why the result that it has now was not accepted."""
    run = draft.stages[stage_id]
    draft.change(stage_id, previous=PreviousAttempt(attempt=run.attempt, code=code, message=told(message), output=run.output))


def _judge(draft: Draft, stage_id: str, values: dict[str, object]) -> None:
    plan = draft.plan_of(stage_id)
    shared = {path.root for rule in plan.rules for path in rule.condition.references}
    whole = scope.whole(draft, values, shared)
    for index, rule in enumerate(plan.rules):
        if index < draft.stages[stage_id].next_rule or not rule.condition.holds(whole):
            continue
        match rule.rule:
            case RetryStage():
                if _try_again(draft, stage_id, index, rule.rule):
                    return
            case AddStage():
                _add(draft, stage_id, rule, rule.rule)
            case SkipStage():
                _leave_out(draft, stage_id, rule.rule)
            case Fail():
                _fail(draft, stage_id, rule.rule)
                return
            case Approve():
                _ask(draft, stage_id, index, rule.rule)
                return
            case _:
                assert_never(rule.rule)
    outcomes.accept(draft, stage_id)


def _try_again(draft: Draft, stage_id: str, index: int, rule: RetryStage) -> bool:
    """False when the rule has had its tries; then the result stands as it is."""
    run = draft.stages[stage_id]
    used = run.retries_by_rule.get(index, 0)
    if used >= rule.max_retries:
        return False
    message = f"try {used + 1} of {rule.max_retries} to better it, because {rule.condition}"
    run = draft.change(
        stage_id,
        failures=0,
        next_rule=index + 1,
        retries_by_rule={**run.retries_by_rule, index: used + 1},
        previous=PreviousAttempt(attempt=run.attempt, code=RETRY_RULE, message=message, output=run.output),
    )
    draft.emit(StepRetrying(step_name=stage_id, attempt=run.attempt, code=RETRY_RULE, message=message, retry_in_ms=0))
    offering.dispatch(draft, stage_id)
    return True


def _add(draft: Draft, owner: str, plan: RulePlan, rule: AddStage) -> None:
    added = plan.added
    assert added is not None, "an add_stage rule is compiled with its stage"
    name = added.stage.id
    there = [stage_id for stage_id, run in draft.stages.items() if run.follows == name and not run.withdrawn]
    if len(there) >= rule.max_times:
        return
    stage_id = _unused_id(draft, name)
    if stage_id in draft.stages:
        draft.change(stage_id, status=StageStatus.WAITING, withdrawn=False, added_by=owner, reason="")
    else:
        draft.insert_after(owner, stage_id, StageRun(follows=name, added_by=owner))
    draft.emit(
        StepAdded(
            step_name=stage_id, added_by=owner, worker_name=worker_of(added), action=action_of(added), reason=rule.condition
        )
    )


def _unused_id(draft: Draft, name: str) -> str:
    """The name itself for the first, then `name_2`, `name_3` …; one that was withdrawn is used again."""
    count = 1
    stage_id = name
    while stage_id in draft.stages and not draft.stages[stage_id].withdrawn:
        count += 1
        stage_id = f"{name}_{count}"
    return stage_id


def _leave_out(draft: Draft, owner: str, rule: SkipStage) -> None:
    """It is skipped when its turn comes: who waits for it waits for all that it waits for, as if it had run."""
    run = draft.stages.get(rule.stage)
    if run is not None and run.status is StageStatus.WAITING and run.skipped_by is None:
        draft.change(rule.stage, skipped_by=owner, reason=f"a rule of {owner} leaves it out: {rule.condition}")


def _fail(draft: Draft, stage_id: str, rule: Fail) -> None:
    turn_down(draft, stage_id, FAILED_BY_RULE, rule.message)
    outcomes.fail_stage(draft, stage_id, FAILED_BY_RULE, rule.message)
    ending.fail(draft, stage_id, FAILED_BY_RULE, rule.message)


def _ask(draft: Draft, stage_id: str, index: int, rule: Approve) -> None:
    draft.change(stage_id, status=StageStatus.AWAITING_APPROVAL, next_rule=index + 1, due_at=None, reason=rule.message)
    draft.emit(ApprovalRequested(step_name=stage_id, message=rule.message))
    holding.hold_or_release(draft)
