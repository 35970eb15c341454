"""Which executions a list is asked for, checked."""

from aif_contracts.orders import FieldMistake, ListExecutions, Refusal
from aif_orchestrator.moments import moment_in
from aif_orchestrator.store.executions import Wanted


def wanted_executions(request: ListExecutions) -> Wanted | Refusal:
    """What the store is to look for; a Refusal that names the fields when a time is none."""
    mistakes: list[FieldMistake] = []
    after = moment_in("created_after", request.created_after, mistakes)
    before = moment_in("created_before", request.created_before, mistakes)
    if mistakes:
        return Refusal(code="invalid_filter", message=mistakes[0].message, mistakes=tuple(mistakes))
    return Wanted(
        client_id=request.client_id,
        status=request.status,
        template=request.template,
        request_id=request.request_id,
        created_after=after,
        created_before=before,
        text=request.text,
    )
