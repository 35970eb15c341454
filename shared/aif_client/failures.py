"""What keeps a program from its result. An execution that fails is none of these: it is a result without success.

ClientFailure
├── ArgumentInvalid      what the program gave is no address or can be no key; nothing was sent
├── GatewayUnavailable   no answer, or none that says anything, for longer than the client is patient
├── RequestRefused       the gateway said no, and why
└── ExecutionNotEnded    the time to wait is over; the execution goes on
"""

from msgspec import Struct

from aif_contracts.orders import FieldMistake

PROBLEM_TYPE = "urn:aif:problem:"


class Problem(Struct, frozen=True, kw_only=True):
    """A problem document (RFC 9457)."""

    type: str
    title: str = ""
    status: int = 0
    detail: str = ""
    instance: str = ""
    errors: tuple[FieldMistake, ...] = ()
    """Every wrong field: what is wrong with it and how to mend it."""

    @property
    def code(self) -> str:
        """Stable snake_case name, for example `pipeline_version_taken`."""
        return self.type.removeprefix(PROBLEM_TYPE)


class ClientFailure(Exception):
    """Root of this package's failures."""


class ArgumentInvalid(ClientFailure, ValueError):
    """Never holds a key."""


class GatewayUnavailable(ClientFailure):
    """Whether a call that changes something was heard is unknown: order again under the same idempotency key."""


class RequestRefused(ClientFailure):
    def __init__(self, problem: Problem) -> None:
        mistakes = [f"{each.field}: {each.message}" + (f" ({each.mend})" if each.mend else "") for each in problem.errors]
        super().__init__("\n  ".join([f"{problem.code}: {problem.detail or problem.title}", *mistakes]))
        self.problem = problem
        self.code = problem.code


class ExecutionNotEnded(ClientFailure, TimeoutError):
    def __init__(self, execution_id: str) -> None:
        super().__init__(f"{execution_id} has not ended in time, and goes on: `result` waits for it again, `cancel` ends it")
        self.execution_id = execution_id
