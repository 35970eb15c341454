"""What a pipeline is: one validated document, whatever made it (JSON, YAML, Python or a model).

Field names are the wire's, except `timeout_seconds` (wire: `timeout`) and `outputs` (wire: `output`).
Every default is written out when a pipeline is stored, so a later release with other defaults does not change
what an old version means.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from aif_contracts.money import UsdText

Name = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,63}\\Z")]
StageId = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,39}\\Z")]
ConditionText = Annotated[str, Meta(min_length=1, max_length=1000)]
Seconds = Annotated[float, Meta(gt=0, le=86_400, description='seconds, or text such as "90s", "5m" or "1h"')]
Sentence = Annotated[str, Meta(min_length=1, max_length=1000)]


DEFAULT_STAGE_TIMEOUT = 120.0
"""Seconds; leaves room for a slow provider and then its fallback."""


class Backoff(Struct, frozen=True, kw_only=True):
    """Wait before attempt n+1: initial_ms * factor^(n-1), at most max_ms, spread by ± jitter."""

    initial_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 500
    factor: Annotated[float, Meta(ge=1, le=10)] = 2.0
    max_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 30_000
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.2
    """Fraction of the wait."""


class Retry(Struct, frozen=True, kw_only=True):
    max_attempts: Annotated[int, Meta(ge=1, le=10)] = 3
    """The first one included: 1 means no retry."""
    backoff: Backoff = Backoff()


class OutputValidation(Struct, frozen=True, kw_only=True):
    required_fields: tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...] = ()
    min_quality_score: Annotated[float, Meta(ge=0, le=1)] | None = None
    schema: dict[str, Any] | None = None
    """JSON Schema of the whole output; `$ref` only inside it."""


class Fallback(Struct, frozen=True, kw_only=True):
    max_fallbacks: Annotated[int, Meta(ge=0, le=10)] = 2
    """Providers tried after the preferred one."""


class Compensation(Struct, frozen=True, kw_only=True):
    """What undoes a completed stage when the execution fails later."""

    worker: Name
    action: Name
    input: Any = field(default_factory=dict)
    """A template; may read the stage itself, what lies before it, `params` and `execution`."""


class RetryStage(Struct, frozen=True, kw_only=True, tag_field="action", tag="retry_stage"):
    """Try the stage again, although it completed. If nothing better comes, the rules behind judge the result that there is."""

    condition: ConditionText
    max_retries: Annotated[int, Meta(ge=1, le=10)] = 1


class AddStage(Struct, frozen=True, kw_only=True, tag_field="action", tag="add_stage"):
    """Insert a stage after this one: it waits for this one, and whatever waits for this one waits for it."""

    condition: ConditionText
    stage: "Stage"
    max_times: Annotated[int, Meta(ge=1, le=10)] = 1
    """Per execution, retries of the stage included. The second instance runs under the id `<id>_2`, and so on."""


class SkipStage(Struct, frozen=True, kw_only=True, tag_field="action", tag="skip_stage"):
    """Leave out a stage of the pipeline that lies after this one."""

    condition: ConditionText
    stage: StageId


class Fail(Struct, frozen=True, kw_only=True, tag_field="action", tag="fail"):
    """End the execution as failed, compensating what completed."""

    condition: ConditionText
    message: Sentence


class Approve(Struct, frozen=True, kw_only=True, tag_field="action", tag="approve"):
    """Wait for a person before what follows starts."""

    condition: ConditionText
    message: Sentence


Rule = RetryStage | AddStage | SkipStage | Fail | Approve


class Stage(Struct, frozen=True, kw_only=True, rename={"timeout_seconds": "timeout"}):
    """A step of a pipeline. Either `worker` and `action`, or `capability`."""

    id: StageId
    worker: Name | None = None
    action: Name | None = None
    capability: Name | None = None
    prefer_providers: tuple[Name, ...] = ()
    """First choice first; only with `capability`."""
    depends_on: tuple[StageId, ...] = ()
    """Stages of the pipeline that must have ended. Those read by `input`, `when` or `rules` need not be named."""
    input: Any = field(default_factory=dict)
    """A template: any JSON value whose texts may hold `{{path}}`, `{{path?}}` or `{{path ?? other}}`."""
    when: ConditionText | None = None
    """The stage is skipped unless this holds. None: always runs."""
    output_validation: OutputValidation | None = None
    retry: Retry = Retry()
    timeout_seconds: Seconds = DEFAULT_STAGE_TIMEOUT
    """For one attempt, provider fallbacks included."""
    max_cost_usd: UsdText | None = None
    """What all attempts at the stage may spend at providers together. None: twice what the operator allows one attempt."""
    optional: bool = False
    """Its failure makes the execution partially completed, not failed."""
    fallback: Fallback | None = None
    """None: as the worker is configured."""
    compensate: Compensation | None = None
    cache: bool = False
    """True lets the worker answer from the response cache. An answer stays there when the pipeline does not accept what was
    made of it; the next attempt or leg, which is told why, asks another question."""
    rules: tuple[Rule, ...] = ()
    """Judged in order when an attempt has completed."""


class Output(Struct, frozen=True, kw_only=True):
    """A deliverable: the whole output of one stage; of a stage that a rule adds the newest, when there is one."""

    name: Name
    stage: StageId
    title: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    media_type: Annotated[str, Meta(pattern="^[a-z0-9.+-]+/[a-z0-9.+-]+\\Z", max_length=100)] = "application/json"


class Refusal(Struct, frozen=True, kw_only=True):
    """Judged at admission over `params` and `capabilities`; true refuses the order."""

    condition: ConditionText
    field: Annotated[str, Meta(min_length=1, max_length=100)]
    """The parameter to blame."""
    message: Sentence


class Pipeline(Struct, frozen=True, kw_only=True, rename={"timeout_seconds": "timeout", "outputs": "output"}):
    name: Name
    version: Annotated[str, Meta(max_length=64)]
    """Semantic version. A version never changes once it is stored."""
    title: Annotated[str, Meta(max_length=200)] = ""
    description: Annotated[str, Meta(max_length=4000)] = ""
    timeout_seconds: Seconds = 600.0
    """For the whole execution, waiting included."""
    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    """JSON Schema of what an order may say."""
    stages: Annotated[tuple[Stage, ...], Meta(min_length=1, max_length=100)]
    outputs: tuple[Output, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    structure_type: Name | None = None
    """What the gateway adds to the parameters as `structureType`."""
    offered: bool = True
    """False hides the template from clients' lists; it can still be run by name."""
