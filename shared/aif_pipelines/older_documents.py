"""Pipeline documents of the older style, translated to the present one.

    pipeline_stages     stage_index 2   worker_name "bitware-content-granulator"   depends_on [1]   input_mapping {…}
    conditional_stages  {condition, action: retry_stage, params: {max_retries: 2}}

A stage with index 2 becomes `stage_2`, so `{{stage_2.x}}` reads as written there. A conditional stage becomes a rule of the
last stage that its condition reads. What the older style leaves open is filled in: the action by worker, the input by what
the stage depends on, the deliverables by the stages that no other one depends on and those that rules add, the name
by what the document says, and any parameter is taken.
"""

import hashlib
import itertools
import json
import re
from typing import Any, Final

from aif_pipelines.expressions import compile_expression
from aif_pipelines.failures import ExpressionInvalid

_WORKERS: Final = {
    "bitware-content-granulator": "content_granulator",
    "content-granulator": "content_granulator",
    "topic-researcher": "topic_researcher",
    "bitware-topic-researcher": "topic_researcher",
    "content-optimizer": "content_optimizer",
    "content classifier": "classifier",
    "content-classifier": "classifier",
    "bitware-content-classifier": "classifier",
}
_ACTIONS: Final = {
    "content_granulator": "structure_course",
    "topic_researcher": "research_topic",
    "content_optimizer": "optimize_large_structure",
    "classifier": "analyze_worker_performance",
}
_RENAMED: Final = {"worker_name": "worker", "input_mapping": "input"}
_INDEX: Final = re.compile(r"stage_(\d{1,3})")

Origins = dict[str, str]
"""Where a path of the translated document stood in the document as written."""


def translate(document: Any) -> tuple[Any, Origins]:
    """The document in the present style; the same value when it already is. Never raises: what is odd stays to be checked."""
    if not isinstance(document, dict):
        return document, {}
    origins: Origins = {}
    # A document that has both is of the present style, and pipeline_stages is a field that it does not know.
    older = "pipeline_stages" in document and "stages" not in document
    translated = ("pipeline_stages", "conditional_stages") if older else ("conditional_stages",)
    found = {key: value for key, value in document.items() if key not in translated}
    listed = "pipeline_stages" if older else "stages"
    if isinstance(document.get(listed), list):
        found["stages"] = [
            _stage(stage, f"stages[{index}]", f"{listed}[{index}]", origins) for index, stage in enumerate(document[listed])
        ]
        if isinstance(document.get("conditional_stages"), list):
            _attach_rules(found["stages"], document["conditional_stages"], origins)
        elif "conditional_stages" in document:
            _hand_on(found["stages"], document["conditional_stages"], origins)
    elif older:
        found["stages"] = document["pipeline_stages"]
        origins["stages"] = "pipeline_stages"
    if older:
        found.setdefault("version", "1.0.0")
        found.setdefault("parameters", {"type": "object", "additionalProperties": True})
        if "template_name" in found and "name" not in found:
            found["name"] = found.pop("template_name")
            origins["name"] = "template_name"
        if "name" not in found:
            found["name"] = _name(document)
        if "output" not in found:
            found["output"] = _last_outputs(found["stages"])
    return found, origins


def _stage(stage: Any, path: str, origin: str, origins: Origins) -> Any:
    origins[path] = origin
    if not isinstance(stage, dict):
        return stage
    found: dict[str, Any] = {}
    for key, value in stage.items():
        name = str(_RENAMED.get(key, key))
        # Of a stage that has both words, the older one is a field that it does not know.
        if name != key and name not in stage:
            origins[f"{path}.{name}"] = f"{origin}.{key}"
            found[name] = value
        else:
            found[key] = value
    if "stage_index" in found:
        index = found.pop("stage_index")
        if "id" not in found:
            found["id"] = f"stage_{index}"
            origins[f"{path}.id"] = f"{origin}.stage_index"
    if isinstance(found.get("worker"), str):
        found["worker"] = _WORKERS.get(found["worker"], found["worker"])
    if isinstance(found.get("depends_on"), list):
        found["depends_on"] = [f"stage_{item}" if type(item) is int else item for item in found["depends_on"]]
    if "stage_index" in stage or "worker_name" in stage:
        _fill_in(found)
    return found


def _fill_in(stage: dict[str, Any]) -> None:
    worker = str(stage.get("worker"))
    if "action" not in stage and worker in _ACTIONS:
        stage["action"] = _ACTIONS[worker]
    before = stage.get("depends_on") or []
    if "input" not in stage and isinstance(before, list):
        if not before:
            stage["input"] = "{{params}}"
        elif len(before) == 1:
            stage["input"] = f"{{{{{before[0]}}}}}"
        else:
            stage["input"] = {str(item): f"{{{{{item}}}}}" for item in before}


def _attach_rules(stages: list[Any], conditionals: list[Any], origins: Origins) -> None:
    order = [stage.get("id") if isinstance(stage, dict) else None for stage in stages]
    for index, conditional in enumerate(conditionals):
        owner = max((order.index(root) for root in _roots(conditional) if root in order), default=len(stages) - 1)
        if owner < 0 or not isinstance(stages[owner], dict):
            continue
        rules = stages[owner].setdefault("rules", [])
        if not isinstance(rules, list):
            continue
        path, origin = f"stages[{owner}].rules[{len(rules)}]", f"conditional_stages[{index}]"
        origins[path] = origin
        rules.append(_rule(conditional, order[owner], _next_id(stages), path, origin, origins))


def _hand_on(stages: list[Any], conditionals: Any, origins: Origins) -> None:
    """What is no list stands as the rules of the last stage, where the check of the shape refuses it."""
    if stages and isinstance(stages[-1], dict):
        stages[-1]["rules"] = conditionals
        origins[f"stages[{len(stages) - 1}].rules"] = "conditional_stages"


def _next_id(stages: list[Any]) -> str:
    taken = [stage.get("id") for stage in [*stages, *_added(stages)] if isinstance(stage, dict)]
    return next(name for number in itertools.count(len(stages) + 1) if (name := f"stage_{number}") not in taken)


def _added(stages: list[Any]) -> list[dict[str, Any]]:
    """What the rules of these stages add."""
    added = [rule.get("stage") for stage in stages for rule in _list(stage, "rules") if isinstance(rule, dict)]
    return [stage for stage in added if isinstance(stage, dict) and "id" in stage]


def _roots(conditional: Any) -> set[str]:
    condition = conditional.get("condition") if isinstance(conditional, dict) else None
    if not isinstance(condition, str):
        return set()
    try:
        return {path.root for path in compile_expression(condition).references}
    except ExpressionInvalid:
        return {match.group() for match in _INDEX.finditer(condition)}


def _rule(conditional: Any, owner: Any, next_id: str, path: str, origin: str, origins: Origins) -> Any:
    if not isinstance(conditional, dict):
        return conditional
    # Params that are no object stay, as a field that no rule knows.
    found = {key: value for key, value in conditional.items() if key != "params" or not isinstance(value, dict | None)}
    if isinstance(conditional.get("params"), dict):
        found.update(conditional["params"])
        origins.update({f"{path}.{key}": f"{origin}.params.{key}" for key in conditional["params"]})
    if found.get("action") == "add_stage" and isinstance(found.get("stage"), dict):
        added = dict(found["stage"])
        if "worker_name" in added and "input_mapping" not in added:
            added.setdefault("input", f"{{{{{owner}}}}}")
        added = _stage(added, f"{path}.stage", origins.get(f"{path}.stage", f"{origin}.stage"), origins)
        added.setdefault("id", next_id)
        found["stage"] = added
    return found


def _last_outputs(stages: Any) -> list[dict[str, Any]]:
    known = [stage for stage in stages if isinstance(stage, dict) and "id" in stage] if isinstance(stages, list) else []
    before = [item for stage in known for item in _list(stage, "depends_on")]
    last = [stage for stage in known if stage["id"] not in before]
    return [{"name": stage["id"], "stage": stage["id"]} for stage in [*last, *_added(known)]]


def _name(document: dict[str, Any]) -> str:
    """The same for the same document and another for another, because a name and version are stored once."""
    return f"pipeline_{hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:12]}"


def _list(value: Any, key: str) -> list[Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []
