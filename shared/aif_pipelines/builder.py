"""Pipelines written in Python, step by step. What is built is the same definition that a document gives.

    Pipeline("call_analysis").version("1.0.0").step("transcribe").capability(…).output_as("transcript").done().build()

A step's id is its name. `output_as` gives its output a second name, which later steps use in `input_from`, `when` and
templates, and under which it is delivered. Conditions are text, or made of `ref`; never functions, because a
pipeline is stored and crosses services.
"""

from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from aif_pipelines import definition
from aif_pipelines.added_stages import all_stages
from aif_pipelines.checks import RESERVED, check_pipeline
from aif_pipelines.conditions import Condition, ref
from aif_pipelines.definition import (
    DEFAULT_STAGE_TIMEOUT,
    AddStage,
    Approve,
    Backoff,
    Compensation,
    Fail,
    Fallback,
    Output,
    OutputValidation,
    Refusal,
    Retry,
    RetryStage,
    Rule,
    SkipStage,
    Stage,
)
from aif_pipelines.expressions import compile_expression
from aif_pipelines.failures import LanguageInvalid, PipelineInvalid
from aif_pipelines.loading import default_stage_timeout, seconds
from aif_pipelines.mistakes import Mistake
from aif_pipelines.templates import renamed_template

__all__ = ["Pipeline", "PipelineBuilder", "StepBuilder", "ref"]


class PipelineBuilder:
    def __init__(self, name: str) -> None:
        self._fields: dict[str, Any] = {"name": name, "version": "1.0.0"}
        self._steps: list[StepBuilder] = []
        self._delivered: list[str] | None = None
        self._refusals: list[Refusal] = []

    def version(self, version: str) -> "PipelineBuilder":
        self._fields["version"] = version
        return self

    def title(self, title: str) -> "PipelineBuilder":
        self._fields["title"] = title
        return self

    def description(self, description: str) -> "PipelineBuilder":
        self._fields["description"] = description
        return self

    def timeout(self, timeout: float | str) -> "PipelineBuilder":
        """Seconds, or text such as "10m"."""
        self._fields["timeout_seconds"] = _seconds(timeout)
        return self

    def parameters(self, schema: dict[str, Any]) -> "PipelineBuilder":
        """JSON Schema of what an order may say. Without it an order may say anything."""
        self._fields["parameters"] = schema
        return self

    def structure_type(self, structure_type: str) -> "PipelineBuilder":
        self._fields["structure_type"] = structure_type
        return self

    def hidden(self) -> "PipelineBuilder":
        self._fields["offered"] = False
        return self

    if not TYPE_CHECKING:  # to which a method that is not there has to stay a mistake

        def __getattr__(self, name: str) -> NoReturn:
            if name == "done":
                raise AttributeError("done() ends a step, and here none is open: leave it out")
            if name in vars(StepBuilder):
                raise AttributeError(f"{name}() is said of a step: write it between step(…) and done()")
            raise AttributeError(f"a pipeline has no method {name}()", name=name, obj=self)

    def refuse(self, condition: str | Condition, *, field: str, message: str) -> "PipelineBuilder":
        self._refusals.append(Refusal(condition=_condition(condition, "refuse"), field=field, message=message))
        return self

    def deliver(self, *names: str) -> "PipelineBuilder":
        """Only these named outputs are delivered; without it all are."""
        self._delivered = [*(self._delivered or []), *_names(names, "deliver")]
        return self

    def step(self, name: str) -> "StepBuilder":
        step = StepBuilder(name, self)
        self._steps.append(step)
        return step

    def build(self) -> definition.Pipeline:
        """Raises PipelineInvalid with every mistake."""
        aliases = {output.name: output.stage for step in self._steps for output in step.outputs()}
        timeout = default_stage_timeout(self._fields.get("timeout_seconds", DEFAULT_STAGE_TIMEOUT))
        stages = tuple(step.stage(aliases, timeout) for step in self._steps)
        self._fields.setdefault("parameters", {"type": "object", "additionalProperties": True})
        pipeline = definition.Pipeline(**self._fields, stages=stages, outputs=self._outputs(), refusals=tuple(self._refusals))
        ids = {stage.id for _, stage in all_stages(pipeline)}
        mistakes = [*self._alias_mistakes(ids), *check_pipeline(pipeline)]
        if mistakes:
            raise PipelineInvalid(mistakes)
        return pipeline

    def _outputs(self) -> tuple[Output, ...]:
        named = {output.name: output for step in self._steps for output in step.outputs()}
        names = list(named) if self._delivered is None else self._delivered
        return tuple(named[name] if name in named else Output(name=name, stage=name) for name in names)

    def _alias_mistakes(self, ids: set[str]) -> list[Mistake]:
        seen: set[str] = set()
        mistakes = []
        for index, step in enumerate(self._steps):
            for output in step.outputs():
                if output.name != output.stage and output.name in {*ids, *seen, *RESERVED}:
                    mend = "Choose another name in output_as."
                    mistakes.append(Mistake(path=f"stages[{index}]", message=f"the name {output.name} is taken", mend=mend))
                seen.add(output.name)
        return mistakes


class StepBuilder:
    def __init__(self, name: str, pipeline: PipelineBuilder) -> None:
        self.name = name
        self._pipeline = pipeline
        self._fields: dict[str, Any] = {}
        self._rules: list[Rule] = []
        self._output: Output | None = None
        self._added_outputs: list[Output] = []
        self._given_input = False

    def worker(self, worker: str, action: str) -> "StepBuilder":
        return self._set(worker=worker, action=action)

    def capability(self, capability: str) -> "StepBuilder":
        """A capability's word, or a member of a text enumeration; upper case is accepted."""
        return self._set(capability=str(getattr(capability, "value", capability)).lower())

    def prefer_providers(self, *providers: str) -> "StepBuilder":
        return self._set(prefer_providers=providers)

    def input(self, template: Any) -> "StepBuilder":
        """Any JSON value whose texts may hold `{{path}}`."""
        self._given_input = True
        return self._set(input=template)

    def input_from(self, *names: str) -> "StepBuilder":
        """The whole output of a step; of several, an object with one field for each."""
        _names(names, "input_from")
        if len(names) == 1:
            return self.input(f"{{{{{names[0]}}}}}")
        return self.input({name: f"{{{{{name}}}}}" for name in names})

    def input_from_first(self, *names: str) -> "StepBuilder":
        """The whole output of the first of these that has one, such as a stage that a rule may have added and its owner."""
        return self.input(f"{{{{{' ?? '.join(_names(names, 'input_from_first'))}}}}}")

    def depends_on(self, *names: str) -> "StepBuilder":
        return self._set(depends_on=_names(names, "depends_on"))

    def output_as(self, name: str, *, title: str | None = None, media_type: str = "application/json") -> "StepBuilder":
        self._output = Output(name=name, stage=self.name, title=title, media_type=media_type)
        return self

    def when(self, condition: str | Condition) -> "StepBuilder":
        return self._set(when=_condition(condition, "when"))

    def optional(self) -> "StepBuilder":
        return self._set(optional=True)

    def cached(self) -> "StepBuilder":
        return self._set(cache=True)

    def timeout(self, timeout: float | str) -> "StepBuilder":
        """Seconds for one attempt, or text such as "2m"."""
        return self._set(timeout_seconds=_seconds(timeout))

    def with_fallback(self, max_fallbacks: int = 2) -> "StepBuilder":
        return self._set(fallback=Fallback(max_fallbacks=max_fallbacks))

    def with_retry(self, max_attempts: int = 3, backoff: Backoff | None = None) -> "StepBuilder":
        return self._set(retry=Retry(max_attempts=max_attempts, backoff=backoff or Backoff()))

    def validate_output(
        self,
        *required_fields: str,
        min_quality_score: float | None = None,
        schema: dict[str, Any] | None = None,
    ) -> "StepBuilder":
        return self._set(
            output_validation=OutputValidation(
                required_fields=required_fields, min_quality_score=min_quality_score, schema=schema
            )
        )

    def compensate_with(self, worker: str, action: str | None = None, input: Any = None) -> "StepBuilder":
        """What undoes this step when the execution fails later. Without an input it gets this step's output."""
        if not isinstance(worker, str) or action is None:
            raise TypeError(
                'compensate_with takes a worker and an action, as in compensate_with("storage", "delete"): '
                "a Python function cannot be stored or sent to another service"
            )
        given = f"{{{{{self.name}}}}}" if input is None else input
        return self._set(compensate=Compensation(worker=worker, action=action, input=given))

    def retry_if(self, condition: str | Condition, max_retries: int = 1) -> "StepBuilder":
        return self._rule(RetryStage(condition=_condition(condition, "retry_if"), max_retries=max_retries))

    def add_if(
        self, condition: str | Condition, stage: Stage, max_times: int = 1, *, output_as: str | None = None
    ) -> "StepBuilder":
        """`output_as` names the output of the added stage as the method of that name does a step's.

        A stage whose timeout is the usual one has, as a step that says nothing, no more than the whole pipeline.
        """
        if not isinstance(stage, Stage):
            raise TypeError(
                'add_if takes a stage, as in add_if("true", Stage(id="polish", worker="optimizer", action="apply"))'
            )
        if output_as is not None:
            self._added_outputs.append(Output(name=output_as, stage=stage.id))
        return self._rule(AddStage(condition=_condition(condition, "add_if"), stage=stage, max_times=max_times))

    def skip_if(self, condition: str | Condition, step: str) -> "StepBuilder":
        return self._rule(SkipStage(condition=_condition(condition, "skip_if"), stage=step))

    def fail_if(self, condition: str | Condition, message: str) -> "StepBuilder":
        return self._rule(Fail(condition=_condition(condition, "fail_if"), message=message))

    def approve_if(self, condition: str | Condition, message: str) -> "StepBuilder":
        return self._rule(Approve(condition=_condition(condition, "approve_if"), message=message))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            if name in vars(PipelineBuilder):
                raise AttributeError(f"{name}() is said of the pipeline: end the step by done() before it")
            raise AttributeError(f"a step has no method {name}()", name=name, obj=self)

    def done(self) -> PipelineBuilder:
        return self._pipeline

    def stage(self, aliases: dict[str, str], default_timeout: float) -> Stage:
        """The step with the names of outputs replaced by those of the steps that give them."""
        if not self._given_input and not self._fields.get("depends_on"):
            self._fields["input"] = "{{params}}"
        fields = {"timeout_seconds": default_timeout, **self._fields}
        stage = Stage(id=self.name, **fields, rules=tuple(self._rules))
        return _resolved(stage, aliases, default_timeout)

    def outputs(self) -> list[Output]:
        """Its own, when it was given a name, and those of the stages that it adds."""
        return [*([self._output] if self._output else []), *self._added_outputs]

    def _set(self, **fields: Any) -> "StepBuilder":
        self._fields.update(fields)
        return self

    def _rule(self, rule: Rule) -> "StepBuilder":
        self._rules.append(rule)
        return self


Pipeline = PipelineBuilder
"""The name under which pipelines are written: `Pipeline("call_analysis").step(…)`."""


def _seconds(timeout: float | str) -> float:
    read = seconds(timeout)
    if not isinstance(read, int | float):
        raise TypeError(f'{timeout!r} is not a duration; write seconds, or text such as "90s", "5m" or "1h"')
    return float(read)


def _condition(condition: str | Condition, method: str) -> str:
    if isinstance(condition, str | Condition):
        return str(condition)
    raise TypeError(
        f'{method} takes text such as "len(redacted.text) > 500", or ref("redacted.text").length() > 500: '
        "a Python function cannot be stored or sent to another service"
    )


def _names(names: tuple[str, ...], method: str) -> tuple[str, ...]:
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f'{method} takes names one by one, as in {method}("draft", "review")')
    return names


def _resolved(stage: Stage, aliases: dict[str, str], default_timeout: float) -> Stage:
    compensate = stage.compensate
    return msgspec.structs.replace(
        stage,
        depends_on=tuple(aliases.get(name, name) for name in stage.depends_on),
        input=_template(stage.input, aliases),
        when=_text(stage.when, aliases) if stage.when is not None else None,
        compensate=msgspec.structs.replace(compensate, input=_template(compensate.input, aliases)) if compensate else None,
        rules=tuple(_resolved_rule(rule, aliases, default_timeout) for rule in stage.rules),
    )


def _resolved_rule(rule: Rule, aliases: dict[str, str], default_timeout: float) -> Rule:
    condition = _text(rule.condition, aliases)
    if isinstance(rule, AddStage):
        added = rule.stage
        if added.timeout_seconds == DEFAULT_STAGE_TIMEOUT:
            added = msgspec.structs.replace(added, timeout_seconds=default_timeout)
        return msgspec.structs.replace(rule, condition=condition, stage=_resolved(added, aliases, default_timeout))
    if isinstance(rule, SkipStage):
        return msgspec.structs.replace(rule, condition=condition, stage=aliases.get(rule.stage, rule.stage))
    return msgspec.structs.replace(rule, condition=condition)


def _text(text: str, aliases: dict[str, str]) -> str:
    """What does not compile stays as written; the check of the whole pipeline reports it with its place."""
    try:
        expression = compile_expression(text)
    except LanguageInvalid:
        return text
    if not any(path.root in aliases for path in expression.references):
        return text
    return str(expression.with_roots(aliases))


def _template(value: Any, aliases: dict[str, str]) -> Any:
    try:
        return renamed_template(value, aliases)
    except LanguageInvalid:
        return value
