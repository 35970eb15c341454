"""What a worker tells the orchestrator about its attempts.

They travel together: a stored message is a JSON array of the reports of one worker, and often an array of one. Progress is told
in the same way, as a question.
"""

from typing import Annotated

from msgspec import Meta, Struct, field

from aif_contracts.blobs import BlobRef
from aif_contracts.metering import AttemptNumber, Count, Metrics, ProviderCall

HANDED_BACK = "handed_back"
"""Code of a failed attempt whose worker process ended before the work did: no fault of the work, which is offered anew."""
UNKNOWN_ACTION = "unknown_action"
"""Code of a packet that was declined because its process does not know the action."""
APPLIED = b"applied"
"""A replica's answer to reports that were told to it directly: they are committed. Any other answer means: store them."""
MOST_TOGETHER = 64
"""Reports in one message."""
MOST_BYTES_TOGETHER = 256 * 1024
"""A report that is larger travels alone. Reports are cut by this, so that whoever gives a message up can keep all of it."""

MOST_CALLS_NAMED = 64
"""Calls that a report names, the newest ones: the messages of older ones have long arrived."""

MOST_POINTS = 16
"""Of progress that a report names."""

LONGEST_TEXT = 2000
"""Characters that are kept of a message or a summary: it is told in events, in the packet of the next attempt and in every
view of the execution, and each of those has to fit into a message."""

QualityScore = Annotated[float, Meta(ge=0, le=1)]
ElementCount = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""As many as the classifier's table holds: a report that is taken gives a record that can be kept."""


class _OfAttempt(Struct, frozen=True, kw_only=True):
    packet_id: str
    execution_id: str
    stage_id: str
    attempt: AttemptNumber
    worker_name: str
    instance_id: str


class ProgressPoint(Struct, frozen=True, kw_only=True):
    """How far an attempt was before it told of itself for the first time, by a sign of life or by its report."""

    percent: Annotated[int, Meta(ge=0, le=100)]
    message: str
    ago_ms: Count
    """Before it is told."""


ProgressPoints = Annotated[tuple[ProgressPoint, ...], Meta(max_length=MOST_POINTS)]
"""In order of time."""


class Accepted(_OfAttempt, frozen=True, kw_only=True, tag="accepted"):
    """The attempt has begun. Sent for a packet that carried its grant, once the work outlasts a moment."""


class Progress(_OfAttempt, frozen=True, kw_only=True, tag="progress"):
    """Still alive and this far. A question holds an array of these, and is answered with an array of `ProgressAnswer`, one for
    each in the same order."""

    percent: Annotated[int, Meta(ge=0, le=100)]
    message: str = ""
    is_waiting: bool = False
    """True while an attempt that is to be alone waits for the others in its process to end: its time has not begun."""
    points: ProgressPoints = ()


class Completed(_OfAttempt, frozen=True, kw_only=True, tag="completed"):
    output: BlobRef
    metrics: Metrics
    calls: tuple[ProviderCall, ...] = ()
    """The attempt's provider calls that have ended. Each is published by itself, too, but a report may overtake that; named
    here it is told to the client before the attempt's end, and not after it or, if the execution ends with it, not at all."""
    quality_score: QualityScore | None = None
    element_count: ElementCount | None = None
    points: ProgressPoints = ()
    output_summary: str = ""
    """One line for people: what was made."""


class Failed(_OfAttempt, frozen=True, kw_only=True, tag="failed"):
    code: Annotated[str, Meta(max_length=100)]
    """Stable snake_case name of the failure."""
    message: str
    """What was wrong and what to do about it."""
    retryable: bool
    retry_after_ms: Count | None = None
    metrics: Metrics = field(default_factory=Metrics)
    calls: tuple[ProviderCall, ...] = ()
    """As those of a completed attempt."""
    points: ProgressPoints = ()


class Declined(_OfAttempt, frozen=True, kw_only=True, tag="declined"):
    """This worker will not do it: no capacity, or an action that it does not know. Costs no retry."""

    code: str
    message: str


Report = Accepted | Progress | Completed | Failed | Declined
