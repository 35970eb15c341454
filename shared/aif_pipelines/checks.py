"""What is wrong with a pipeline, known without running it.

The checks go on after a mistake, so that an author sees all of them at once; only a document whose shape is wrong
ends early.
"""

import datetime
import decimal
import re
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any, Final

import msgspec
from msgspec import Struct

from aif_pipelines.added_stages import MAX_GROWN_STAGES, added_stages, all_stages, grown
from aif_pipelines.definition import Pipeline, Stage
from aif_pipelines.expressions import Expression, compile_expression
from aif_pipelines.failures import LanguageInvalid
from aif_pipelines.json_values import brief
from aif_pipelines.kinds import CAPABILITIES_SCHEMA, kind_mistakes, parameters_schema
from aif_pipelines.mistakes import MOST_MISTAKES, Mistake, did_you_mean
from aif_pipelines.parameters import check_parameters, is_open_ended
from aif_pipelines.reference_checks import ReferenceChecks
from aif_pipelines.schema_words import describe
from aif_pipelines.schemas import schema_mistakes
from aif_pipelines.shape import Shape
from aif_pipelines.stage_plan import COMPENSATION_PREFIX, CompiledStage, StageCompiler
from aif_pipelines.tokens import CONSTANTS, WORD_OPERATORS

_SEMVER: Final = re.compile(
    r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?", re.ASCII
)
RESERVED: Final = frozenset({"params", "budget", "execution", "capabilities", *WORD_OPERATORS, *CONSTANTS})

KnownActions = Mapping[str, frozenset[str]]
"""The actions of each live worker."""


class Examination(Struct, frozen=True, kw_only=True):
    """A pipeline compiled as far as it could be, and every mistake in it."""

    stages: tuple[CompiledStage, ...]
    refusals: tuple[Expression, ...]
    mistakes: tuple[Mistake, ...]


def check_pipeline(pipeline: Pipeline, known_actions: KnownActions | None = None) -> list[Mistake]:
    """Every mistake in the definition; empty when it can be run. Without `known_actions`, workers are not checked."""
    return list(examine(pipeline, known_actions).mistakes)


def examine(pipeline: Pipeline, known_actions: KnownActions | None = None) -> Examination:
    shape = Shape()
    # Structs made in Python were never validated, so they take the same way as documents.
    shape.check(msgspec.to_builtins(pipeline, builtin_types=_KEPT_TYPES), Pipeline)
    if shape.mistakes:
        return Examination(stages=(), refusals=(), mistakes=tuple(shape.mistakes))
    return _Examiner(pipeline, known_actions).examine()


# msgspec would write these as text; a definition that holds one must be refused, not changed.
_KEPT_TYPES: Final = (
    bytes,
    bytearray,
    decimal.Decimal,
    uuid.UUID,
    datetime.datetime,
    datetime.date,
    datetime.time,
    datetime.timedelta,
)


class _Examiner:
    def __init__(self, pipeline: Pipeline, known_actions: KnownActions | None) -> None:
        self._pipeline = pipeline
        self._known_actions = known_actions
        self._added = added_stages(pipeline)
        self._mistakes: list[Mistake] = []

    def examine(self) -> Examination:
        pipeline = self._pipeline
        self._check_version()
        unsound = self._parameter_schema_mistakes()
        self._mistakes += unsound
        # An unsound schema says nothing, so nothing is held against it.
        parameters = {} if unsound else parameters_schema(pipeline.parameters)
        compiler = StageCompiler(_output_names(pipeline), self._added)
        stages = tuple(compiler.compile(stage, f"stages[{index}]") for index, stage in enumerate(pipeline.stages))
        self._mistakes += compiler.mistakes
        self._check_ids()
        for path, stage in all_stages(pipeline):
            self._check_work(stage, path)
            self._check_times(stage, path)
        self._mistakes += ReferenceChecks(pipeline, parameters, stages, self._added).mistakes()
        self._check_outputs()
        self._check_growth()
        refusals = tuple(self._refusals(parameters))
        return Examination(stages=stages, refusals=refusals, mistakes=tuple(self._mistakes))

    def _wrong(self, path: str, message: str, mend: str) -> None:
        self._mistakes.append(Mistake(path=path, message=message, mend=mend))

    def _check_version(self) -> None:
        if not _SEMVER.fullmatch(self._pipeline.version):
            self._wrong(
                "version",
                f"{self._pipeline.version[:40]!r} is not a semantic version",
                "Write three numbers, as in 1.0.0, in quotes.",
            )

    def _parameter_schema_mistakes(self) -> list[Mistake]:
        schema = self._pipeline.parameters
        if schema.get("type") != "object":
            return [
                Mistake(
                    path="parameters.type",
                    message="the parameters' schema must describe an object",
                    mend="Write type: object and the parameters under properties.",
                )
            ]
        unsound = schema_mistakes(schema, "parameters")
        return unsound or list(islice(chain(_undescribed(schema), _unfit_defaults(schema)), MOST_MISTAKES))

    def _check_ids(self) -> None:
        seen: dict[str, str] = {}
        instances = {name: added for added in self._added.values() for name in added.instance_ids()}
        for path, stage in all_stages(self._pipeline):
            if stage.id in RESERVED:
                self._wrong(f"{path}.id", f"{stage.id} is a word of the language", "Choose another id.")
            if stage.id.startswith(COMPENSATION_PREFIX):
                message = f"ids that start with {COMPENSATION_PREFIX} are kept for what undoes a stage"
                self._wrong(f"{path}.id", message, "Choose another id.")
            if again := instances.get(stage.id):
                message = f"{stage.id} is how {again.stage.id} is called when it is added again"
                mend = f"Choose another id, or let {again.stage.id} be added fewer times."
                self._wrong(f"{path}.id", message, mend)
            if stage.id in seen:
                self._wrong(f"{path}.id", f"{stage.id} is already the id of {seen[stage.id]}", "Choose another id.")
            seen.setdefault(stage.id, path)

    def _check_work(self, stage: Stage, path: str) -> None:
        if stage.capability is None:
            if stage.worker is None:
                mend = "Write worker and action, or capability."
                self._wrong(f"{path}.worker", "the stage does not say who does it", mend)
            elif stage.action is None:
                self._wrong(f"{path}.action", f"the stage does not say what {stage.worker} does", "Add an action.")
            else:
                self._check_action(stage.worker, stage.action, path)
            if stage.prefer_providers:
                mend = "Write capability in place of worker and action, or leave it out."
                self._wrong(f"{path}.prefer_providers", "has a meaning with a capability only", mend)
        elif stage.worker is not None or stage.action is not None:
            self._wrong(f"{path}.capability", "a stage has a worker and action, or a capability, not both", "Remove one.")
        if stage.compensate is not None:
            self._check_action(stage.compensate.worker, stage.compensate.action, f"{path}.compensate")

    def _check_action(self, worker: str, action: str, path: str) -> None:
        if self._known_actions is None:
            return
        if worker not in self._known_actions:
            mend = f"{did_you_mean(worker, self._known_actions, '')} One of your own has to run first."
            self._wrong(f"{path}.worker", f"no worker is called {worker}", mend.strip())
        elif action not in self._known_actions[worker]:
            mend = did_you_mean(action, self._known_actions[worker], "See the worker's manual.")
            self._wrong(f"{path}.action", f"{worker} has no action {action}", mend)

    def _check_times(self, stage: Stage, path: str) -> None:
        if stage.timeout_seconds > self._pipeline.timeout_seconds:
            self._wrong(
                f"{path}.timeout",
                f"the stage may take {stage.timeout_seconds:g} s, the whole pipeline only {self._pipeline.timeout_seconds:g} s",
                "Lower this one or raise the pipeline's timeout.",
            )

    def _check_outputs(self) -> None:
        ids = {stage.id for _, stage in all_stages(self._pipeline)}
        names = Counter(output.name for output in self._pipeline.outputs)
        for index, output in enumerate(self._pipeline.outputs):
            if len(self._mistakes) >= MOST_MISTAKES:
                return
            if output.stage not in ids:
                mend = did_you_mean(output.stage, ids, "Name the id of a stage.")
                self._wrong(f"output[{index}].stage", f"there is no stage {output.stage}", mend)
            if names[output.name] > 1:
                self._wrong(f"output[{index}].name", f"{output.name} is there twice", "Choose another name.")

    def _check_growth(self) -> None:
        count = grown(self._pipeline)
        if count > MAX_GROWN_STAGES:
            self._wrong(
                "stages",
                f"the rules could let it grow to {count} stages, at most {MAX_GROWN_STAGES} are allowed",
                "Lower max_times of the add_stage rules, or max_retries of the stages that they add.",
            )

    def _refusals(self, parameters: Mapping[str, Any]) -> Iterator[Expression]:
        roots = {"params": parameters, "capabilities": CAPABILITIES_SCHEMA}
        properties = self._pipeline.parameters.get("properties")
        known = set(properties) if isinstance(properties, dict) else set()
        for index, refusal in enumerate(self._pipeline.refusals):
            path = f"refusals[{index}]"
            if parameters and refusal.field not in known and len(self._mistakes) < MOST_MISTAKES:
                mend = did_you_mean(refusal.field, known, "Name a parameter.")
                self._wrong(f"{path}.field", f"there is no parameter {refusal.field}", mend)
            try:
                expression = compile_expression(refusal.condition)
            except LanguageInvalid as failure:
                self._mistakes.append(failure.mistake(f"{path}.condition"))
                continue
            for wrong in kind_mistakes(expression.text, expression.node, roots, as_condition=True):
                self._mistakes.append(wrong.mistake(f"{path}.condition"))
            yield expression


def _undescribed(schema: Mapping[str, Any]) -> Iterator[Mistake]:
    """Unknown parameters are refused at admission, so one that is required and not described lets no order pass."""
    described = schema.get("properties", {})
    if is_open_ended(schema):
        return
    for index, name in enumerate(schema.get("required", ())):
        if name not in described:
            yield Mistake(
                path=f"parameters.required[{index}]",
                message=f"{name} is required and not described, so no order can give it",
                mend=did_you_mean(name, described, "Describe it under properties."),
            )


def _unfit_defaults(schema: Mapping[str, Any]) -> Iterator[Mistake]:
    """A default goes into every order that does not say otherwise, and is checked like the client's own values there."""
    refused = [mistake.path for mistake in check_parameters({**schema, "required": []}, {}).mistakes]
    for name, each in schema.get("properties", {}).items():
        at = f"parameters.{name}"
        if (
            isinstance(each, dict)
            and "default" in each
            and any(path == at or path.startswith((f"{at}.", f"{at}[")) for path in refused)
        ):
            yield Mistake(
                path=f"parameters.properties.{name}.default",
                message=f"{brief(each['default'])} does not fit the parameter's own schema",
                mend=f"Write {describe(each)}, or leave the default out.",
            )


def _output_names(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    names: dict[str, tuple[str, ...]] = {}
    for output in pipeline.outputs:
        names[output.stage] = (*names.get(output.stage, ()), output.name)
    return names
