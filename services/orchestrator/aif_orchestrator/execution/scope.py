"""What expressions and templates can read: parameters, the execution, and the results of stages."""

from collections.abc import Mapping, Set
from typing import Any

import msgspec

from aif_contracts.blobs import BlobRef
from aif_contracts.money import usd
from aif_orchestrator.execution.allowance import allowance_of
from aif_orchestrator.execution.draft import Draft
from aif_orchestrator.execution.happenings import LoadedOutput
from aif_orchestrator.execution.metering import execution_totals, spent_by_stage
from aif_orchestrator.execution.state import StageRun
from aif_pipelines.paths import figures_of

JSON_MEDIA_TYPE = "application/json"


def outputs_of(
    draft: Draft, stage_id: str, names: Set[str], loaded: Mapping[str, LoadedOutput]
) -> tuple[dict[str, Any], dict[str, BlobRef]]:
    """The outputs and figures of the stages that `stage_id` reads, and the stored outputs that have to be read first.

    A stage without a result, or whose result is no JSON, has no value: a reference to it gives null, or fails where it must
    not. What was loaded counts only while it is still the newest output of its stage.
    """
    if not names:
        return {}, {}
    own = draft.stages[stage_id]
    itself = own.compensates or stage_id
    line = _line_of(draft, itself)
    own_name = draft.stages[itself].follows or itself
    values: dict[str, Any] = {}
    to_load: dict[str, BlobRef] = {}
    for name in names:
        run = line.get(name) or draft.newest(name)
        if run is None or run.output is None or not (run.has_result or name == own_name):
            continue
        values[figures_of(name)] = _figures(run)
        if run.output.media_type != JSON_MEDIA_TYPE:
            continue
        if run.output.inline is not None:
            values[name] = msgspec.json.decode(run.output.inline)
        elif (found := loaded.get(name)) is not None and found.sha256 == run.output.sha256:
            values[name] = found.value
        else:
            to_load[name] = run.output
    return values, to_load


def has_result(draft: Draft, stage_id: str, names: Set[str]) -> bool:
    """Whether one of these stages, as `stage_id` reads them, has an output."""
    line = _line_of(draft, stage_id)
    runs = (line.get(name) or draft.newest(name) for name in names)
    return any(run is not None and run.has_result for run in runs)


def whole(draft: Draft, stages: Mapping[str, Any], shared: Set[str]) -> dict[str, Any]:
    """The scope of a text. Sums are taken over all stages, so only a text that names `budget` or `execution` has them made."""
    scope: dict[str, Any] = {"params": draft.execution.parameters, **stages}
    if "execution" in shared:
        totals = execution_totals(draft.finish(), draft.at)
        scope["execution"] = {
            "id": draft.execution.execution_id,
            "client_id": draft.execution.client_id,
            "cost_usd": usd(totals.cost_usd),
            "tokens": totals.tokens_used.total_tokens,
        }
    if "budget" in shared:
        allowance = allowance_of(draft.execution, draft.stages.values())
        scope["budget"] = {
            "limit_usd": allowance.limit,
            "spent_usd": allowance.spent,
            "reserved_usd": allowance.reserved,
            "remaining_usd": allowance.remaining,
        }
    return scope


def _figures(run: StageRun) -> dict[str, Any]:
    """What is known about a stage beside its output."""
    used = spent_by_stage(run)
    return {
        "quality_score": run.quality_score,
        "element_count": run.element_count,
        "cost_usd": None if used.cost_usd is None else usd(used.cost_usd),
        "tokens": used.total_tokens,
        "processing_time_ms": used.processing_time_ms,
    }


def _line_of(draft: Draft, stage_id: str) -> dict[str, StageRun]:
    """The stage and those whose rules have led to it, by the names that mean them there: not the newest, but these."""
    line: dict[str, StageRun] = {}
    name: str | None = stage_id
    while name is not None:
        run = draft.stages[name]
        line[run.follows or name] = run
        name = run.added_by
    return line
