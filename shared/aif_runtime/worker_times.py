"""The rhythm of a worker, in seconds. The defaults are for production; tests beat faster."""

from msgspec import Struct


class WorkerTimes(Struct, frozen=True, kw_only=True):
    tick: float = 0.05
    """Between two looks at the attempts that are worked on."""
    lease_look: float = 1.0
    """Between two looks at the leases; a small part of their time."""
    first_progress: float = 0.2
    """Work that is done sooner tells no progress."""
    between_progress: float = 0.25
    heartbeat: float = 10.0
    """An action that says nothing is told to be alive so often."""
    lease: float = 30.0
    """An attempt that the orchestrator has not confirmed for so long makes no call that costs money."""
    claim_again: float = 1.0
    """After a claim without an answer."""
    fetch: float = 1.0
    """How long a fetch waits for packets; a stop is seen so late at most."""
    answer: float = 3.0
    """How long an orchestrator replica may take to commit a report that was told to it; it is stored then."""
    report: float = 8.0
    """How long a report is published again while the broker does not confirm it."""
